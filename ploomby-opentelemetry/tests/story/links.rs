//! What belongs to a trace, and what is only linked to it.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::SpanKind;
use ploomby::extract::{Attempt, Batch, TraceId};
use ploomby::memory::MemoryBroker;
use ploomby::trace::Trace;
use ploomby::{
    HandlerRegistry, Message, Outcome, Properties, Publisher, Queue, Reply, Retry, RpcClient,
};
use tokio::sync::Notify;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::collected::{Collected, Story, eventually, start};

/// Fails once.
async fn second(Attempt(attempt): Attempt) -> Outcome {
    match attempt {
        1 => Outcome::Retry,
        _ => Outcome::Ack,
    }
}

/// The names of what is a child of the first span `send orders`, and of what is linked to it.
async fn handled(url: &str, trace: Trace) -> (Vec<String>, Vec<String>) {
    let (collected, _guard) = Collected::begin();
    let handlers = HandlerRegistry::new().register("second", second);
    let retry = Retry::fixed(2, Duration::from_millis(5));
    let queue = Queue::new("orders").retry(retry).trace(trace);
    let running = start(url, queue, handlers).await;
    let publisher = running.publisher().await.unwrap();
    publisher.send("orders", "second", &()).await.unwrap();
    if trace == Trace::Off {
        running.shut_down().await.unwrap();
    } else {
        collected.until("process orders", 2).await;
        running.shut_down().await.unwrap();
    }
    let story = collected.story();
    let sent = story.only("send orders");
    let attempts = |spans: Vec<_>| {
        let attempt = |span: &&_| Story::text(span, "ploomby.attempt");
        spans.iter().map(attempt).collect::<Vec<_>>()
    };
    let (children, linked) = (story.children(sent), story.linked_to(sent));
    (attempts(children), attempts(linked))
}

#[tokio::test]
async fn a_queue_chooses_what_belongs_to_the_trace() {
    for (trace, children, linked) in [
        (Trace::Auto, vec!["1"], vec!["2"]),
        (Trace::Parent, vec!["1", "2"], vec![]),
        (Trace::Link, vec![], vec!["1", "2"]),
        (Trace::Off, vec![], vec![]),
    ] {
        let url = format!("memory://{trace:?}");
        let handled = handled(&url, trace).await;
        let expected = [children, linked].map(|attempts| attempts.into_iter().map(str::to_owned));
        let [children, linked] = expected.map(Iterator::collect);
        assert_eq!(handled, (children, linked), "{trace:?}");
    }
}

#[tokio::test]
async fn a_batch_is_linked_to_what_sent_its_messages() {
    async fn pack(parcels: Batch<u32>, publisher: Publisher) -> anyhow::Result<()> {
        let count = parcels.len();
        publisher.send("lorries", "load", &count).await?;
        Ok(())
    }

    let (collected, _guard) = Collected::begin();
    let handlers = HandlerRegistry::new()
        .register("pack", pack)
        .register("load", async |_: usize| {});
    let url = "memory://batches";
    ploomby::memory::MemoryBroker::named("batches")
        .declare_queue("lorries", [])
        .unwrap();
    let queue = Queue::new("parcels").batch_size(3);
    let running = start(url, queue, handlers).await;
    let publisher = running.publisher().await.unwrap();
    for number in 0..3 {
        publisher.send("parcels", "pack", &number).await.unwrap();
    }
    collected.until("settle parcels", 3).await;
    running.shut_down().await.unwrap();

    let story = collected.story();
    let batch = story.only("process parcels");
    assert_eq!(Story::text(batch, "messaging.batch.message_count"), "3");
    let sent = story.all("send parcels");
    assert_eq!(sent.len(), 3);
    for sent in &sent {
        let linked = story.linked_to(sent);
        let mut names = Story::names(&linked);
        names.sort_unstable();
        assert_eq!(names, ["process parcels", "settle parcels"]);
        let settled = linked.iter().find(|span| span.name == "settle parcels");
        assert_eq!(Story::text(settled.unwrap(), "ploomby.outcome"), "ack");
    }
    assert_eq!(Story::links(batch).len(), 3);
    // what the batch sends is its own
    assert_eq!(Story::names(&story.children(batch)), ["send lorries"]);
}

/// A message that a sender of no traces has sent.
fn parcel(key: &str) -> Message {
    let properties = Properties::new().with_message_type(key).unwrap();
    Message::new("1").with_properties(properties)
}

#[tokio::test]
async fn what_handlers_of_untraced_messages_send_has_no_trace() {
    let send = async |publisher: Publisher| publisher.send("lorries", "load", &()).await;
    let pack =
        async |_: Batch<u32>, publisher: Publisher| publisher.send("lorries", "load", &()).await;
    let (collected, _guard) = Collected::begin();
    let handlers = HandlerRegistry::new()
        .register("send", send)
        .register("pack", pack);
    let broker = MemoryBroker::named("untraced");
    broker.declare_queue("lorries", []).unwrap();
    let queue = Queue::new("parcels").batch_size(1).trace(Trace::Off);
    let running = start("memory://untraced", queue, handlers).await;
    for key in ["send", "pack"] {
        let message = parcel(key);
        broker.publish("parcels", message).unwrap();
        eventually(async || broker.ready_count("lorries") == 1).await;
        let sent = broker.get("lorries").unwrap();
        assert_eq!(sent.headers().text("traceparent"), None, "{key}");
    }
    running.shut_down().await.unwrap();
    assert!(collected.story().all("send lorries").is_empty());
}

#[tokio::test]
async fn a_batch_has_the_baggage_of_none_of_its_messages() {
    let pack =
        async |_: Batch<u32>, publisher: Publisher| publisher.send("lorries", "load", &()).await;
    let (_collected, _guard) = Collected::begin();
    let broker = MemoryBroker::named("packed");
    broker.declare_queue("lorries", []).unwrap();
    let handlers = HandlerRegistry::new().register("pack", pack);
    let queue = Queue::new("parcels").batch_size(1);
    let running = start("memory://packed", queue, handlers).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let message = parcel("pack").with_header("traceparent", parent).unwrap();
    let message = message.with_header("baggage", "tenant=acme").unwrap();
    broker.publish("parcels", message).unwrap();
    eventually(async || broker.ready_count("lorries") == 1).await;
    let sent = broker.get("lorries").unwrap();
    assert_eq!(sent.headers().text("baggage"), None);
    running.shut_down().await.unwrap();
}

#[tokio::test]
async fn what_was_delayed_is_linked() {
    let (collected, _guard) = Collected::begin();
    let handlers = HandlerRegistry::new().register("wake", async || {});
    let url = "memory://delayed";
    let running = start(url, Queue::new("sleepers"), handlers).await;
    let publisher = running.publisher().await.unwrap();
    let delayed = publisher.to("sleepers").key("wake").payload(&());
    let delayed = delayed.delay(Duration::from_millis(5));
    delayed.send().await.unwrap();
    collected.until("process sleepers", 1).await;
    running.shut_down().await.unwrap();

    let story = collected.story();
    let sent = story.only("send sleepers");
    assert!(story.children(sent).is_empty());
    assert_eq!(Story::names(&story.linked_to(sent)), ["process sleepers"]);
}

#[tokio::test]
async fn a_call_is_over_when_its_reply_is_there() {
    let (collected, _guard) = Collected::begin();
    let handlers = HandlerRegistry::new().register("add", async |(a, b): (u32, u32)| Reply(a + b));
    let url = "memory://calls";
    let running = start(url, Queue::new("numbers"), handlers).await;
    let client = RpcClient::connect(url).await.unwrap();
    let root = tracing::info_span!("asking");
    let call = client.call::<_, u32>("numbers", "add", &(1, 2));
    assert_eq!(call.instrument(root).await.unwrap(), 3);
    let nobody = client.call::<_, u32>("nobody", "add", &(1, 2)).await;
    assert!(nobody.is_err());
    running.shut_down().await.unwrap();

    let story = collected.story();
    let call = story.only("send numbers");
    assert_eq!(call.span_kind, SpanKind::Client);
    assert_eq!(Story::text(call, "messaging.operation.name"), "call");
    assert_eq!(
        Story::names(&story.children(story.only("asking"))),
        ["send numbers"]
    );
    let handled = story.children(call);
    assert_eq!(Story::names(&handled), ["process numbers"]);
    assert!(call.end_time >= handled[0].start_time);
    let failed = story.only("send nobody");
    assert_eq!(Story::text(failed, "error.type"), "nobody-listens");
}

#[tokio::test]
async fn baggage_goes_on_whatever_the_trace() {
    let (collected, _guard) = Collected::begin();
    let (there, seen) = (
        Arc::new(Notify::new()),
        Arc::new(std::sync::Mutex::new(Vec::new())),
    );
    let (noting, notes) = (there.clone(), seen.clone());
    let carry = move |Attempt(attempt): Attempt, trace: TraceId, properties: Properties| {
        let (there, seen) = (noting.clone(), notes.clone());
        async move {
            let context = tracing::Span::current().context();
            let tenant = context.baggage().get("tenant").map(ToString::to_string);
            let header = properties.headers().text("baggage").map(str::to_owned);
            seen.lock().unwrap().push((attempt, trace, tenant, header));
            if attempt == 1 {
                return Outcome::Retry;
            }
            there.notify_one();
            Outcome::Ack
        }
    };
    let handlers = HandlerRegistry::new().register("carry", carry);
    let retry = Retry::fixed(2, Duration::from_millis(5));
    let running = start(
        "memory://baggage",
        Queue::new("bags").retry(retry),
        handlers,
    )
    .await;
    let publisher = running.publisher().await.unwrap();
    let root = tracing::info_span!("packing");
    let packed = opentelemetry::Context::new().with_baggage([KeyValue::new("tenant", "a b")]);
    root.set_parent(packed).unwrap();
    let sending = publisher.send("bags", "carry", &());
    sending.instrument(root).await.unwrap();
    there.notified().await;
    collected.until("process bags", 2).await;
    running.shut_down().await.unwrap();

    let seen = seen.lock().unwrap();
    let carried: Vec<_> = seen
        .iter()
        .map(|(attempt, _, tenant, header)| (*attempt, tenant.as_deref(), header.as_deref()))
        .collect();
    let (tenant, header) = (Some("a b"), Some("tenant=a%20b"));
    assert_eq!(carried, [(1, tenant, header), (2, tenant, header)]);
    // a handler hears of the trace in which its spans are
    let story = collected.story();
    let spans = story.all("process bags");
    for (span, (_, trace, ..)) in spans.iter().zip(&*seen) {
        assert_eq!(span.span_context.trace_id().to_string(), trace.to_string());
    }
    assert_ne!(seen[0].1, seen[1].1);
}
