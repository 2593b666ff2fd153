//! What becomes of a request, as the spans tell it that are exported.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use anyhow::ensure;
use axum::Router;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use opentelemetry::trace::{SpanKind, Status};
use ploomby::extract::State;
use ploomby::ops::{Filter, Replay};
use ploomby::{App, HandlerRegistry, Publisher, Queue, Retry};
use tower::ServiceExt;
use tracing::Instrument;

use self::collected::{Collected, Story, eventually};

mod collected;
mod links;

#[derive(Clone)]
struct Stock(Arc<AtomicBool>);

async fn order(Shared(publisher): Shared<Publisher>) -> StatusCode {
    let request = tracing::info_span!("POST /orders", otel.kind = "server");
    let placed = publisher.send("orders", "place", &7).instrument(request);
    match placed.await {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn place(
    order: u32,
    publisher: Publisher,
    State(Stock(is_there)): State<Stock>,
) -> anyhow::Result<()> {
    publisher.send("mails", "write", &order).await?;
    ensure!(is_there.load(SeqCst), "nothing in stock");
    Ok(())
}

async fn write(order: u32) {
    tracing::info!(order, "written");
}

fn app(url: &str, stock: &Stock) -> App {
    let handlers = HandlerRegistry::new()
        .register("place", place)
        .register("write", write);
    let retry = Retry::fixed(2, Duration::from_millis(10));
    App::new(url)
        .handlers(handlers)
        .state(stock.clone())
        .queue(Queue::new("orders").retry(retry))
        .queue(Queue::new("mails"))
}

#[tokio::test]
async fn a_request_is_one_story_over_retry_dead_letter_and_replay() {
    let (collected, _guard) = Collected::begin();
    let url = "memory://story";
    let stock = Stock(Arc::default());
    let running = app(url, &stock).start().await.unwrap();
    let publisher = Publisher::connect(url).await.unwrap();

    let routes = Router::new()
        .route("/orders", post(order))
        .with_state(publisher);
    let request = Request::post("/orders").body(Body::empty()).unwrap();
    let answer = routes.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    collected.until("process orders", 2).await;
    let ops = app(url, &stock).ops().unwrap();
    eventually(async || {
        let mut look = ops.look("orders").await.unwrap();
        let letter = look.next().await.unwrap();
        look.end().await.unwrap();
        letter.is_some()
    })
    .await;
    stock.0.store(true, SeqCst);
    let mut replaying = ops
        .replay("orders", Replay::new(Filter::all()))
        .await
        .unwrap();
    assert!(replaying.next().await.unwrap().is_some());
    replaying.end().await.unwrap();
    collected.until("process orders", 3).await;
    collected.until("process mails", 3).await;
    running.shut_down().await.unwrap();

    let story = collected.story();
    let root = story.only("POST /orders");
    let sent = story.children(root);
    assert_eq!(Story::names(&sent), ["send orders"]);
    assert_eq!(sent[0].span_kind, SpanKind::Producer);
    let first = story.children(sent[0]);
    assert_eq!(Story::names(&first), ["process orders"]);
    assert_eq!(first[0].span_kind, SpanKind::Consumer);
    assert!(matches!(first[0].status, Status::Error { .. }));

    // what came later is linked to what sent it
    let mut later = story.linked_to(sent[0]);
    later.retain(|span| span.span_kind == SpanKind::Consumer);
    assert_eq!(Story::names(&later), ["process orders", "process orders"]);
    let attempts: Vec<_> = [first[0], later[0], later[1]]
        .iter()
        .map(|span| {
            let outcome = Story::text(span, "ploomby.outcome");
            let error = Story::text(span, "error.type");
            (Story::text(span, "ploomby.attempt"), outcome, error)
        })
        .collect();
    assert_eq!(
        attempts,
        [
            ("1".into(), "retry".into(), "handler-error".into()),
            ("2".into(), "dead_letter".into(), "handler-error".into()),
            ("1".into(), "ack".into(), "-".into()),
        ]
    );
    // each of them wrote a mail
    for attempt in [first[0], later[0], later[1]] {
        let mail = story.children(attempt);
        assert_eq!(Story::names(&mail), ["send mails"]);
        let written = story.children(mail[0]);
        assert_eq!(Story::names(&written), ["process mails"]);
        assert_eq!(
            written[0].span_context.trace_id(),
            attempt.span_context.trace_id()
        );
        assert!(Story::events(written[0]).contains(&"written".to_owned()));
    }
    // ploomby's own lines are inside
    let dead_lettered = Story::events(later[0]);
    assert!(
        dead_lettered.contains(&"dead-lettered".to_owned()),
        "{dead_lettered:?}"
    );
    // what moved the letter belongs to it, too
    let moved = story.linked_to(sent[0]);
    let moved: Vec<_> = moved
        .into_iter()
        .filter(|span| span.span_kind == SpanKind::Producer)
        .collect();
    assert_eq!(Story::names(&moved), ["send orders"]);
    let beside = story.not_from(root);
    assert!(beside.is_empty(), "{:?}", Story::names(&beside));
}

#[tokio::test]
async fn a_span_says_what_opentelemetry_names() {
    let (collected, _guard) = Collected::begin();
    let url = "memory://attributes";
    let stock = Stock(Arc::default());
    let running = app(url, &stock).start().await.unwrap();
    let publisher = running.publisher().await.unwrap();
    publisher.send("mails", "write", &7).await.unwrap();
    collected.until("process mails", 1).await;
    running.shut_down().await.unwrap();

    let story = collected.story();
    let (sent, processed) = (story.only("send mails"), story.only("process mails"));
    let id = Story::text(sent, "messaging.message.id");
    assert_eq!(id.len(), 36);
    for (name, of_sent, of_processed) in [
        ("messaging.system", "rabbitmq", "rabbitmq"),
        ("messaging.operation.name", "send", "process"),
        ("messaging.operation.type", "send", "process"),
        ("messaging.destination.name", "mails", "mails"),
        ("messaging.message.id", &id, &id),
        (
            "messaging.rabbitmq.destination.routing_key",
            "mails",
            "mails",
        ),
        ("messaging.message.body.size", "-", "1"),
        ("ploomby.handler", "-", "story::write"),
        ("ploomby.key", "-", "write"),
        ("ploomby.attempt", "-", "1"),
        ("ploomby.redelivered", "-", "false"),
        ("ploomby.outcome", "-", "ack"),
        ("error.type", "-", "-"),
    ] {
        assert_eq!(Story::text(sent, name), of_sent, "{name}");
        assert_eq!(Story::text(processed, name), of_processed, "{name}");
    }
    let trace = sent.span_context.trace_id().to_string();
    assert_eq!(Story::text(sent, "trace_id"), trace);
    assert_eq!(Story::text(processed, "trace_id"), trace);
}
