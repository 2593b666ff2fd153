//! The example, and what a collector gets of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::{Json, Router, routing::post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[path = "../examples/orders.rs"]
mod orders;

type Spans = Arc<Mutex<Vec<Value>>>;

/// Takes spans as a collector does: OTLP in JSON.
async fn take(State(spans): State<Spans>, Json(request): Json<Value>) -> Json<Value> {
    let all = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    for resource in all(&request, "resourceSpans") {
        for scope in all(&resource, "scopeSpans") {
            spans.lock().unwrap().extend(all(&scope, "spans"));
        }
    }
    Json(json!({}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_the_story_of_an_order() {
    let spans = Spans::default();
    let routes = Router::new()
        .route("/v1/traces", post(take))
        .with_state(spans.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
    orders::run("memory://collector", &collector).await.unwrap();
    serving.abort();

    let spans = spans.lock().unwrap();
    let mut names: Vec<_> = spans
        .iter()
        .map(|span| span["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "POST /orders",
            "process charges",
            "process charges",
            "process mails",
            "send charges",
            "send mails",
        ]
    );
    // what was tried again is a trace of its own, linked to the request's
    let traces: BTreeSet<_> = spans
        .iter()
        .map(|span| span["traceId"].to_string())
        .collect();
    assert_eq!(traces.len(), 2, "{spans:#?}");
    let linked: Vec<_> = spans
        .iter()
        .filter(|span| {
            span["links"]
                .as_array()
                .is_some_and(|links| !links.is_empty())
        })
        .collect();
    let [again] = linked[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!(again["name"], "process charges");
    let sent = spans
        .iter()
        .find(|span| span["name"] == "send charges")
        .unwrap();
    assert_eq!(again["links"][0]["spanId"], sent["spanId"]);
    assert_eq!(again["links"][0]["traceId"], sent["traceId"]);
    assert_ne!(again["traceId"], sent["traceId"]);
}
