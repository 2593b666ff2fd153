use std::sync::Arc;

use ploomby::{HandlerRegistry, Message, Outcome, Properties, Reply};
use ploomby_tests::{Bed, KEY, Received, Seen, seen};

/// Sends one request to an app with these handlers; afterwards the queue is empty.
async fn reply_to(bed: &Bed, handlers: HandlerRegistry, request: Message) -> Received {
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    let app = bed.start(&queue, handlers).await;
    let (properties, body) = (request.properties().clone(), request.body().to_vec());
    let request = Message::new(body).with_properties(properties.reply_to(&replies).unwrap());
    bed.publish(&queue, request).await;
    let reply = bed.next(&replies).await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await, "the request was acknowledged");
    assert!(bed.is_empty(&replies).await, "there is one reply");
    reply
}

fn request(key: &str, body: &str) -> Message {
    let properties = Properties::new().correlation_id("42").unwrap();
    Message::new(body.to_owned())
        .with_properties(properties)
        .with_header(KEY, key)
        .unwrap()
}

fn adding() -> HandlerRegistry {
    adding_seen(seen().0)
}

fn adding_seen(seen: &'static Seen) -> HandlerRegistry {
    let add = move |(a, b): (u32, u32)| async move {
        seen.note("done");
        Reply(a + b)
    };
    HandlerRegistry::new().register("add", add)
}

pub(crate) async fn a_value_goes_to_who_asked(bed: Arc<Bed>) {
    let reply = reply_to(&bed, adding(), request("add", "[2, 3]")).await;
    assert_eq!(reply.body, b"5");
    assert_eq!(reply.correlation_id.as_deref(), Some("42"));
    assert_eq!(reply.content_type.as_deref(), Some("application/json"));
}

pub(crate) async fn a_value_is_encoded_as_the_request_was(bed: Arc<Bed>) {
    let body = rmp_serde::to_vec(&(2, 3)).unwrap();
    let properties = Properties::new()
        .content_type("application/msgpack")
        .unwrap();
    let request = Message::new(body)
        .with_properties(properties)
        .with_header(KEY, "add")
        .unwrap();
    let reply = reply_to(&bed, adding(), request).await;
    assert_eq!(reply.body, rmp_serde::to_vec(&5).unwrap());
    assert_eq!(reply.content_type.as_deref(), Some("application/msgpack"));
    assert_eq!(reply.correlation_id.as_deref(), None);
}

pub(crate) async fn a_handler_without_a_value_says_that_it_is_done(bed: Arc<Bed>) {
    let handlers = HandlerRegistry::new().register("work", || async {});
    let reply = reply_to(&bed, handlers, request("work", "")).await;
    assert_eq!(reply.body, b"null");
    assert_eq!(reply.correlation_id.as_deref(), Some("42"));
}

pub(crate) async fn a_message_that_asks_for_no_reply_is_simply_handled(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let app = bed.start(&queue, adding_seen(seen)).await;
    bed.publish(&queue, request("add", "[2, 3]")).await;
    assert_eq!(handled.next_note().await, "done");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_reply_that_nobody_waits_for_any_more_is_left_out(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let app = bed.start(&queue, adding_seen(seen)).await;
    let asked = request("add", "[2, 3]");
    let properties = asked.properties().clone().reply_to("gone").unwrap();
    bed.publish(&queue, asked.with_properties(properties)).await;
    assert_eq!(handled.next_note().await, "done");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// The queue of the replies is full and rejects: the request is not lost.
pub(crate) async fn a_request_whose_reply_is_refused_goes_back_to_its_queue(bed: Arc<Bed>) {
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(
        &replies,
        &[
            ("x-max-length", ploomby::Value::I32(0)),
            ("x-overflow", "reject-publish".into()),
        ],
    )
    .await;
    let (seen, mut handled) = seen();
    let app = bed.start(&queue, adding_seen(seen)).await;
    let asked = request("add", "[2, 3]");
    let properties = asked.properties().clone().reply_to(&replies).unwrap();
    bed.publish(&queue, asked.with_properties(properties)).await;
    assert_eq!(handled.next_note().await, "done");
    // what came back is handled once more
    assert_eq!(handled.next_note().await, "done");
    app.shut_down().await.unwrap();
    assert_eq!(bed.message_count(&queue).await, 1);
}

pub(crate) async fn an_outcome_sends_no_reply(bed: Arc<Bed>) {
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("work", move || async move {
        seen.note("done");
        Outcome::Ack
    });
    let app = bed.start(&queue, handlers).await;
    let asked = request("work", "");
    let properties = asked.properties().clone().reply_to(&replies).unwrap();
    bed.publish(&queue, asked.with_properties(properties)).await;
    assert_eq!(handled.next_note().await, "done");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&replies).await);
}
