//! News for pages that are open.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use futures_util::stream;
use http::StatusCode;
use serde::Serialize;
use tokio::time::sleep;

use super::{guard::Fields, numbers, page::status_words, site::Site};
use crate::{app::Life, ops::faces::clean};

/// How often a page has news.
const EVERY: Duration = Duration::from_secs(2);

/// The same of one that somebody waits at.
const SOON: Duration = Duration::from_millis(300);

/// What changes on a page, by the ids of its elements.
#[derive(Default, Serialize)]
struct News {
    text: BTreeMap<String, String>,
    state: BTreeMap<String, &'static str>,
    shown: BTreeMap<String, bool>,
    value: BTreeMap<String, u64>,
    /// Nothing more will change.
    is_over: bool,
}

/// Which page.
#[derive(Clone, Copy)]
enum Of {
    Queues,
    Handlers,
    Act(u64),
}

pub(super) async fn events(State(site): State<Arc<Site>>, query: Fields) -> Response {
    let act = query.get("act").and_then(|number| number.parse().ok());
    let of = match (query.get("of"), act) {
        (Some("queues"), _) => Of::Queues,
        (Some("handlers"), _) => Of::Handlers,
        (_, Some(number)) if site.acts.get(number).is_some() => Of::Act(number),
        _ => return (StatusCode::NOT_FOUND, "there are no news of this\n").into_response(),
    };
    let Ok(place) = site.watchers.clone().try_acquire_owned() else {
        let text = "too many pages are open: this one stays as it is\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let news = stream::unfold(Some(Duration::ZERO), move |pause| {
        let site = site.clone();
        // it goes with the stream, when the browser does
        let _ = &place;
        async move {
            let pause = pause?;
            let mut life = site.life.clone();
            // cancel safety: neither holds anything
            tokio::select! {
                () = sleep(pause) => {}
                // also an error, when the program was dropped
                _ = life.wait_for(|life| matches!(life, Life::Ended)) => return None,
            }
            let news = of.news(&site).await;
            let next = (!news.is_over).then_some(of.pause());
            let event = Event::default().json_data(news).unwrap_or_default();
            Some((Ok::<_, Infallible>(event), next))
        }
    });
    Sse::new(news).into_response()
}

impl Of {
    fn pause(self) -> Duration {
        match self {
            Self::Queues | Self::Handlers => EVERY,
            Self::Act(_) => SOON,
        }
    }

    async fn news(self, site: &Arc<Site>) -> News {
        let mut news = News::default();
        let (word, state) = status_words(site.health().status);
        news.text.insert("status".to_owned(), word.to_owned());
        news.state.insert("status".to_owned(), state);
        match self {
            Self::Queues => news.of_queues(site).await,
            Self::Handlers => news.of_handlers(site),
            Self::Act(number) => news.of_act(site, number),
        }
        news
    }
}

impl News {
    fn say(&mut self, id: String, text: &str) {
        self.text.insert(id, clean(text));
    }

    async fn of_queues(&mut self, site: &Arc<Site>) {
        let (rows, trouble) = numbers::queues(site).await;
        self.shown.insert("trouble".to_owned(), trouble.is_some());
        self.say("trouble".to_owned(), trouble.as_deref().unwrap_or_default());
        for (at, row) in rows.into_iter().enumerate() {
            let id = |name: &str| format!("q{at}-{name}");
            let texts = [
                ("state", &row.state.0),
                ("ready", &row.ready),
                ("in-flight", &row.in_flight),
                ("rate", &row.rate),
                ("retry", &row.retry),
                ("dead", &row.dead),
            ];
            for (name, text) in texts {
                self.say(id(name), text);
            }
            self.state.insert(id("state"), row.state.1);
            self.shown.insert(id("pause"), !row.is_paused);
            self.shown.insert(id("resume"), row.is_paused);
        }
    }

    fn of_handlers(&mut self, site: &Site) {
        for (at, row) in numbers::handlers(site).into_iter().enumerate() {
            let texts = [
                ("done", &row.done),
                ("failed", &row.failed),
                ("in-flight", &row.in_flight),
                ("p50", &row.p50),
                ("p99", &row.p99),
            ];
            for (name, text) in texts {
                self.say(format!("h{at}-{name}"), text);
            }
        }
    }

    fn of_act(&mut self, site: &Site, number: u64) {
        let Some(act) = site.acts.get(number) else {
            self.is_over = true;
            return;
        };
        let progress = act.progress();
        self.say("progress".to_owned(), &progress.words());
        self.state.insert("progress".to_owned(), progress.state());
        self.value.insert("bar".to_owned(), progress.done as u64);
        self.is_over = progress.ended.is_some();
        self.shown.insert("stop".to_owned(), !self.is_over);
    }
}
