use std::convert::Infallible;
use std::time::Duration;

use ploomby::extract::FromDelivery;
use ploomby::{Delivery, HandlerRegistry, Properties, Publisher, Value};
use ploomby_tests::{Bed, DEADLINE, rabbit};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::python::{ask_python, run_python};

/// 2026-01-02 03:04:05 UTC.
const MOMENT: u64 = 1_767_323_045;

/// A header of each type that AMQP has.
fn headers() -> Vec<(&'static str, Value)> {
    let inner = Value::Table(vec![("deep".to_owned(), "yes".into())]);
    vec![
        ("void", Value::Void),
        ("bool", Value::Bool(true)),
        ("i8", Value::I8(-7)),
        ("u8", Value::U8(200)),
        ("i16", Value::I16(-300)),
        ("u16", Value::U16(60_000)),
        ("i32", Value::I32(-70_000)),
        ("u32", Value::U32(4_000_000_000)),
        ("i64", Value::I64(-(1 << 40))),
        ("f32", Value::F32(1.5)),
        ("f64", Value::F64(0.1)),
        ("decimal", pi()),
        ("text", "né".into()),
        ("bytes", Value::Bytes(vec![0xff, 0])),
        ("timestamp", Value::Timestamp(MOMENT)),
        ("array", array()),
        ("table", Value::Table(vec![("inner".to_owned(), inner)])),
    ]
}

fn pi() -> Value {
    Value::Decimal {
        scale: 2,
        unscaled: 314,
    }
}

fn array() -> Value {
    let inner = Value::Array(vec![Value::Bool(false)]);
    Value::Array(vec![Value::I8(1), "two".into(), Value::Void, inner])
}

#[tokio::test]
async fn what_a_publisher_sends_arrives_in_python_as_it_was_set() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            let properties = Properties::new()
                .with_content_encoding("identity")
                .and_then(|properties| properties.with_correlation_id("c-1"))
                .and_then(|properties| properties.with_reply_to("answers"))
                .and_then(|properties| properties.with_message_id("m-1"))
                .and_then(|properties| properties.with_user_id("guest"))
                .and_then(|properties| properties.with_app_id("shop"))
                .unwrap()
                .with_expiration(Duration::from_secs(60))
                .with_timestamp(MOMENT);
            let message = publisher
                .to(&queue)
                .key("take")
                .payload("né")
                .properties(properties)
                .priority(5);
            let message = headers()
                .into_iter()
                .fold(message, |message, (name, value)| {
                    message.header(name, value)
                });
            message.send().await.unwrap();
            publisher.close().await;

            let mut seen = ask_python("receive.py", &[rabbit().await.url(), &queue]).await;
            // a number of milliseconds, which differs from time to time
            let headers = seen[0]["headers"].as_object_mut().unwrap();
            let sent_at = headers.remove("ploomby-sent-at").unwrap();
            assert!(
                sent_at.as_str().unwrap().parse::<u64>().is_ok(),
                "{sent_at}"
            );
            let moment = "datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)";
            let expected = json!({
                "body": "\"né\"",
                "properties": {
                    "content_type": "'application/json'",
                    "content_encoding": "'identity'",
                    "delivery_mode": "2",
                    "priority": "5",
                    "correlation_id": "'c-1'",
                    "reply_to": "'answers'",
                    "expiration": "60.0",
                    "message_id": "'m-1'",
                    "timestamp": moment,
                    "type": "'take'",
                    "user_id": "'guest'",
                    "app_id": "'shop'",
                },
                "headers": {
                    "void": "None",
                    "bool": "True",
                    "i8": "-7",
                    "u8": "200",
                    "i16": "-300",
                    "u16": "60000",
                    "i32": "-70000",
                    "u32": "4000000000",
                    "i64": "-1099511627776",
                    "f32": "1.5",
                    "f64": "0.1",
                    "decimal": "Decimal('3.14')",
                    "text": "'né'",
                    "bytes": r"bytearray(b'\xff\x00')",
                    "timestamp": moment,
                    "array": "[1, 'two', None, [False]]",
                    "table": "{'inner': {'deep': 'yes'}}",
                },
            });
            assert_eq!(seen, [expected]);
        })
        .await;
}

/// All that came with a message.
struct Taken(Properties, String);

impl<'d> FromDelivery<'d> for Taken {
    type Rejection = Infallible;

    async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Infallible> {
        let body = String::from_utf8_lossy(delivery.body()).into_owned();
        Ok(Self(delivery.properties().clone(), body))
    }
}

#[tokio::test]
async fn what_python_sends_arrives_at_a_handler_as_it_was_set() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let (sender, mut taken) = mpsc::unbounded_channel();
            let sender: &'static _ = Box::leak(Box::new(sender));
            let take = move |message: Taken| async move { sender.send(message).unwrap() };
            let handlers = HandlerRegistry::new().register("take", take);
            let app = bed.start_queue(ploomby::Queue::new(&queue), handlers).await;
            run_python("send.py", &[rabbit().await.url(), &queue]).await;

            let taken = timeout(DEADLINE, taken.recv()).await.unwrap();
            let Taken(properties, body) = taken.unwrap();
            assert_eq!(body, r#"{"name": "Adélaïde"}"#);
            assert_eq!(properties.content_type(), Some("application/json"));
            assert_eq!(properties.content_encoding(), Some("identity"));
            assert!(properties.is_persistent());
            assert_eq!(properties.priority(), Some(5));
            assert_eq!(properties.correlation_id(), Some("c-1"));
            assert_eq!(properties.reply_to(), Some("answers"));
            assert_eq!(properties.expiration(), Some("60000"));
            assert_eq!(properties.message_id(), Some("m-1"));
            assert_eq!(properties.timestamp(), Some(MOMENT));
            assert_eq!(properties.message_type(), Some("take"));
            assert_eq!(properties.user_id(), Some("guest"));
            assert_eq!(properties.app_id(), Some("shop"));

            // Python has one type of integer, and one of floats; it writes no negative one in an octet
            let mut sent = headers();
            sent.retain(|(name, _)| !["u8", "f64"].contains(name));
            for (name, value) in &mut sent {
                match *name {
                    "i8" => *value = Value::I8(7),
                    "i64" => *value = Value::I64(1 << 40),
                    _ => {}
                }
            }
            let headers = properties.headers();
            assert_eq!(headers.len(), sent.len(), "{headers:?}");
            for (name, value) in sent {
                let arrived = headers.get(name);
                assert!(
                    arrived.as_ref() == Some(&value),
                    "{name} arrives as {arrived:?}"
                );
            }
            app.shut_down().await.unwrap();
        })
        .await;
}
