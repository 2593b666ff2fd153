//! Which trace messages belong to, without anything that collects traces.

use std::sync::Arc;
use std::time::Duration;

use ploomby::extract::{Attempt, Batch, RawBody, State, TraceId};
use ploomby::ops::{Filter, Replay};
use ploomby::trace::{Trace, TraceContext};
use ploomby::{
    App, HandlerRegistry, KeySource, Message, Publisher, Queue, Reply, Retry, RpcClient, Value,
};
use ploomby_tests::{Bed, DEADLINE, KEY, Received, eventually, seen};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const STATE: &str = "vendor=00f067aa0ba902b7";
const BAGGAGE: &str = "tenant=acme,user=ada%20l";

fn queue_of(name: &str) -> Queue {
    Queue::new(name).key(KeySource::header(KEY))
}

fn with_key(key: &str) -> Message {
    Message::new("1").with_header(KEY, key).unwrap()
}

/// A message that belongs to a trace.
fn traced(key: &str) -> Message {
    [
        ("traceparent", PARENT),
        ("tracestate", STATE),
        ("baggage", BAGGAGE),
    ]
    .into_iter()
    .fold(with_key(key), |message, (name, text)| {
        message.with_header(name, text).unwrap()
    })
}

fn assert_kept(received: &Received) {
    assert_eq!(received.text("traceparent"), PARENT);
    assert_eq!(received.text("tracestate"), STATE);
    assert_eq!(received.text("baggage"), BAGGAGE);
}

/// It was sent by another span of the same trace.
fn assert_continued(received: &Received) -> TraceContext {
    let context: TraceContext = received.text("traceparent").parse().unwrap();
    assert_eq!(context.trace_id().to_string(), TRACE);
    assert_ne!(context.to_string(), PARENT);
    assert_eq!(context.flags(), 1);
    assert_eq!(received.text("tracestate"), STATE);
    assert_eq!(received.text("baggage"), BAGGAGE);
    context
}

fn assert_untraced(received: &Received) {
    for name in ["traceparent", "tracestate", "baggage"] {
        assert_eq!(received.headers.get(name), None);
    }
}

fn id(trace: Option<TraceId>) -> String {
    trace.map_or_else(|| "none".to_owned(), |trace| trace.to_string())
}

pub(crate) async fn each_copy_keeps_the_trace(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_retry_50ms"));
    bed.remove_later(&format!("{queue}_delay_50ms"));
    let (seen, mut handled) = seen();
    let work = move |trace: TraceId, Attempt(attempt): Attempt| async move {
        seen.note(format!("{trace} {attempt}"));
        Err::<(), _>(anyhow::anyhow!("no luck"))
    };
    let app = || {
        let handlers = HandlerRegistry::new().register("work", work);
        let retry = Retry::fixed(2, Duration::from_millis(50));
        App::new(bed.url())
            .handlers(handlers)
            .queue(queue_of(&queue).retry(retry))
    };
    let running = app().start().await.unwrap();
    let publisher = running.publisher().await.unwrap();
    let dead = format!("{queue}_dlq");

    // tried again, and given up
    bed.publish(&queue, traced("work")).await;
    for attempt in 1..=2 {
        assert_eq!(handled.next_note().await, format!("{TRACE} {attempt}"));
    }
    eventually(DEADLINE, async || bed.ready_count(&dead).await == 1).await;
    // replayed
    let ops = app().ops().unwrap();
    let mut replaying = ops
        .replay(&queue, Replay::new(Filter::all()))
        .await
        .unwrap();
    assert!(replaying.next().await.unwrap().is_some());
    replaying.end().await.unwrap();
    ops.close().await;
    for attempt in 1..=2 {
        assert_eq!(handled.next_note().await, format!("{TRACE} {attempt}"));
    }
    let letter = bed.dead_letter(&queue).await;
    assert_kept(&letter);
    assert_eq!(letter.headers["ploomby-replayed"], Value::I64(1));
    // delayed
    let delayed = publisher.to(&queue).message(traced("work"));
    delayed
        .delay(Duration::from_millis(50))
        .send()
        .await
        .unwrap();
    for attempt in 1..=2 {
        assert_eq!(handled.next_note().await, format!("{TRACE} {attempt}"));
    }
    assert_kept(&bed.dead_letter(&queue).await);
    running.shut_down().await.unwrap();
}

pub(crate) async fn what_a_handler_sends_belongs_to_the_trace_of_its_message(bed: Arc<Bed>) {
    async fn pass_on(RawBody(way): RawBody, to: State<To>) -> anyhow::Result<()> {
        let State(To { publisher, queue }) = to;
        match &*way {
            b"at once" => {}
            // one that waits goes on elsewhere
            _ => tokio::task::yield_now().await,
        }
        let message = || publisher.to(&queue).header("tenant", "acme").body("");
        match &*way {
            b"all" => publisher.send_all([message(), message()]).await?,
            b"received" => {
                let received = traced("forwarded");
                let received = ploomby::Delivery::new(received).message().clone();
                publisher.to(&queue).message(received).send().await?;
            }
            _ => message().send().await?,
        }
        Ok(())
    }
    #[derive(Clone)]
    struct To {
        publisher: Publisher,
        queue: String,
    }

    let (queue, next) = (bed.queue_name(), bed.queue_name());
    bed.declare(&next, &[]).await;
    let to = To {
        publisher: Publisher::connect(bed.url()).await.unwrap(),
        queue: next.clone(),
    };
    let handlers = HandlerRegistry::new().register("pass_on", pass_on);
    let app = App::new(bed.url()).handlers(handlers).state(to);
    let app = app.queue(queue_of(&queue)).start().await.unwrap();
    let mut spans = Vec::new();
    for (way, count) in [("at once", 1), ("later", 1), ("all", 2), ("received", 1)] {
        let (properties, _) = traced("pass_on").into_parts();
        let message = Message::new(way).with_properties(properties);
        bed.publish(&queue, message).await;
        for _ in 0..count {
            spans.push(assert_continued(&bed.next(&next).await).span_id());
        }
    }
    spans.sort_unstable();
    spans.dedup();
    assert_eq!(spans.len(), 5, "each has its own");
    // one that belongs to no trace, though others did before
    for way in ["at once", "later"] {
        let (properties, _) = with_key("pass_on").into_parts();
        let message = Message::new(way).with_properties(properties);
        bed.publish(&queue, message).await;
        assert_untraced(&bed.next(&next).await);
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_call_within_a_handler_belongs_to_its_trace(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let client = RpcClient::connect(bed.url()).await.unwrap();
    let (asking, asked) = (client.clone(), queue.clone());
    let ask = move || {
        let (client, queue, seen) = (asking.clone(), asked.clone(), seen);
        async move {
            let call = client.to(&queue).header(KEY, "answer").payload(&1);
            seen.note(call.call::<String>().await?);
            anyhow::Ok(())
        }
    };
    let answer = async |trace: Option<TraceId>| Reply(id(trace));
    let handlers = HandlerRegistry::new()
        .register("ask", ask)
        .register("answer", answer);
    let app = bed.start(&queue, handlers).await;
    bed.publish(&queue, traced("ask")).await;
    assert_eq!(handled.next_note().await, TRACE);
    bed.publish(&queue, with_key("ask")).await;
    assert_eq!(handled.next_note().await, "none");
    client.close().await;
    app.shut_down().await.unwrap();
}

pub(crate) async fn what_is_sent_outside_of_a_handler_says_what_the_sender_says(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    publisher.to(&queue).body("").send().await.unwrap();
    assert_untraced(&bed.next(&queue).await);
    publisher.publish(&queue, traced("any")).await.unwrap();
    assert_kept(&bed.next(&queue).await);

    // and so does what a handler says itself
    let next = bed.queue_name();
    bed.declare(&next, &[]).await;
    let to = next.clone();
    let handlers = HandlerRegistry::new().register("pass_on", move |publisher: Publisher| {
        let to = to.clone();
        async move {
            let other = PARENT.replace("4bf9", "0000");
            let message = publisher.to(&to).header("traceparent", other).body("");
            message.send().await
        }
    });
    let app = bed.start(&queue, handlers).await;
    bed.publish(&queue, traced("pass_on")).await;
    let passed_on = bed.next(&next).await;
    assert_eq!(
        passed_on.text("traceparent"),
        PARENT.replace("4bf9", "0000")
    );
    assert_eq!(passed_on.headers.get("baggage"), None);
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_traceparent_that_is_none_changes_nothing(bed: Arc<Bed>) {
    let (queue, next) = (bed.queue_name(), bed.queue_name());
    bed.declare(&next, &[]).await;
    let (seen, mut handled) = seen();
    let to = next.clone();
    let pass_on = move |trace: Option<TraceId>, publisher: Publisher| {
        let (to, seen) = (to.clone(), seen);
        async move {
            seen.note(id(trace));
            publisher.to(&to).body("").send().await
        }
    };
    let handlers = HandlerRegistry::new().register("pass_on", pass_on);
    let app = bed.start(&queue, handlers).await;
    for bad in [
        Value::from(""),
        PARENT.to_uppercase().into(),
        PARENT.replacen("00", "ff", 1).into(),
        PARENT.replace(TRACE, &"0".repeat(32)).into(),
        PARENT[..54].into(),
        format!("{PARENT}-more").into(),
        "x".repeat(100_000).into(),
        7.into(),
        Value::Table(vec![("traceparent".to_owned(), PARENT.into())]),
    ] {
        let said = format!("{bad:?}");
        let message = traced("pass_on").with_header("traceparent", bad.clone());
        bed.publish(&queue, message.unwrap()).await;
        assert_eq!(handled.next_note().await, "none", "{said}");
        assert_untraced(&bed.next(&next).await);
    }
    // what goes with a good one is bounded
    let message = traced("pass_on").with_header("baggage", "x".repeat(9_000));
    bed.publish(&queue, message.unwrap()).await;
    assert_eq!(handled.next_note().await, TRACE);
    let passed_on = bed.next(&next).await;
    assert_eq!(passed_on.text("tracestate"), STATE);
    assert_eq!(passed_on.headers.get("baggage"), None);
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_handler_that_needs_a_trace_refuses_a_message_without_one(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let handlers = HandlerRegistry::new().register("work", async |_: TraceId| {});
    let app = bed.start(&queue, handlers).await;
    bed.publish(&queue, with_key("work")).await;
    let letter = bed.dead_letter(&queue).await;
    assert_eq!(letter.text("ploomby-reason"), "rejected");
    let error = "the message has no `traceparent`: take an `Option` of the trace's id";
    assert_eq!(letter.text("ploomby-error"), error);
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_message_without_a_trace_begins_one_if_the_queue_says_so(bed: Arc<Bed>) {
    let (queue, next) = (bed.queue_name(), bed.queue_name());
    bed.declare(&next, &[]).await;
    let (seen, mut handled) = seen();
    let to = next.clone();
    let pass_on = move |trace: TraceId, publisher: Publisher| {
        let (to, seen) = (to.clone(), seen);
        async move {
            seen.note(trace.to_string());
            publisher.to(&to).body("").send().await
        }
    };
    let handlers = HandlerRegistry::new().register("pass_on", pass_on);
    let app = bed
        .start_queue(queue_of(&queue).trace(Trace::Auto), handlers)
        .await;
    let mut traces = Vec::new();
    for _ in 0..2 {
        bed.publish(&queue, with_key("pass_on")).await;
        let trace = handled.next_note().await;
        let passed_on = bed.next(&next).await;
        assert_eq!(passed_on.text("traceparent")[3..35], trace);
        traces.push(trace);
    }
    assert_ne!(traces[0], traces[1]);
    bed.publish(&queue, traced("pass_on")).await;
    assert_eq!(handled.next_note().await, TRACE);
    assert_continued(&bed.next(&next).await);
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_batch_goes_on_with_no_trace_of_its_messages(bed: Arc<Bed>) {
    let (queue, next) = (bed.queue_name(), bed.queue_name());
    bed.declare(&next, &[]).await;
    let to = next.clone();
    let pass_on = move |batch: Batch<u32>, publisher: Publisher| {
        let to = to.clone();
        async move {
            drop(batch);
            publisher.to(&to).body("").send().await
        }
    };
    let handlers = HandlerRegistry::new().register("pass_on", pass_on);
    let app = bed
        .start_queue(queue_of(&queue).batch_size(1), handlers)
        .await;
    bed.publish(&queue, traced("pass_on")).await;
    assert_untraced(&bed.next(&next).await);
    app.shut_down().await.unwrap();
}
