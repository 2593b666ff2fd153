use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use ploomby::extract::FromDelivery;
use ploomby::{Delivery, HandlerRegistry, KeySource, Message, Properties, Queue, Value};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, seen};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::payloads::gzip;

fn queue_of(name: &str) -> Queue {
    Queue::new(name).key(KeySource::header(KEY))
}

/// A handler that counts how many of it run at the same time, and waits until it is let go.
struct Gate {
    running: AtomicUsize,
    most: AtomicUsize,
    open: Semaphore,
}

impl Gate {
    fn new() -> &'static Self {
        Box::leak(Box::new(Self {
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            open: Semaphore::new(0),
        }))
    }

    async fn pass(&self) {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.open.acquire().await.unwrap().forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) async fn handlers_run_concurrently_up_to_the_prefetch(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    most_that_run(&bed, queue_of(&queue).prefetch(4), &queue, 4).await;
}

/// Some are done at once, so that the next one can have their memory, and some are held meanwhile. Each second
/// message has a property that the next one has not, and each third one is compressed.
pub(crate) async fn messages_of_a_burst_are_not_mixed_up(bed: Arc<Bed>) {
    const MESSAGES: u32 = 200;

    fn id(number: u32) -> Option<String> {
        number.is_multiple_of(2).then(|| number.to_string())
    }

    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register(
        "work",
        move |number: u32, Whole(delivery): Whole| async move {
            let echo = || {
                let id = delivery.properties().correlation_id();
                format!("{number} {id:?} {:?}", delivery.headers().text("number"))
            };
            let before = echo();
            if number.is_multiple_of(10) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(echo(), before);
            seen.note(before);
        },
    );
    bed.declare(&queue, &[]).await;
    stream::iter(0..MESSAGES)
        .for_each_concurrent(None, |number| {
            let text = number.to_string();
            let mut properties = Properties::new();
            if let Some(id) = id(number) {
                properties = properties.with_correlation_id(&id).unwrap();
            }
            let mut body = text.clone().into_bytes();
            if number.is_multiple_of(3) {
                body = gzip(&body);
                properties = properties.with_content_encoding("gzip").unwrap();
            }
            let message = Message::new(body)
                .with_properties(properties)
                .with_header(KEY, "work")
                .and_then(|message| message.with_header("number", text));
            bed.publish(&queue, message.unwrap())
        })
        .await;
    let app = bed.start(&queue, handlers).await;
    let mut notes = Vec::new();
    for _ in 0..MESSAGES {
        notes.push(handled.next_note().await);
    }
    app.shut_down().await.unwrap();
    notes.sort_unstable();
    let mut expected: Vec<_> = (0..MESSAGES)
        .map(|number| {
            let text = number.to_string();
            format!("{number} {:?} {:?}", id(number).as_deref(), Some(&*text))
        })
        .collect();
    expected.sort_unstable();
    assert_eq!(notes, expected);
}

struct Whole(Delivery);

impl<'d> FromDelivery<'d> for Whole {
    type Rejection = Infallible;

    async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Infallible> {
        Ok(Self(delivery.clone()))
    }
}

pub(crate) async fn what_exceeds_the_prefetch_stays_with_the_broker(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let gate = Gate::new();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("work", move || async move {
        seen.note("begun");
        gate.pass().await;
    });
    // more slots than messages may come
    let set_up = queue_of(&queue).prefetch(4).concurrency(100);
    let app = bed.start_queue(set_up, handlers).await;
    for number in 0..20 {
        bed.send(&queue, "work", number.to_string()).await;
    }
    for _ in 0..4 {
        handled.next_note().await;
    }
    for _ in 4..20 {
        bed.next(&queue).await;
    }
    assert!(bed.is_empty(&queue).await);
    assert!(handled.is_empty());
    gate.open.add_permits(4);
    app.shut_down().await.unwrap();
}

pub(crate) async fn concurrency_limits_all_consumers_together(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let set_up = queue_of(&queue).prefetch(10).consumers(3).concurrency(5);
    most_that_run(&bed, set_up, &queue, 5).await;
}

async fn most_that_run(bed: &Bed, set_up: Queue, queue: &str, most: usize) {
    let gate = Gate::new();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
        seen.note("begun");
        gate.pass().await;
        seen.note(format!("{number}"));
    });
    let app = bed.start_queue(set_up, handlers).await;
    for number in 0..20 {
        bed.send(queue, "work", number.to_string()).await;
    }
    for _ in 0..most {
        assert_eq!(handled.next_note().await, "begun");
    }
    // a handler too many would have begun by the time that others are let go
    gate.open.add_permits(20);
    for _ in 0..(20 + 20 - most) {
        handled.next_note().await;
    }
    assert_eq!(gate.most.load(Ordering::SeqCst), most);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(queue).await);
}

pub(crate) async fn one_at_a_time_keeps_the_order(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
        // the even ones would be overtaken
        if number.is_multiple_of(2) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        seen.note(number.to_string());
    });
    let app = bed
        .start_queue(queue_of(&queue).concurrency(1), handlers)
        .await;
    for number in 0..100 {
        bed.send(&queue, "work", number.to_string()).await;
    }
    for number in 0..100 {
        assert_eq!(handled.next_note().await, number.to_string());
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn several_consumers_share_the_work(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
        seen.note(number.to_string());
    });
    let app = bed
        .start_queue(queue_of(&queue).consumers(3).prefetch(2), handlers)
        .await;
    for number in 0..200 {
        bed.send(&queue, "work", number.to_string()).await;
    }
    let mut numbers = Vec::new();
    for _ in 0..200 {
        numbers.push(handled.next_note().await.parse::<u32>().unwrap());
    }
    app.shut_down().await.unwrap();
    numbers.sort_unstable();
    assert!(
        numbers.into_iter().eq(0..200),
        "each message is handled once"
    );
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_slow_handler_does_not_hold_up_the_others(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let gate = Gate::new();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register("slow", move || gate.pass())
        .register("fast", move |number: u32| async move {
            seen.note(number.to_string());
        });
    let app = bed
        .start_queue(queue_of(&queue).prefetch(4), handlers)
        .await;
    bed.send(&queue, "slow", "").await;
    // many times the prefetch, so that what lies behind the slow one has to be acknowledged
    for number in 0..100 {
        bed.send(&queue, "fast", number.to_string()).await;
    }
    for _ in 0..100 {
        handled.next_note().await;
    }
    gate.open.add_permits(1);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn every_kind_of_header_arrives(bed: Arc<Bed>) {
    let values = [
        Value::Void,
        Value::Bool(true),
        Value::I8(-8),
        Value::U8(8),
        Value::I16(-16),
        Value::U16(16),
        Value::I32(-32),
        Value::U32(32),
        Value::I64(i64::MIN),
        Value::F32(0.5),
        Value::F64(0.25),
        Value::Decimal {
            scale: 3,
            unscaled: -12345,
        },
        Value::Text("grüße 🦀".into()),
        Value::Text(String::new()),
        Value::Bytes(vec![0x00, 0xff, 0xfe]),
        Value::Bytes(Vec::new()),
        Value::Timestamp(1_700_000_000),
        Value::Array(vec![Value::Array(Vec::new()), Value::Void, 1_i32.into()]),
        Value::Table(vec![(
            "t".into(),
            Value::Table(vec![("u".into(), Value::Void)]),
        )]),
        Value::Table(Vec::new()),
    ];
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let expected: &'static [Value] = Box::leak(Box::new(values.clone()));
    let handlers =
        HandlerRegistry::new().register("check", move |properties: Properties| async move {
            for (number, value) in expected.iter().enumerate() {
                let name = format!("h{number}");
                let matches = properties.headers().get(&name).as_ref() == Some(value);
                anyhow::ensure!(matches, "{name} is not {value:?}");
            }
            seen.note("all");
            Ok(())
        });
    let app = bed.start(&queue, handlers).await;
    let mut message = Message::new("").with_header(KEY, "check").unwrap();
    for (number, value) in values.into_iter().enumerate() {
        message = message.with_header(&format!("h{number}"), value).unwrap();
    }
    bed.publish(&queue, message).await;
    assert_eq!(handled.next_note().await, "all");
    app.shut_down().await.unwrap();
}

pub(crate) async fn an_empty_body_and_a_large_one_arrive(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register(
        "measure",
        move |ploomby::extract::RawBody(body): ploomby::extract::RawBody| async move {
            let rising = body
                .iter()
                .enumerate()
                .all(|(at, byte)| at % 251 == usize::from(*byte));
            seen.note(format!("{} {rising}", body.len()));
        },
    );
    let app = bed.start(&queue, handlers).await;
    // around the frame size of 131,072 bytes, of which a frame's own parts take 8
    for len in [0, 1, 131_063, 131_064, 131_065, 262_128, 1_000_000] {
        let body: Vec<u8> = (0..251).cycle().take(len).collect();
        bed.send(&queue, "measure", body).await;
        assert_eq!(handled.next_note().await, format!("{len} true"));
    }
    app.shut_down().await.unwrap();
}

#[derive(Deserialize)]
struct Borrowing<'a> {
    name: &'a str,
}

/// What the linked handler saw, of all tests of this process.
static BORROWED: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[ploomby::handler("borrow")]
async fn borrow(payload: Borrowing<'_>) {
    // the message is still there after a wait
    tokio::task::yield_now().await;
    BORROWED.lock().unwrap().push(payload.name.to_owned());
}

pub(crate) async fn a_payload_that_borrows_from_the_message_arrives(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = bed.start(&queue, HandlerRegistry::linked()).await;
    bed.send(&queue, "borrow", format!(r#"{{"name": "{queue}"}}"#))
        .await;
    eventually(DEADLINE, async || BORROWED.lock().unwrap().contains(&queue)).await;
    app.shut_down().await.unwrap();
}
