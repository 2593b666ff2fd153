use std::{sync::Arc, time::Duration};

use ploomby::{
    ErrorReply, HandlerOptions, HandlerRegistry, KeySource, Message, Outcome, Properties, Queue,
    Reply, Retry,
};
use ploomby_tests::{Bed, KEY, Received, Seen, seen};

/// Sends one request to an app with these handlers; afterwards the queue is empty.
async fn reply_to(bed: &Bed, handlers: HandlerRegistry, request: Message) -> Received {
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    let app = bed.start(&queue, handlers).await;
    let (properties, body) = (request.properties().clone(), request.body().to_vec());
    let request = Message::new(body).with_properties(properties.with_reply_to(&replies).unwrap());
    bed.publish(&queue, request).await;
    let reply = bed.next(&replies).await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await, "the request was acknowledged");
    assert!(bed.is_empty(&replies).await, "there is one reply");
    reply
}

fn request(key: &str, body: &str) -> Message {
    let properties = Properties::new().with_correlation_id("42").unwrap();
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
        .with_content_type("application/msgpack")
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
    let properties = asked.properties().clone().with_reply_to("gone").unwrap();
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
    let properties = asked.properties().clone().with_reply_to(&replies).unwrap();
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
    let properties = asked.properties().clone().with_reply_to(&replies).unwrap();
    bed.publish(&queue, asked.with_properties(properties)).await;
    assert_eq!(handled.next_note().await, "done");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&replies).await);
}

/// What an error reply holds.
fn error_of(reply: &Received) -> serde_json::Value {
    assert_eq!(reply.text("ploomby-reply"), "error");
    assert_eq!(reply.correlation_id.as_deref(), Some("42"));
    serde_json::from_slice(&reply.body).unwrap()
}

pub(crate) async fn who_asked_is_told_of_a_failure_which_is_dead_lettered(bed: Arc<Bed>) {
    let fail = || async { Err::<(), _>(anyhow::anyhow!("no luck").context("cannot charge")) };
    let handlers = HandlerRegistry::new().register("charge", fail);
    let reply = reply_to(&bed, handlers, request("charge", "")).await;
    let told = serde_json::json!({"code": "handler-error", "message": "cannot charge: no luck"});
    assert_eq!(error_of(&reply), told);
}

pub(crate) async fn who_asked_is_told_which_field_does_not_decode(bed: Arc<Bed>) {
    let reply = reply_to(&bed, adding(), request("add", r#"[2, "x"]"#)).await;
    let error = error_of(&reply);
    assert_eq!(error["code"], "undecodable");
    assert_eq!(error["fields"][0]["field"], "[1]");
}

pub(crate) async fn an_error_that_is_meant_for_who_asked_is_no_dead_letter(bed: Arc<Bed>) {
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    let find = || async {
        let error = ErrorReply::new("unknown", "no such user").field("id", "7 is not there");
        Err::<(), _>(anyhow::Error::new(error).context("while looking"))
    };
    let app = bed
        .start(&queue, HandlerRegistry::new().register("find", find))
        .await;
    let asked = request("find", "");
    let properties = asked.properties().clone().with_reply_to(&replies).unwrap();
    bed.publish(&queue, asked.clone().with_properties(properties))
        .await;
    let reply = bed.next(&replies).await;
    let told = serde_json::json!({
        "code": "unknown",
        "message": "no such user",
        "fields": [{"field": "id", "message": "7 is not there"}],
    });
    assert_eq!(error_of(&reply), told);
    // nobody is there to be told: it is a failure like any other
    bed.publish(&queue, asked).await;
    let dead = bed.dead_letter(&queue).await;
    assert_eq!(dead.text("ploomby-reason"), "handler-error");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn who_asked_is_told_once_after_the_last_attempt(bed: Arc<Bed>) {
    let (seen, mut handled) = seen();
    let fail = move || async move {
        seen.note("tried");
        Err::<(), _>(anyhow::anyhow!("no luck"))
    };
    let options = HandlerOptions::new().retry(Retry::fixed(3, Duration::from_millis(50)));
    let handlers = HandlerRegistry::new().register_with("charge", options, fail);
    let reply = reply_to(&bed, handlers, request("charge", "")).await;
    assert_eq!(error_of(&reply)["code"], "handler-error");
    for _ in 0..3 {
        assert_eq!(handled.next_note().await, "tried");
    }
}

pub(crate) async fn replies_may_look_like_those_of_the_python_original(bed: Arc<Bed>) {
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    let fail = || async { Err::<(), _>(anyhow::anyhow!("no luck")) };
    let set_up = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .python_replies();
    let app = bed
        .start_queue(set_up, adding().register("fail", fail))
        .await;
    for (key, body, reply) in [
        ("add", "[2, 3]", r#"{"detail":"5"}"#),
        ("fail", "", r#"{"detail":"no luck"}"#),
    ] {
        let asked = request(key, body);
        let properties = asked.properties().clone().with_reply_to(&replies).unwrap();
        bed.publish(&queue, asked.with_properties(properties)).await;
        let got = bed.next(&replies).await;
        assert_eq!(String::from_utf8_lossy(&got.body), reply);
    }
    app.shut_down().await.unwrap();
}
