//! Queues that are paused and resumed.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::LOCATION};

use super::{Visitor, guard::Fields, site::Site};
use crate::{health::Health, ops::Done};

pub(super) async fn pause(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    control(&site, &visitor, &fields, "pause", |health, queue| {
        health.pause(queue, visitor.who())
    })
}

pub(super) async fn resume(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    control(&site, &visitor, &fields, "resume", |health, queue| {
        health.resume(queue);
        true
    })
}

fn control(
    site: &Site,
    visitor: &Visitor,
    fields: &Fields,
    act: &str,
    with: impl Fn(&Health, &str) -> bool,
) -> Response {
    let queue = fields.get("queue").unwrap_or_default();
    let life = site.life();
    let is_known = site.known(queue).is_ok();
    let controls = life.controls().filter(|_| is_known);
    if !controls.is_some_and(|controls| with(&controls.health, queue)) {
        let text = "this queue is not consumed here\n";
        return (StatusCode::CONFLICT, text).into_response();
    }
    site.ops
        .tell_of(Some(visitor.who()), act, queue, &Done::default());
    (StatusCode::SEE_OTHER, [(LOCATION, "queues")]).into_response()
}
