//! The style, the script and the icon of the page. They lie in the program.

use axum::response::IntoResponse;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

pub(super) async fn style() -> impl IntoResponse {
    file("text/css; charset=utf-8", include_str!("assets/style.css"))
}

pub(super) async fn script() -> impl IntoResponse {
    file(
        "text/javascript; charset=utf-8",
        include_str!("assets/live.js"),
    )
}

pub(super) async fn icon() -> impl IntoResponse {
    file("image/svg+xml", include_str!("assets/icon.svg"))
}

/// It is asked for again soon: the next build may have another.
fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, kind), (CACHE_CONTROL, "private, max-age=60")],
        text,
    )
}
