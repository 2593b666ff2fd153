//! Letters that are replayed or discarded: what is asked before, and how it is done.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use axum::{Extension, extract::State, response::Response};
use maud::{Markup, html};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Role, Visitor,
    activity::see,
    acts::{Act, Ended},
    guard::Fields,
    letters::{count_of, troubled},
    page::{Page, Tab, token},
    site::Site,
    text::{Told, count},
    walk::{Trouble, Went},
    which::{Which, link},
};
use crate::{
    app::Life,
    ops::{Discarding, Done, Filter, Letter, OpsError, Replay, Replaying, faces},
};

/// How long the first letters of a replay are watched.
const CANARY_WAIT: Duration = Duration::from_secs(10);

/// How long a letter that is on its way is waited for once somebody stops it.
const LAST_LETTER: Duration = Duration::from_secs(5);

/// Nobody waits for a letter for longer.
const MOST_PER_SECOND: u32 = 1_000_000;

pub(super) async fn ask_replay(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    fields: Fields,
) -> Response {
    let which = match Which::of(&fields) {
        Ok(which) => which,
        Err(trouble) => return refused(&site, &visitor, &trouble),
    };
    let title = format!("Replay letters of {}?", which.queue);
    ask(&site, &visitor, &which, &title, |meant| html! {
        p { "They go back to where they failed, and start anew. What fails again comes back, and is not replayed twice." }
        form action="replay" method="post" {
            (token(&site, &visitor)) (which.field())
            div.fields {
                div {
                    label for="canary" { "First only so many, and wait 10 s" }
                    input type="number" id="canary" name="canary" min="0" value=(if meant > 1 { 1 } else { 0 });
                }
                div {
                    label for="rate" { "Letters a second, at most" }
                    input type="number" id="rate" name="rate" min="1" max=(MOST_PER_SECOND) placeholder="no limit";
                }
                div {
                    label for="limit" { "Letters, at most" }
                    input type="number" id="limit" name="limit" min="1" placeholder="all";
                }
            }
            p.faint { "If one of the first comes back within the time, no other is replayed." }
            p.actions {
                button.main type="submit" { "Replay" }
                a.button href=(link("letters", [("queue", &which.queue)])) { "Back" }
            }
        }
    })
    .await
}

pub(super) async fn ask_discard(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    fields: Fields,
) -> Response {
    let which = match Which::of(&fields) {
        Ok(which) => which,
        Err(trouble) => return refused(&site, &visitor, &trouble),
    };
    let title = format!("Discard letters of {}?", which.queue);
    ask(&site, &visitor, &which, &title, |_| html! {
        p.note.wrong { "They are gone for good. " code { "dlq discard --to FILE" } " writes them to a file first." }
        form action="discard" method="post" {
            (token(&site, &visitor)) (which.field())
            div.fields {
                div {
                    label for="limit" { "Letters, at most" }
                    input type="number" id="limit" name="limit" min="1" placeholder="all";
                }
            }
            p.actions {
                button.harm type="submit" { "Discard for good" }
                a.button href=(link("letters", [("queue", &which.queue)])) { "Back" }
            }
        }
    })
    .await
}

/// A page that says how many letters are meant, with a form.
async fn ask(
    site: &Arc<Site>,
    visitor: &Visitor,
    which: &Which,
    title: &str,
    form: impl FnOnce(usize) -> Markup,
) -> Response {
    let page = Page {
        site,
        visitor,
        title,
        tab: Tab::Queues,
        live: None,
    };
    match count_of(site, which).await {
        Ok((meant, went)) => page.with(html! {
            div.card { (meant_of(meant, went, which)) (form(meant)) }
        }),
        Err(trouble) => page.with_status(trouble.status(), troubled(&trouble)),
    }
}

fn meant_of(meant: usize, went: Went, which: &Which) -> Markup {
    html! {
        p {
            strong {
                @if went.not_looked_at > 0 { "At least " }
                (faces::letters(meant))
            }
            @if let Some(words) = which.words() { ", " (Told(words)) }
            "."
            @if went.not_looked_at > 0 {
                " " (count(went.not_looked_at)) " of " (count(went.total))
                " were not looked at here: those that are meant among them are so, too."
            }
        }
    }
}

pub(super) async fn replay(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    begin(&site, &visitor, asked_replay(&fields, &visitor)).await
}

fn asked_replay(fields: &Fields, visitor: &Visitor) -> Result<Asked, Trouble> {
    let which = Which::of(fields)?;
    let mut replay = Replay::new(which.filter()).by(visitor.who());
    let limit = fields.number("limit")?.unwrap_or(usize::MAX);
    replay = replay.limit(limit);
    if let Some(canary) = fields.number("canary")?.filter(|canary| *canary > 0) {
        replay = replay.canary(canary, CANARY_WAIT);
    }
    // none a second is not the same as no limit
    if let Some(rate) = fields.number::<NonZeroU32>("rate")? {
        replay = replay.every(Duration::from_secs(1) / rate.get());
    }
    Ok((which, limit, Plan::Replay(replay)))
}

pub(super) async fn discard(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    begin(&site, &visitor, asked_discard(&fields)).await
}

fn asked_discard(fields: &Fields) -> Result<Asked, Trouble> {
    let which = Which::of(fields)?;
    let filter = which.filter();
    let limit = fields.number("limit")?.unwrap_or(usize::MAX);
    Ok((which, limit, Plan::Discard(filter, limit)))
}

/// Which letters, how many at most, and what is to be done with them.
type Asked = (Which, usize, Plan);

/// What is to be done.
enum Plan {
    Replay(Replay),
    Discard(Filter, usize),
}

/// The same while it is done.
enum Moving<'o> {
    Replay(Box<Replaying<'o>>),
    Discard(Box<Discarding<'o>>),
}

impl Plan {
    fn what(&self) -> &'static str {
        match self {
            Self::Replay(_) => "replay",
            Self::Discard(..) => "discard",
        }
    }

    /// Has one letter after another moved, until there is none or it is to be stopped.
    async fn execute(self, site: &Site, act: &Act) -> Result<Ended, OpsError> {
        let (ops, queue) = (&site.ops, act.queue.as_str());
        let mut moving = match self {
            Self::Replay(replay) => Moving::Replay(Box::new(ops.replay(queue, replay).await?)),
            Self::Discard(filter, limit) => {
                let discarding = ops.discard(queue, filter, limit).await?;
                Moving::Discard(Box::new(discarding.by(&act.who)))
            }
        };
        let ended = moving.each(site, act).await;
        moving.end().await?;
        ended
    }
}

impl Moving<'_> {
    async fn each(&mut self, site: &Site, act: &Act) -> Result<Ended, OpsError> {
        let stopped = || stopped(&act.stop, site.life.clone());
        loop {
            // cancel safety: a letter that was found is held, and goes back with the others
            let found = tokio::select! {
                biased;
                () = stopped() => return Ok(Ended::Stopped),
                found = self.find() => found?,
            };
            let Some(letter) = found else {
                return Ok(Ended::Done);
            };
            match to_its_end(self.take(&letter), stopped()).await {
                Some(taken) => taken?,
                None => {
                    let id = letter.id();
                    let why =
                        format!("the broker did not say in time what became of the letter {id}");
                    return Ok(Ended::Failed(why));
                }
            }
            act.step();
        }
    }

    /// The next one. Nothing has happened to it yet.
    async fn find(&mut self) -> Result<Option<Letter>, OpsError> {
        match self {
            Self::Replay(replaying) => replaying.find().await,
            Self::Discard(discarding) => discarding.find().await,
        }
    }

    async fn take(&mut self, letter: &Letter) -> Result<(), OpsError> {
        match self {
            Self::Replay(replaying) => replaying.take(letter).await.map(|_| ()),
            Self::Discard(discarding) => discarding.take(letter).await,
        }
    }

    async fn end(self) -> Result<Done, OpsError> {
        match self {
            Self::Replay(replaying) => replaying.end().await,
            Self::Discard(discarding) => discarding.end().await,
        }
    }
}

/// Waits for what must not be dropped in its middle: once it is to be stopped, for a last time. None if that is over.
async fn to_its_end<T>(
    moving: impl Future<Output = T>,
    stopped: impl Future<Output = ()>,
) -> Option<T> {
    let over = async {
        stopped.await;
        sleep(LAST_LETTER).await;
    };
    // cancel safety: what is dropped is told as lost
    tokio::select! {
        biased;
        moved = moving => Some(moved),
        () = over => None,
    }
}

/// Somebody stops it, or the program ends.
async fn stopped(stop: &CancellationToken, mut life: watch::Receiver<Life>) {
    tokio::select! {
        () = stop.cancelled() => {}
        // also an error, when the program was dropped
        _ = life.wait_for(|life| matches!(life, Life::Draining(_) | Life::Ended)) => {}
    }
}

/// Begins to do something with letters, in a task that the browser need not wait for, and leads to its page.
async fn begin(site: &Arc<Site>, visitor: &Visitor, asked: Result<Asked, Trouble>) -> Response {
    let (which, limit, plan) = match asked {
        Ok(asked) => asked,
        Err(trouble) => return refused(site, visitor, &trouble),
    };
    let (meant, went) = match count_of(site, &which).await {
        Ok(counted) => counted,
        Err(trouble) => return refused(site, visitor, &trouble),
    };
    let expected = match which.words() {
        None => went.total,
        Some(_) => meant,
    };
    let (words, who) = (which.words(), visitor.who());
    let begun = site
        .acts
        .begin(plan.what(), &which.queue, words, who, expected.min(limit));
    let act = match begun {
        Ok(act) => act,
        Err(other) => return refused(site, visitor, &Trouble::Busy(other)),
    };
    let (number, site) = (act.number, site.clone());
    site.tasks.clone().spawn(async move {
        let turn = site.turns.take(&act.queue).await;
        let ended = match turn {
            Ok(_turn) => plan.execute(&site, &act).await.map_err(Trouble::from),
            Err(trouble) => Err(trouble),
        };
        act.end(ended.unwrap_or_else(|trouble| Ended::Failed(trouble.to_string())));
    });
    see(number)
}

fn refused(site: &Arc<Site>, visitor: &Visitor, trouble: &Trouble) -> Response {
    let page = Page {
        site,
        visitor,
        title: "Nothing was done",
        tab: Tab::Queues,
        live: None,
    };
    page.with_status(trouble.status(), troubled(trouble))
}

/// Who may stop what was begun: whoever may begin it.
pub(super) fn least_for(what: &str) -> Role {
    match what {
        "replay" => Role::Operator,
        _ => Role::Admin,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_letter_on_its_way_gets_there_though_it_is_to_be_stopped() {
        let letter = async {
            sleep(LAST_LETTER / 2).await;
            5
        };
        assert_eq!(to_its_end(letter, ready(())).await, Some(5));
        assert_eq!(to_its_end(pending::<()>(), ready(())).await, None);
    }
}
