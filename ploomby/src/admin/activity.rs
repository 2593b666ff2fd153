//! How far something is that is being done with letters, and what was done before.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::LOCATION};
use maud::{Markup, html};

use super::{
    Visitor,
    acts::{Act, Ended},
    guard::Fields,
    moving::least_for,
    page::{Page, Tab, hidden, token},
    site::Site,
    text::Told,
    which::link,
};
use crate::ops::{Done, faces};

/// Leads to the page of an act.
pub(super) fn see(number: u64) -> Response {
    (
        StatusCode::SEE_OTHER,
        [(LOCATION, format!("act?n={number}"))],
    )
        .into_response()
}

pub(super) async fn acts(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    let acts = site.acts.all();
    let page = Page {
        site: &site,
        visitor: &visitor,
        title: "Activity",
        tab: Tab::Acts,
        live: None,
    };
    page.with(html! {
        @if acts.is_empty() {
            p { "Nothing was done with letters by this page since the process began." }
        } @else {
            div.table { table {
                thead { tr {
                    th scope="col" { "What" }
                    th scope="col" { "Letters" }
                    th scope="col" { "Who" }
                    th scope="col" { "When" }
                    th scope="col" { "How far" }
                } }
                tbody { @for act in &acts { (row(act)) } }
            } }
        }
        p.faint { "Of this process. The log has an event of each at the target " code { "ploomby::ops" } "." }
    })
}

fn row(act: &Act) -> Markup {
    let progress = act.progress();
    html! {
        tr {
            th scope="row" { a href={ "act?n=" (act.number) } { (act.what) " " (Told(&act.queue)) } }
            td data-label="Letters" { (Told(&act.which)) }
            td data-label="Who" { (Told(&act.who)) }
            td data-label="When" { (ago(act.since)) }
            td data-label="How far" { span data-state=(progress.state()) { (Told(progress.words())) } }
        }
    }
}

fn ago(at: SystemTime) -> String {
    let ago = SystemTime::now().duration_since(at).unwrap_or_default();
    faces::ago(ago.as_secs())
}

pub(super) async fn act(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    fields: Fields,
) -> Response {
    let number = fields.get("n").and_then(|number| number.parse().ok());
    let found = number.and_then(|number| site.acts.get(number));
    let title = match &found {
        Some(act) => format!("{} {}", act.what, act.queue),
        None => "Nothing of this number".to_owned(),
    };
    let progress = found.as_ref().map(|act| act.progress());
    let is_over = progress
        .as_ref()
        .is_none_or(|progress| progress.ended.is_some());
    let live = found
        .as_ref()
        .filter(|_| !is_over)
        .map(|act| format!("events?act={}", act.number));
    let page = Page {
        site: &site,
        visitor: &visitor,
        title: &title,
        tab: Tab::Acts,
        live: live.as_deref(),
    };
    let (Some(act), Some(progress)) = (found, progress) else {
        return page.with_status(
            StatusCode::NOT_FOUND,
            html! { p { "It may have been forgotten since." } },
        );
    };
    page.with(html! {
        div.card {
            p { "Letters: " (Told(&act.which)) ". By " (Told(&act.who)) ", " (ago(act.since)) "." }
            p role="status" { span id="progress" data-state=(progress.state()) { (Told(progress.words())) } }
            @match progress.ended {
                Some(Ended::Done) => {},
                _ => progress id="bar" aria-labelledby="progress" max=(progress.expected.max(1)) value=(progress.done) {},
            }
            @if !is_over && visitor.role >= least_for(act.what) {
                form.actions id="stop" action="stop" method="post" {
                    (token(&site, &visitor)) (hidden([("n", act.number.to_string().as_str())]))
                    button.harm type="submit" { "Stop" }
                }
            }
            p.actions { a.button href=(link("letters", [("queue", &act.queue)])) { "Dead letters of " (Told(&act.queue)) } }
        }
    })
}

pub(super) async fn stop(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let number = fields.get("n").and_then(|number| number.parse().ok());
    let Some(act) = number.and_then(|number| site.acts.get(number)) else {
        return (StatusCode::NOT_FOUND, "there is nothing to be stopped\n").into_response();
    };
    if visitor.role < least_for(act.what) {
        let text = "who may not begin this may not stop it\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    if act.progress().ended.is_none() {
        let who = Some(visitor.who());
        site.ops.tell_of(who, "stop", &act.queue, &Done::default());
    }
    act.stop.cancel();
    see(act.number)
}
