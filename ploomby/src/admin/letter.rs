//! One letter with all that it says.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use maud::{Markup, html};

use super::{
    Role, Visitor,
    guard::Fields,
    letters::{error_for, short, troubled},
    page::{Page, Tab},
    site::Site,
    text::{Lines, Told, beginning, size},
    walk,
    which::{Which, link},
};
use crate::ops::{
    Fit, Letter, Ops,
    faces::{self, readable},
};

/// So much of a body is shown, in characters.
const MOST_BODY: usize = 20_000;

/// A larger body is not read as JSON: only its beginning is shown.
const MOST_PRETTY: usize = 1024 * 1024;

/// So many headers are shown.
const MOST_HEADERS: usize = 100;

/// So much of each is shown.
const MOST_HEADER: usize = 2_000;

pub(super) async fn letter(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    fields: Fields,
) -> Response {
    let queue = fields.get("queue").unwrap_or_default();
    let id = fields.get("id").unwrap_or_default();
    let title = format!("Letter {}", beginning(short(id), 40));
    let page = Page {
        site: &site,
        visitor: &visitor,
        title: &title,
        tab: Tab::Queues,
        live: None,
    };
    match walk::letter(&site, queue, id).await {
        Ok(letter) => page.with(html! {
            p { a href=(link("letters", [("queue", queue)])) { "All dead letters of " (Told(queue)) } }
            (summary(&site.ops, queue, &letter, &visitor))
            (actions(queue, &letter.id(), &visitor))
            @if visitor.role >= Role::Operator {
                (headers(&letter))
                (body(&site.ops, queue, &letter))
            } @else {
                h2 { "Body" }
                p.faint { (size(letter.message().body().len())) ". Headers and body are for operators." }
            }
        }),
        Err(trouble) => page.with_status(trouble.status(), troubled(&trouble)),
    }
}

fn summary(ops: &Ops, queue: &str, letter: &Letter, visitor: &Visitor) -> Markup {
    let summary = letter.summary();
    let fit = match ops.fits(queue, letter) {
        // the error may hold parts of the body
        Fit::Unfit { .. } if visitor.role < Role::Operator => "would not take it".to_owned(),
        fit => faces::fit(&fit),
    };
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let address = letter.address();
    let replayed = (summary.replayed > 0).then(|| format!("{} times", summary.replayed));
    let rows = [
        ("Name", Some(summary.id.clone())),
        ("Queue", owned(summary.queue)),
        (
            "Sent to",
            address.map(|(exchange, key)| format!("“{key}” through “{exchange}”")),
        ),
        ("Key", owned(summary.key)),
        ("Reason", owned(summary.reason)),
        (
            "Error",
            summary.error.map(|error| error_for(visitor, error)),
        ),
        ("Type of the error", owned(summary.error_type)),
        ("Handler", owned(summary.handler)),
        ("Place", faces::place(ops, letter)),
        ("Build", owned(summary.app)),
        (
            "Attempts",
            summary.attempts.map(|attempts| attempts.to_string()),
        ),
        ("Failed at", summary.failed_at.clone()),
        ("Replayed", replayed),
        ("Edited from", owned(letter.edited_from())),
        ("Message id", owned(summary.message_id)),
        ("Trace", owned(summary.trace_id)),
        ("This build", Some(fit)),
    ];
    html! {
        div.card { dl {
            @for (name, value) in rows {
                @if let Some(value) = value { dt { (name) } dd { (Told(beginning(&value, MOST_HEADER))) } }
            }
        } }
    }
}

fn actions(queue: &str, id: &str, visitor: &Visitor) -> Markup {
    let which = Which::one(queue, id);
    html! {
        @if visitor.role >= Role::Operator {
            p.actions {
                a.button.main href=(which.link("replay")) { "Replay…" }
                @if visitor.role >= Role::Admin {
                    a.button href=(which.link("edit")) { "Edit…" }
                    a.button.harm href=(which.link("discard")) { "Discard…" }
                }
            }
        }
    }
}

fn headers(letter: &Letter) -> Markup {
    let mut headers: Vec<_> = letter.message().headers().iter().collect();
    headers.retain(|(name, _)| !name.starts_with("ploomby-"));
    headers.sort_by(|a, b| a.0.cmp(b.0));
    let more = headers.len().saturating_sub(MOST_HEADERS);
    html! {
        h2 { "Headers" }
        @if headers.is_empty() { p.faint { "None but ploomby's own." } } @else {
            div.card { dl {
                @for (name, value) in headers.iter().take(MOST_HEADERS) {
                    dt { code { (Told(beginning(name, MOST_HEADER))) } }
                    dd { code { (Told(beginning(&faces::value(value), MOST_HEADER))) } }
                }
            } }
            @if more > 0 { p.faint { "And " (more) " more." } }
        }
    }
}

fn body(ops: &Ops, queue: &str, letter: &Letter) -> Markup {
    let body = letter.message().body();
    let kind = letter.message().properties().content_type();
    let text = match body.len() <= MOST_PRETTY {
        true => ops.body_as_text(queue, letter),
        false => None,
    };
    let text = match text {
        Some(text) => readable(text),
        // what is cut off need not be read
        None => String::from_utf8_lossy(&body[..body.len().min(MOST_BODY * 4)]).into_owned(),
    };
    let shown = beginning(&text, MOST_BODY);
    let is_cut = shown.len() < text.len() || body.len() > MOST_BODY * 4;
    html! {
        h2 { "Body" }
        p.faint {
            (size(body.len())) ", " (Told(kind.unwrap_or("without a content type")))
            @if is_cut { ". This is the beginning: " code { "dlq show --full" } " writes all of it." }
        }
        @if body.is_empty() { p.faint { "It is empty." } } @else {
            pre tabindex="0" role="region" aria-label="Body" { (Lines(shown)) }
        }
    }
}
