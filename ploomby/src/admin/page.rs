//! What all pages have around them.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use maud::{DOCTYPE, Markup, html};

use super::{Visitor, guard::TOKEN, site::Site, text::Told};
use crate::ops::Status;

/// A page for one visitor.
pub(super) struct Page<'a> {
    pub(super) site: &'a Arc<Site>,
    pub(super) visitor: &'a Visitor,
    pub(super) title: &'a str,
    pub(super) tab: Tab,
    /// Where its news come from.
    pub(super) live: Option<&'a str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Queues,
    Handlers,
    Acts,
}

impl Page<'_> {
    pub(super) fn with(self, content: Markup) -> Response {
        self.with_status(StatusCode::OK, content)
    }

    pub(super) fn with_status(self, status: StatusCode, content: Markup) -> Response {
        let program = self.site.ops.program().name.as_deref();
        let program = program.map(|name| name.replacen('/', " ", 1));
        let (word, state) = status_words(self.site.health().status);
        let (who, role) = (self.visitor.who(), self.visitor.role().as_str());
        let tabs = [
            (Tab::Queues, "queues", "Queues"),
            (Tab::Handlers, "handlers", "Handlers"),
            (Tab::Acts, "acts", "Activity"),
        ];
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (Told(self.title)) " · " (Told(program.as_deref().unwrap_or("ploomby"))) }
                    link rel="stylesheet" href="style.css";
                    link rel="icon" type="image/svg+xml" href="icon.svg";
                    @if self.live.is_some() {
                        script src="live.js" defer {}
                        noscript { meta http-equiv="refresh" content="10"; }
                    }
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header {
                        p.name {
                            img src="icon.svg" alt="";
                            span { (Told(program.as_deref().unwrap_or("ploomby"))) }
                        }
                        nav aria-label="Pages" {
                            @for (tab, path, name) in tabs {
                                a href=(path) aria-current=[(tab == self.tab).then_some("page")] { (name) }
                            }
                        }
                        p.status {
                            span id="status" data-state=(state) { (word) }
                            @if self.live.is_some() { span id="live" data-state="none" { "as of now" } }
                        }
                    }
                    main id="main" data-live=[self.live] {
                        h1 { (Told(self.title)) }
                        (content)
                    }
                    footer { p { (Told(who)) ", " (role) } }
                }
            }
        };
        (status, html_of(page)).into_response()
    }
}

/// How a program is, in a word.
pub(super) fn status_words(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Starting => ("starting", "warn"),
        Status::Ready => ("ready", "ok"),
        Status::Unhealthy => ("unhealthy", "bad"),
        Status::Draining => ("draining", "warn"),
        Status::Ended => ("ended", "bad"),
    }
}

/// The token that each form has.
pub(super) fn token(site: &Site, visitor: &Visitor) -> Markup {
    html! { input type="hidden" name=(TOKEN) value=(site.tokens.of(visitor)); }
}

/// Fields that a form has, and nobody sees.
pub(super) fn hidden<'f>(fields: impl IntoIterator<Item = (&'static str, &'f str)>) -> Markup {
    html! {
        @for (name, value) in fields {
            input type="hidden" name=(name) value=(value);
        }
    }
}

fn html_of(page: Markup) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    ([(CONTENT_TYPE, kind)], page.into_string()).into_response()
}
