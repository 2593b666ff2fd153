use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use ploomby::extract::Redelivered;
use ploomby::{HandlerRegistry, Message, Outcome, Properties, Reason, Value};
use ploomby_tests::{Bed, KEY, Received, seen};
use serde::Deserialize;

#[derive(Deserialize)]
struct User {
    #[serde(rename = "address")]
    _address: Address,
}

#[derive(Deserialize)]
struct Address {
    #[serde(rename = "street")]
    _street: String,
}

/// Publishes one message to an app with these handlers and returns its dead letter; afterwards the
/// queue itself is empty.
async fn dead_letter_of(bed: &Bed, handlers: HandlerRegistry, message: Message) -> Received {
    let queue = bed.queue_name();
    let app = bed.start(&queue, handlers).await;
    bed.publish(&queue, message).await;
    let dead_letter = bed.dead_letter(&queue).await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await, "the original was acknowledged");
    assert_eq!(dead_letter.text("ploomby-queue"), queue);
    let tried = ["handler-error", "panic"].contains(&dead_letter.text("ploomby-reason"));
    assert_eq!(
        dead_letter.headers["ploomby-attempts"],
        Value::I64(tried.into())
    );
    assert!(matches!(
        dead_letter.headers["ploomby-failed-at"],
        Value::Timestamp(seconds) if seconds > 1_700_000_000
    ));
    dead_letter
}

fn with_key(key: &str, body: &str) -> Message {
    Message::new(body.to_owned()).with_header(KEY, key).unwrap()
}

fn failing() -> HandlerRegistry {
    HandlerRegistry::new().register("fail", || async { Err::<(), _>(anyhow!("no luck")) })
}

pub(crate) async fn a_handled_message_is_gone(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register("greet", move |name: String| async move { seen.note(name) });
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "greet", r#""Ada""#).await;
    assert_eq!(handled.next_note().await, "Ada");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
    assert!(handled.is_empty());
}

pub(crate) async fn a_message_without_a_key_goes_to_the_dead_letter_queue(bed: Arc<Bed>) {
    let dead_letter = dead_letter_of(&bed, failing(), Message::new("1")).await;
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::MissingKey.as_str()
    );
    assert!(dead_letter.text("ploomby-error").contains(KEY));
    assert!(!dead_letter.headers.contains_key("ploomby-key"));
}

pub(crate) async fn a_key_that_no_handler_has_goes_to_the_dead_letter_queue(bed: Arc<Bed>) {
    let dead_letter = dead_letter_of(&bed, failing(), with_key("nobody", "1")).await;
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::UnknownKey.as_str()
    );
    assert!(dead_letter.text("ploomby-error").contains("nobody"));
    assert_eq!(dead_letter.text("ploomby-key"), "nobody");
}

pub(crate) async fn a_key_of_an_odd_type_goes_to_the_dead_letter_queue(bed: Arc<Bed>) {
    for odd in [
        Value::Void,
        Value::Bool(true),
        Value::Timestamp(1),
        Value::Array(vec!["fail".into()]),
        Value::Table(vec![("key".into(), "fail".into())]),
        Value::Bytes(vec![0xff]),
    ] {
        let message = Message::new("1").with_header(KEY, odd.clone()).unwrap();
        let dead_letter = dead_letter_of(&bed, failing(), message).await;
        assert_eq!(
            dead_letter.text("ploomby-reason"),
            Reason::InvalidKey.as_str()
        );
        assert!(dead_letter.text("ploomby-error").contains(KEY));
        assert_eq!(dead_letter.headers[KEY], odd);
    }
}

pub(crate) async fn an_undecodable_body_goes_to_the_dead_letter_queue_and_names_the_field(
    bed: Arc<Bed>,
) {
    for (body, error) in [
        (r#"{"address": {"street": 5}}"#, "address.street"),
        (r#"{"address": {}}"#, "missing field `street`"),
        (r#"{"address": "#, "EOF"),
        ("", "EOF"),
        ("\u{0}", "expected value"),
    ] {
        let handlers = HandlerRegistry::new().register("user", |_: User| async {});
        let dead_letter = dead_letter_of(&bed, handlers, with_key("user", body)).await;
        assert_eq!(
            dead_letter.text("ploomby-reason"),
            Reason::Undecodable.as_str()
        );
        let text = dead_letter.text("ploomby-error");
        assert!(text.contains(error), "{body:?}: {text}");
        assert_eq!(dead_letter.body, body.as_bytes());
    }
}

pub(crate) async fn an_error_goes_to_the_dead_letter_queue_with_all_its_causes(bed: Arc<Bed>) {
    let handlers = HandlerRegistry::new().register("fail", || async {
        Err::<(), _>(anyhow!("no route")).context("cannot reach the database")
    });
    let dead_letter = dead_letter_of(&bed, handlers, with_key("fail", "1")).await;
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::HandlerError.as_str()
    );
    assert_eq!(
        dead_letter.text("ploomby-error"),
        "cannot reach the database: no route"
    );
    assert_eq!(dead_letter.text("ploomby-key"), "fail");
}

fn luck() -> u32 {
    0
}

pub(crate) async fn a_panic_is_one_failed_message(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register("panic", |wait: bool| async move {
            if wait {
                tokio::task::yield_now().await;
            }
            assert!(luck() > 0, "out of {}", "luck");
        })
        .register("greet", move |name: String| async move { seen.note(name) });
    let app = bed.start(&queue, handlers).await;
    for body in ["true", "false"] {
        bed.send(&queue, "panic", body).await;
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(dead_letter.text("ploomby-reason"), Reason::Panic.as_str());
        assert_eq!(dead_letter.text("ploomby-error"), "out of luck");
        assert_eq!(dead_letter.body, body.as_bytes());
    }
    bed.send(&queue, "greet", r#""Ada""#).await;
    assert_eq!(handled.next_note().await, "Ada");
    app.shut_down().await.unwrap();
}

pub(crate) async fn an_error_of_ten_megabytes_is_cut(bed: Arc<Bed>) {
    let handlers = HandlerRegistry::new().register("fail", || async {
        Err::<(), _>(anyhow!("é".repeat(5_000_000)))
    });
    let dead_letter = dead_letter_of(&bed, handlers, with_key("fail", "1")).await;
    let error = dead_letter.text("ploomby-error");
    assert!(
        error.starts_with('é') && error.len() < 10_000,
        "{}",
        error.len()
    );
}

pub(crate) async fn a_dead_letter_is_the_message_as_it_was(bed: Arc<Bed>) {
    let body = vec![0xff; 300_000];
    let properties = Properties::new()
        .with_content_type("application/octet-stream")
        .and_then(|properties| properties.with_correlation_id("c-1"))
        .and_then(|properties| properties.with_message_id("m-1"))
        .and_then(|properties| properties.with_header(KEY, "fail"))
        .and_then(|properties| properties.with_header("nested", nested()))
        .unwrap()
        .with_priority(3)
        .with_timestamp(1_000_000);
    let handlers = failing();
    let message = Message::new(body.clone()).with_properties(properties);
    let dead_letter = dead_letter_of(&bed, handlers, message).await;
    assert_eq!(dead_letter.body, body);
    assert_eq!(
        dead_letter.content_type.as_deref(),
        Some("application/octet-stream")
    );
    assert_eq!(dead_letter.correlation_id.as_deref(), Some("c-1"));
    assert_eq!(dead_letter.message_id.as_deref(), Some("m-1"));
    assert_eq!(dead_letter.priority, Some(3));
    assert_eq!(dead_letter.timestamp, Some(1_000_000));
    assert_eq!(dead_letter.headers[KEY], Value::from("fail"));
    assert_eq!(dead_letter.headers["nested"], nested());
    assert!(dead_letter.persistent);
}

fn nested() -> Value {
    Value::Table(vec![
        (
            "array".into(),
            Value::Array(vec![Value::Void, 1_i64.into()]),
        ),
        ("table".into(), Value::Table(vec![("x".into(), "y".into())])),
    ])
}

pub(crate) async fn a_dead_letter_does_not_expire(bed: Arc<Bed>) {
    let properties = Properties::new()
        .with_header(KEY, "fail")
        .unwrap()
        .with_expiration(Duration::from_secs(60));
    let message = Message::new("1").with_properties(properties);
    let dead_letter = dead_letter_of(&bed, failing(), message).await;
    assert_eq!(dead_letter.expiration, None);
    assert_eq!(dead_letter.text("ploomby-expiration"), "60000");
}

pub(crate) async fn a_dead_letter_goes_nowhere_else(bed: Arc<Bed>) {
    let other = bed.queue_name();
    bed.declare(&other, &[]).await;
    let carbon_copy = Value::Array(vec![other.as_str().into()]);
    let message = with_key("fail", "1")
        .with_header("CC", carbon_copy.clone())
        .unwrap();
    let dead_letter = dead_letter_of(&bed, failing(), message).await;
    assert_eq!(dead_letter.headers["ploomby-CC"], carbon_copy);
    // the sender's copy, and no second one of the dead letter
    assert!(
        !bed.next(&other)
            .await
            .headers
            .contains_key("ploomby-reason")
    );
    assert!(bed.is_empty(&other).await);
    bed.delete(&other).await;
}

pub(crate) async fn a_dead_letter_that_is_moved_back_is_handled_and_fails_anew(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = bed.start(&queue, failing()).await;
    bed.send(&queue, "fail", "1").await;
    let first = bed.dead_letter(&queue).await;
    let mut message = Message::new(first.body.clone());
    for (name, value) in first.headers {
        message = message.with_header(&name, value).unwrap();
    }
    bed.publish(&queue, message).await;
    let second = bed.dead_letter(&queue).await;
    assert_eq!(second.body, first.body);
    assert_eq!(second.headers["ploomby-attempts"], Value::I64(1));
    assert_eq!(second.text("ploomby-reason"), Reason::HandlerError.as_str());
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_deleted_dead_letter_queue_is_declared_again(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = bed.start(&queue, failing()).await;
    bed.delete(&format!("{queue}_dlq")).await;
    bed.send(&queue, "fail", "1").await;
    // the queue is not there yet, which RabbitMQ answers with an error that closes the channel
    let dead_letters = format!("{queue}_dlq");
    bed.until_exists(&dead_letters).await;
    assert_eq!(bed.next(&dead_letters).await.body, b"1");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn the_handler_decides_by_its_outcome(bed: Arc<Bed>) {
    let handlers = HandlerRegistry::new()
        .register("dead-letter", || async { Outcome::DeadLetter })
        .register("discard", || async {
            Ok::<_, anyhow::Error>(Outcome::Discard)
        });
    let queue = bed.queue_name();
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "discard", "1").await;
    bed.send(&queue, "dead-letter", "2").await;
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(dead_letter.body, b"2");
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::Rejected.as_str()
    );
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_requeued_message_comes_back_redelivered(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register(
        "again",
        move |Redelivered(redelivered): Redelivered| async move {
            seen.note(format!("{redelivered}"));
            if redelivered {
                Outcome::Ack
            } else {
                Outcome::Requeue
            }
        },
    );
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "again", "1").await;
    assert_eq!(handled.next_note().await, "false");
    assert_eq!(handled.next_note().await, "true");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}
