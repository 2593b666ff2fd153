//! The pages of queues and handlers.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{OriginalUri, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::LOCATION};
use maud::{Markup, html};

use super::{
    Role, Visitor,
    numbers::{self, HandlerRow, QueueRow},
    page::{Page, Tab, hidden, token},
    site::Site,
    text::Told,
    which::link,
};
use crate::ops::{HandlerInfo, faces};

/// The page begins with the queues, wherever it is nested.
pub(super) async fn front(OriginalUri(uri): OriginalUri) -> impl IntoResponse {
    // the path may lack the slash at its end, by which the browser would take `queues` for a sibling
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    let target = match last {
        "" => "queues".to_owned(),
        last => format!("{last}/queues"),
    };
    (StatusCode::SEE_OTHER, [(LOCATION, target)])
}

pub(super) async fn queues(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    let (rows, trouble) = numbers::queues(&site).await;
    let page = Page {
        site: &site,
        visitor: &visitor,
        title: "Queues",
        tab: Tab::Queues,
        live: Some("events?of=queues"),
    };
    page.with(html! {
        p.note.wrong id="trouble" role="status" hidden[trouble.is_none()] {
            (Told(trouble.as_deref().unwrap_or_default()))
        }
        div.table {
            table {
                thead { tr {
                    th scope="col" { "Queue" }
                    th scope="col" { "State" }
                    th.number scope="col" { "Ready" }
                    th.number scope="col" { "In flight" }
                    th.number scope="col" { "Rate" }
                    th.number scope="col" { "Waiting for retry" }
                    th.number scope="col" { "Dead letters" }
                    @if visitor.role >= Role::Operator { th scope="col" { "Control" } }
                } }
                tbody {
                    @for (at, row) in rows.iter().enumerate() { (queue(&site, &visitor, at, row)) }
                }
            }
        }
        p.faint { "The rate is of the last ten seconds, in this process. Ready, waiting and dead are the broker's." }
    })
}

fn queue(site: &Site, visitor: &Visitor, at: usize, row: &QueueRow) -> Markup {
    let id = |name: &str| format!("q{at}-{name}");
    let number = |name: &str, label: &str, value: &str| {
        html! { td.number data-label=(label) { span id=(id(name)) { (value) } } }
    };
    let control = |path: &str, word: &str, is_shown: bool| {
        html! {
            form id=(id(path)) action=(path) method="post" hidden[!is_shown] {
                (token(site, visitor)) (hidden([("queue", row.queue.as_str())]))
                button.small type="submit" aria-label={ (word) " " (Told(&row.queue)) } { (word) }
            }
        }
    };
    html! {
        tr {
            th scope="row" { a href=(link("letters", [("queue", &row.queue)])) { (Told(&row.queue)) } }
            td data-label="State" { span id=(id("state")) data-state=(row.state.1) { (Told(&row.state.0)) } }
            (number("ready", "Ready", &row.ready))
            (number("in-flight", "In flight", &row.in_flight))
            (number("rate", "Rate", &row.rate))
            (number("retry", "Waiting for retry", &row.retry))
            td.number data-label="Dead letters" {
                a id=(id("dead")) href=(link("letters", [("queue", &row.queue)])) { (row.dead) }
            }
            @if visitor.role >= Role::Operator {
                td data-label="Control" {
                    (control("pause", "Pause", !row.is_paused))
                    (control("resume", "Resume", row.is_paused))
                }
            }
        }
    }
}

pub(super) async fn handlers(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    let rows = numbers::handlers(&site);
    let page = Page {
        site: &site,
        visitor: &visitor,
        title: "Handlers",
        tab: Tab::Handlers,
        live: Some("events?of=handlers"),
    };
    let handlers = &site.ops.program().handlers;
    page.with(html! {
        div.table {
            table {
                thead { tr {
                    th scope="col" { "Key" }
                    th scope="col" { "Queue" }
                    th scope="col" { "Payload" }
                    th scope="col" { "Function" }
                    th.number scope="col" { "Done" }
                    th.number scope="col" { "Failed" }
                    th.number scope="col" { "In flight" }
                    th.number scope="col" { "p50" }
                    th.number scope="col" { "p99" }
                } }
                tbody {
                    @for (at, (info, row)) in handlers.iter().zip(&rows).enumerate() { (handler(at, info, row)) }
                }
            }
        }
        p.faint {
            "Since this process began, each attempt by itself. p50 and p99 are the bounds below which half of them and 99 of "
            "a hundred lie."
        }
        @if cfg!(feature = "asyncapi") {
            p { a href="asyncapi.json" { "What others may send, as AsyncAPI" } }
        }
    })
}

/// What other programs may send.
#[cfg(feature = "asyncapi")]
pub(super) async fn contract(State(site): State<Arc<Site>>) -> impl IntoResponse {
    axum::Json(site.ops.program().contract().as_json().clone())
}

fn handler(at: usize, info: &HandlerInfo, row: &HandlerRow) -> Markup {
    let number = |name: &str, label: &str, value: &str| {
        html! { td.number data-label=(label) { span id={ "h" (at) "-" (name) } { (value) } } }
    };
    html! {
        tr {
            th scope="row" {
                (Told(faces::keys(info)))
                @if let Some(doc) = &info.doc { p.doc.faint { (super::text::Lines(doc)) } }
            }
            td data-label="Queue" { (Told(info.queue.as_deref().unwrap_or("all"))) }
            td data-label="Payload" { code { (Told(faces::payload(info))) } }
            td data-label="Function" {
                div {
                    code { (Told(&info.function)) } br;
                    span.faint { (Told(&info.file)) ":" (info.line) }
                }
            }
            (number("done", "Done", &row.done))
            (number("failed", "Failed", &row.failed))
            (number("in-flight", "In flight", &row.in_flight))
            (number("p50", "p50", &row.p50))
            (number("p99", "p99", &row.p99))
        }
    }
}
