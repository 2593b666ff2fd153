//! All routes, each with what it takes to be let through.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    middleware,
    routing::{self, MethodRouter},
};
use http::Method;

use super::{
    Role, activity, assets, control, editing, events, guard, letter, letters, moving, overview,
    probes, site::Site,
};

/// One route of the page.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) need: Need,
    handler: MethodRouter<Arc<Site>>,
}

/// What it takes to be let through. What is no GET also needs a form of the page itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Probes show nothing of who they are.
    Nothing,
    Role(Role),
}

impl Route {
    fn get<T: 'static>(
        path: &'static str,
        need: Need,
        handler: impl Handler<T, Arc<Site>>,
    ) -> Self {
        Self {
            method: Method::GET,
            path,
            need,
            handler: routing::get(handler),
        }
    }

    fn post<T: 'static>(
        path: &'static str,
        least: Role,
        handler: impl Handler<T, Arc<Site>>,
    ) -> Self {
        Self {
            method: Method::POST,
            path,
            need: Need::Role(least),
            handler: routing::post(handler),
        }
    }
}

/// The table that the router is made of.
pub(super) fn all() -> Vec<Route> {
    let reader = Need::Role(Role::Reader);
    let mut all = vec![
        Route::get("/live", Need::Nothing, probes::live),
        Route::get("/ready", Need::Nothing, probes::ready),
        Route::get("/health", reader, probes::health),
        Route::get("/metrics", reader, probes::metrics),
        Route::get("/style.css", Need::Nothing, assets::style),
        Route::get("/live.js", Need::Nothing, assets::script),
        Route::get("/icon.svg", Need::Nothing, assets::icon),
        // all pages are in the same folder: their links are relative, wherever that is nested
        Route::get("/", reader, overview::front),
        Route::get("/queues", reader, overview::queues),
        Route::get("/handlers", reader, overview::handlers),
        Route::get("/letters", reader, letters::letters),
        Route::get("/letter", reader, letter::letter),
        Route::get("/acts", reader, activity::acts),
        Route::get("/act", reader, activity::act),
        Route::get("/events", reader, events::events),
        Route::post("/pause", Role::Operator, control::pause),
        Route::post("/resume", Role::Operator, control::resume),
        Route::get("/replay", Need::Role(Role::Operator), moving::ask_replay),
        Route::post("/replay", Role::Operator, moving::replay),
        Route::post("/stop", Role::Operator, activity::stop),
        Route::get("/discard", Need::Role(Role::Admin), moving::ask_discard),
        Route::post("/discard", Role::Admin, moving::discard),
        Route::get("/edit", Need::Role(Role::Admin), editing::ask),
        Route::post("/edit", Role::Admin, editing::edit),
    ];
    all.extend(contract(reader));
    all
}

/// What other programs may send, if the program can write it down.
#[cfg(feature = "asyncapi")]
fn contract(reader: Need) -> Option<Route> {
    Some(Route::get("/asyncapi.json", reader, overview::contract))
}

#[cfg(not(feature = "asyncapi"))]
fn contract(_: Need) -> Option<Route> {
    None
}

/// A router in which each route has its guard.
pub(super) fn router(site: &Arc<Site>) -> Router {
    let mut router = Router::new();
    for route in all() {
        let guard = guard::Guard {
            site: site.clone(),
            need: route.need,
            acts: route.method != Method::GET,
        };
        let guarded = middleware::from_fn_with_state(guard, guard::check);
        router = router.route(route.path, route.handler.layer(guarded));
    }
    router
        .fallback(guard::nothing_here)
        .layer(middleware::map_response(guard::with_headers))
        .with_state(site.clone())
}
