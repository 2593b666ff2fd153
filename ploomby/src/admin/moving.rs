//! Letters that are replayed or discarded: what is asked before, and how it is done.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{RawQuery, State},
    response::Response,
};
use maud::{Markup, html};
use tokio_util::sync::CancellationToken;

use super::{
    Role, Visitor,
    activity::see,
    acts::{Act, Ended},
    guard::Fields,
    letters::{count_of, troubled},
    page::{Page, Tab, hidden, token},
    site::Site,
    text::{Told, count},
    walk::{Trouble, Went},
    which::{Which, link},
};
use crate::{
    app::Life,
    ops::{Discarding, Done, Filter, OpsError, Replay, Replaying, faces},
};

/// How long the first letters of a replay are watched.
const CANARY_WAIT: Duration = Duration::from_secs(10);

/// Nobody waits for a letter for longer.
const MOST_PER_SECOND: u32 = 1_000_000;

pub(super) async fn ask_replay(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
) -> Response {
    let which = Which::of(&Fields::of(query.unwrap_or_default().as_bytes()));
    let title = format!("Replay letters of {}?", which.queue);
    ask(&site, &visitor, &which, &title, |meant| html! {
        p { "They go back to where they failed, and start anew. What fails again comes back, and is not replayed twice." }
        form action="replay" method="post" {
            (token(&site, &visitor)) (hidden(which.fields()))
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
    RawQuery(query): RawQuery,
) -> Response {
    let which = Which::of(&Fields::of(query.unwrap_or_default().as_bytes()));
    let title = format!("Discard letters of {}?", which.queue);
    ask(&site, &visitor, &which, &title, |_| html! {
        p.note.wrong { "They are gone for good. " code { "dlq discard --to FILE" } " writes them to a file first." }
        form action="discard" method="post" {
            (token(&site, &visitor)) (hidden(which.fields()))
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
    let which = Which::of(&fields);
    let number = |name| {
        fields
            .get(name)
            .and_then(|number| number.parse::<usize>().ok())
    };
    let mut replay = Replay::new(which.filter()).by(visitor.who());
    if let Some(limit) = number("limit") {
        replay = replay.limit(limit);
    }
    if let Some(canary) = number("canary").filter(|canary| *canary > 0) {
        replay = replay.canary(canary, CANARY_WAIT);
    }
    let rate = fields.get("rate").and_then(|rate| rate.parse::<u32>().ok());
    if let Some(rate) = rate.filter(|rate| *rate > 0) {
        replay = replay.every(Duration::from_secs(1) / rate);
    }
    let limit = number("limit").unwrap_or(usize::MAX);
    begin(&site, &visitor, which, limit, Plan::Replay(replay)).await
}

pub(super) async fn discard(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let which = Which::of(&fields);
    let filter = which.filter();
    let limit = fields.get("limit").and_then(|limit| limit.parse().ok());
    let limit = limit.unwrap_or(usize::MAX);
    begin(&site, &visitor, which, limit, Plan::Discard(filter, limit)).await
}

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
        let mut life = site.life.clone();
        let mut stopped = std::pin::pin!(stopped(&act.stop, &mut life));
        loop {
            // cancel safety: a letter that is on its way is in both queues, or in one
            let moved = tokio::select! {
                biased;
                () = &mut stopped => return Ok(Ended::Stopped),
                moved = self.next() => moved?,
            };
            if !moved {
                return Ok(Ended::Done);
            }
            act.step();
        }
    }

    /// Whether there was one more.
    async fn next(&mut self) -> Result<bool, OpsError> {
        Ok(match self {
            Self::Replay(replaying) => replaying.next().await?.is_some(),
            Self::Discard(discarding) => discarding.next(None).await?.is_some(),
        })
    }

    async fn end(self) -> Result<Done, OpsError> {
        match self {
            Self::Replay(replaying) => replaying.end().await,
            Self::Discard(discarding) => discarding.end().await,
        }
    }
}

/// Somebody stops it, or the program ends.
async fn stopped(stop: &CancellationToken, life: &mut tokio::sync::watch::Receiver<Life>) {
    tokio::select! {
        () = stop.cancelled() => {}
        // also an error, when the program was dropped
        _ = life.wait_for(|life| matches!(life, Life::Draining(_) | Life::Ended)) => {}
    }
}

/// Begins to do something with letters, in a task that the browser need not wait for, and leads to its page.
async fn begin(
    site: &Arc<Site>,
    visitor: &Visitor,
    which: Which,
    limit: usize,
    plan: Plan,
) -> Response {
    let refused = |trouble: &Trouble| {
        let page = Page {
            site,
            visitor,
            title: "Nothing was done",
            tab: Tab::Queues,
            live: None,
        };
        page.with_status(trouble.status(), troubled(trouble))
    };
    let (meant, went) = match count_of(site, &which).await {
        Ok(counted) => counted,
        Err(trouble) => return refused(&trouble),
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
        Err(other) => return refused(&Trouble::Busy(other)),
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

/// Who may stop what was begun: whoever may begin it.
pub(super) fn least_for(what: &str) -> Role {
    match what {
        "replay" => Role::Operator,
        _ => Role::Admin,
    }
}
