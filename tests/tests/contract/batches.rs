use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ploomby::extract::{Attempt, Batch, BatchItem, Redelivered, State};
use ploomby::{
    Answer, App, Delivery, HandlerOptions, HandlerRegistry, HandlerService, KeySource, Message,
    OrderBy, Outcome, Properties, Queue, Reason, Retry, handler,
};
use ploomby_tests::{Bed, DEADLINE, KEY, Seen, eventually, seen};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tower::layer::layer_fn;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Service, service_fn};

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3600);

fn queue_of(name: &str) -> Queue {
    Queue::new(name).key(KeySource::header(KEY))
}

fn batches(size: usize, wait: Duration) -> HandlerOptions {
    HandlerOptions::new().batch_size(size).batch_wait(wait)
}

fn gate() -> &'static Semaphore {
    Box::leak(Box::new(Semaphore::new(0)))
}

/// A handler that notes which numbers came together.
fn noting(options: HandlerOptions, seen: &'static Seen) -> HandlerRegistry {
    HandlerRegistry::new().register_with("work", options, move |batch: Batch<u32>| async move {
        seen.note(format!("{:?}", batch.into_payloads()));
    })
}

async fn send_all(bed: &Bed, queue: &str, numbers: impl Iterator<Item = u32>) {
    for number in numbers {
        bed.send(queue, "work", number.to_string()).await;
    }
}

/// Reasons and bodies of all dead letters, in the order of the bodies.
async fn dead_letters(bed: &Bed, queue: &str, count: usize) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for _ in 0..count {
        let dead_letter = bed.dead_letter(queue).await;
        let reason = dead_letter.text("ploomby-reason").to_owned();
        found.push((String::from_utf8(dead_letter.body).unwrap(), reason));
    }
    found.sort();
    found
}

pub(crate) async fn a_full_batch_does_not_wait(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let app = bed.start(&queue, noting(batches(3, NEVER), seen)).await;
    send_all(&bed, &queue, 0..6).await;
    // two batches may run at the same time
    let mut notes = [handled.next_note().await, handled.next_note().await];
    notes.sort();
    assert_eq!(notes, ["[0, 1, 2]", "[3, 4, 5]"]);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_batch_that_is_not_full_waits_so_long(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    bed.declare(&queue, &[]).await;
    send_all(&bed, &queue, 0..3).await;
    let begun = std::time::Instant::now();
    let wait = Duration::from_millis(400);
    let app = bed.start(&queue, noting(batches(50, wait), seen)).await;
    assert_eq!(handled.next_note().await, "[0, 1, 2]");
    assert!(begun.elapsed() >= wait);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn an_item_is_settled_by_itself(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register_with(
        "work",
        batches(5, NEVER).retry(Retry::fixed(2, Duration::from_millis(50))),
        move |batch: Batch<u32>| async move {
            for item in batch {
                let number = *item;
                seen.note(format!("{number} {}", item.delivery().attempt()));
                match number {
                    0 => item.fail(anyhow::anyhow!("no")),
                    1 => item.settle(Outcome::DeadLetter),
                    2 => item.settle(Outcome::Discard),
                    3 => item.settle(Outcome::Ack),
                    _ => {}
                }
            }
            Ok::<_, anyhow::Error>(())
        },
    );
    let app = bed.start(&queue, handlers).await;
    send_all(&bed, &queue, 0..5).await;
    for number in 0..5 {
        assert_eq!(handled.next_note().await, format!("{number} 1"));
    }
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(dead_letter.body, b"1");
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::Rejected.as_str()
    );
    // the one that failed comes back alone, to the next batch
    send_all(&bed, &queue, 4..8).await;
    let mut again = Vec::new();
    for _ in 0..5 {
        again.push(handled.next_note().await);
    }
    again.sort();
    assert_eq!(again, ["0 2", "4 1", "5 1", "6 1", "7 1"]);
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(dead_letter.body, b"0");
    assert_eq!(dead_letter.text("ploomby-error"), "no");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn an_undecodable_item_is_no_part_of_the_batch(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let app = bed.start(&queue, noting(batches(3, NEVER), seen)).await;
    // of the first three, none reaches the handler
    for body in ["[", "\"a\"", "-1", "1", "{}", "2"] {
        bed.send(&queue, "work", body).await;
    }
    assert_eq!(handled.next_note().await, "[1, 2]");
    let dead = dead_letters(&bed, &queue, 4).await;
    assert!(
        dead.iter()
            .all(|(_, reason)| reason == Reason::Undecodable.as_str())
    );
    let bodies: Vec<_> = dead.iter().map(|(body, _)| &**body).collect();
    assert_eq!(bodies, ["\"a\"", "-1", "[", "{}"]);
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
    assert!(bed.is_empty(&queue).await);
}

/// Its decoding has a defect.
#[derive(Deserialize)]
#[serde(from = "u32")]
struct Unlucky(u32);

impl From<u32> for Unlucky {
    fn from(number: u32) -> Self {
        assert_ne!(number, 13, "no luck");
        Self(number)
    }
}

pub(crate) async fn an_item_whose_decoding_panics_is_no_part_of_the_batch(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let options = batches(3, NEVER);
    let handlers = HandlerRegistry::new().register_with(
        "work",
        options,
        move |batch: Batch<Unlucky>| async move {
            let numbers = batch.iter().map(|item| item.0).collect::<Vec<_>>();
            seen.note(format!("{numbers:?}"));
        },
    );
    let app = bed.start(&queue, handlers).await;
    send_all(&bed, &queue, 12..15).await;
    assert_eq!(handled.next_note().await, "[12, 14]");
    let panicked = ("13".to_owned(), "panic".to_owned());
    assert_eq!(dead_letters(&bed, &queue, 1).await, [panicked]);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn an_error_or_a_panic_is_that_of_all_that_are_not_settled(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let handlers = HandlerRegistry::new().register_with(
        "work",
        batches(3, NEVER),
        |batch: Batch<u32>| async move {
            let mut items = batch.into_iter();
            let first: BatchItem<u32> = items.next().unwrap();
            let is_panic = *first == 0;
            first.settle(Outcome::Ack);
            assert!(!is_panic, "on purpose");
            Err::<(), _>(anyhow::anyhow!("no"))
        },
    );
    let app = bed.start(&queue, handlers).await;
    send_all(&bed, &queue, 0..6).await;
    let dead = dead_letters(&bed, &queue, 4).await;
    let expected = [
        ("1", "panic"),
        ("2", "panic"),
        ("4", "handler-error"),
        ("5", "handler-error"),
    ];
    let expected = expected.map(|(body, reason)| (body.to_owned(), reason.to_owned()));
    assert_eq!(dead, expected);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn the_timeout_of_a_batch_begins_with_the_handler(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let options = || batches(50, Duration::from_millis(300)).timeout(Duration::from_millis(100));
    let handlers = noting(options(), seen).register_with(
        "stuck",
        options(),
        move |mut batch: Vec<u32>| async move { batch.push(0) },
    );
    // a list in one message is no batch
    let error = App::new(bed.url())
        .handlers(handlers)
        .queue(queue_of(&queue))
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("`batch_size`"), "{error}");
    let handlers =
        noting(options(), seen).register_with("stuck", options(), async |batch: Batch<u32>| {
            for item in batch {
                if *item == 0 {
                    item.settle(Outcome::Ack);
                }
            }
            std::future::pending::<()>().await;
        });
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "work", "1").await;
    assert_eq!(handled.next_note().await, "[1]");
    bed.send(&queue, "stuck", "0").await;
    bed.send(&queue, "stuck", "1").await;
    let dead = dead_letters(&bed, &queue, 1).await;
    assert_eq!(dead, [("1".to_owned(), "timeout".to_owned())]);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_batch_that_waits_is_handled_at_shutdown(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    for options in [batches(50, NEVER), batches(50, NEVER).concurrency(1)] {
        let handlers =
            noting(options, seen).register("other", move || async move { seen.note("other") });
        let app = bed.start(&queue, handlers).await;
        send_all(&bed, &queue, 0..3).await;
        bed.send(&queue, "other", "").await;
        // by then the others are here
        assert_eq!(handled.next_note().await, "other");
        app.shut_down().await.unwrap();
        assert_eq!(handled.next_note().await, "[0, 1, 2]");
        assert!(bed.is_empty(&queue).await);
    }
}

pub(crate) async fn several_consumers_fill_one_batch(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let set_up = queue_of(&queue)
        .consumers(3)
        .prefetch(2)
        .batch_size(6)
        .batch_wait(NEVER);
    let handlers = HandlerRegistry::new().register("work", move |batch: Batch<u32>| async move {
        let mut numbers = batch.into_payloads();
        numbers.sort_unstable();
        seen.note(format!("{numbers:?}"));
    });
    let app = bed.start_queue(set_up, handlers).await;
    send_all(&bed, &queue, 0..6).await;
    assert_eq!(handled.next_note().await, "[0, 1, 2, 3, 4, 5]");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_batch_that_waits_for_another_goes_on_taking(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate = gate();
    let options = batches(3, Duration::from_millis(5)).concurrency(1);
    let handlers = HandlerRegistry::new().register_with(
        "work",
        options,
        move |batch: Batch<u32>| async move {
            seen.note(format!("{:?}", batch.into_payloads()));
            gate.acquire().await.unwrap().forget();
        },
    );
    let app = bed.start(&queue, handlers).await;
    send_all(&bed, &queue, 0..1).await;
    assert_eq!(handled.next_note().await, "[0]");
    send_all(&bed, &queue, 1..5).await;
    gate.add_permits(1);
    assert_eq!(handled.next_note().await, "[1, 2, 3]");
    // shutdown gives back what has not begun
    let shut_down = tokio::spawn(app.shut_down());
    eventually(DEADLINE, async || bed.consumer_count(&queue).await == 0).await;
    gate.add_permits(2);
    shut_down.await.unwrap().unwrap();
    assert!(handled.is_empty());
    assert_eq!(bed.next(&queue).await.body, b"4");
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_message_that_leaves_its_batch_takes_none_along(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    // the layer is around each message, also while it waits
    let options = batches(3, NEVER).layer(TimeoutLayer::new(Duration::from_millis(300)));
    let app = bed.start(&queue, noting(options, seen)).await;
    send_all(&bed, &queue, 0..2).await;
    let dead = dead_letters(&bed, &queue, 2).await;
    assert!(
        dead.iter()
            .all(|(_, reason)| reason == Reason::Timeout.as_str())
    );
    assert!(handled.is_empty());
    send_all(&bed, &queue, 2..5).await;
    assert_eq!(handled.next_note().await, "[2, 3, 4]");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_batch_goes_on_without_those_that_left(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    // the first message alone has no patience
    let layer = layer_fn(|service: HandlerService| {
        service_fn(move |delivery: Delivery| {
            let mut service = service.clone();
            let patience = match delivery.body() {
                b"0" => Duration::from_millis(100),
                _ => NEVER,
            };
            async move {
                let handling = service.call(delivery);
                Ok::<Answer, BoxError>(tokio::time::timeout(patience, handling).await??)
            }
        })
    });
    let options = batches(3, NEVER).layer(layer);
    let app = bed.start(&queue, noting(options, seen)).await;
    send_all(&bed, &queue, 0..2).await;
    assert_eq!(bed.dead_letter(&queue).await.body, b"0");
    send_all(&bed, &queue, 2..3).await;
    assert_eq!(handled.next_note().await, "[1, 2]");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_batch_has_no_two_messages_of_one_value(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let options = batches(50, Duration::from_millis(500)).ordered_by(OrderBy::header("customer"));
    bed.declare(&queue, &[]).await;
    for (number, customer) in (0..).zip(["ada", "ada", "bob", "ada", "bob"]) {
        let message = Message::new(number.to_string())
            .with_header(KEY, "work")
            .unwrap()
            .with_header("customer", customer)
            .unwrap();
        bed.publish(&queue, message).await;
    }
    let app = bed.start(&queue, noting(options, seen)).await;
    assert_eq!(handled.next_note().await, "[0, 2]");
    let second = handled.next_note().await;
    assert!(second == "[1, 4]" || second == "[4, 1]", "{second}");
    assert_eq!(handled.next_note().await, "[3]");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn an_item_replies_by_itself(bed: Arc<Bed>) {
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    let handlers = HandlerRegistry::new().register_with(
        "work",
        batches(2, NEVER),
        |batch: Batch<u32>| async move {
            for item in batch {
                let double = *item * 2;
                item.reply(&double);
            }
        },
    );
    let app = bed.start(&queue, handlers).await;
    for number in 1..3 {
        let properties = Properties::new().with_reply_to(&replies).unwrap();
        let message = Message::new(number.to_string()).with_properties(properties);
        let message = message.with_header(KEY, "work").unwrap();
        bed.publish(&queue, message).await;
    }
    let mut bodies = [bed.next(&replies).await.body, bed.next(&replies).await.body];
    bodies.sort();
    assert_eq!(bodies, [b"2", b"4"]);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_batch_that_cannot_fill_is_an_error(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let refused = async |set_up: Queue, options: HandlerOptions| {
        let handlers =
            HandlerRegistry::new().register_with("work", options, async |_: Batch<u32>| {});
        let app = App::new(bed.url()).handlers(handlers).queue(set_up);
        app.start().await.unwrap_err().to_string()
    };
    let small = || queue_of(&queue).prefetch(5).consumers(2);
    let error = refused(small(), batches(11, NEVER)).await;
    assert!(error.contains("batches.rs"), "{error}");
    assert!(error.contains("11 messages"), "{error}");
    assert!(error.contains("10 messages"), "{error}");
    let error = refused(small().concurrency(3).batch_size(4), HandlerOptions::new()).await;
    assert!(error.contains("3 messages"), "{error}");
    let error = refused(small(), batches(0, NEVER)).await;
    assert!(error.contains("`batch_size`"), "{error}");
    let error = refused(small().batch_size(0), HandlerOptions::new()).await;
    assert!(error.contains("batch size of 0"), "{error}");
    // without a word, batches are as large as they can be
    let (seen, mut handled) = seen();
    let options = HandlerOptions::new().batch_wait(NEVER);
    let app = bed
        .start_queue(small().concurrency(3), noting(options, seen))
        .await;
    send_all(&bed, &queue, 0..3).await;
    assert_eq!(handled.next_note().await.len(), "[0, 1, 2]".len());
    app.shut_down().await.unwrap();
}

pub(crate) async fn what_is_of_one_message_is_refused_beside_a_batch(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let handlers = HandlerRegistry::new()
        .register("attempt", async |_: Batch<u32>, _: Attempt| {})
        .register("option", async |_: Option<Redelivered>, _: Batch<u32>| {})
        .register_with("wait", HandlerOptions::new().batch_wait(NEVER), async || {})
        .register("fine", async |_: State<u8>, _: Batch<u32>| {});
    let app = App::new(bed.url())
        .handlers(handlers)
        .state(0_u8)
        .queue(queue_of(&queue));
    let error = app.start().await.unwrap_err().to_string();
    assert_eq!(error.matches("batches.rs").count(), 3, "{error}");
    assert!(error.contains("extract::parts::Attempt"), "{error}");
    assert!(error.contains("Redelivered"), "{error}");
    assert!(error.contains("`batch_wait`"), "{error}");
}

/// What the linked handlers took, by queue.
static TAKEN: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());

fn take<T>(batch: &Batch<T>, what: impl Into<String>) {
    let queue = batch.iter().next().unwrap().delivery().queue().to_owned();
    let mut taken = TAKEN.lock().unwrap();
    taken.entry(queue).or_default().push(what.into());
}

#[derive(Deserialize)]
struct Named<'m> {
    name: &'m str,
}

#[handler("batch-of-names", batch_size = 2, batch_wait = "1h")]
async fn names(names: Batch<Named<'_>>) {
    let all: Vec<_> = names.iter().map(|named| named.name).collect();
    take(&names, all.join(" and "));
}

#[handler("batch-by-reference", batch_size = 2, batch_wait = NEVER)]
async fn by_reference(batch: &Batch<u32>) {
    let sum: u32 = batch.iter().map(|item| *item.payload()).sum();
    take(batch, sum.to_string());
}

pub(crate) async fn the_attribute_takes_batches(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = bed.start(&queue, HandlerRegistry::linked()).await;
    for name in ["Ada", "Grace"] {
        let body = format!("{{\"name\":\"{name}\"}}");
        bed.send(&queue, "batch-of-names", body).await;
    }
    for number in ["20", "22"] {
        bed.send(&queue, "batch-by-reference", number).await;
    }
    let taken = || TAKEN.lock().unwrap().get(&queue).cloned();
    eventually(DEADLINE, async || {
        taken().is_some_and(|taken| taken.len() == 2)
    })
    .await;
    let mut taken = taken().unwrap();
    taken.sort();
    assert_eq!(taken, ["42", "Ada and Grace"]);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn state_stands_beside_a_batch(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register_with(
        "work",
        batches(2, NEVER),
        move |State(factor): State<u32>, batch: Batch<u32>| async move {
            let sum: u32 = batch.into_payloads().into_iter().sum();
            seen.note((factor * sum).to_string());
        },
    );
    let app = App::new(bed.url())
        .handlers(handlers)
        .state(2_u32)
        .queue(queue_of(&queue))
        .start()
        .await
        .unwrap();
    send_all(&bed, &queue, 1..3).await;
    assert_eq!(handled.next_note().await, "6");
    app.shut_down().await.unwrap();
}

/// Each waits for more messages than the other leaves room for.
pub(crate) async fn handlers_of_batches_share_a_prefetch(bed: Arc<Bed>) {
    const COUNT: u32 = 40;

    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let noting = move |batch: Batch<u32>| async move {
        for number in batch.into_payloads() {
            seen.note(number.to_string());
        }
    };
    let handlers = HandlerRegistry::new()
        .register("even", noting)
        .register("odd", noting);
    let wait = Duration::from_secs(5);
    let set_up = queue_of(&queue)
        .prefetch(10)
        .batch_size(10)
        .batch_wait(wait);
    bed.declare(&queue, &[]).await;
    for number in 0..COUNT {
        let key = if number % 2 == 0 { "even" } else { "odd" };
        bed.send(&queue, key, number.to_string()).await;
    }
    let begun = std::time::Instant::now();
    let app = bed.start_queue(set_up, handlers).await;
    let mut numbers: Vec<u32> = Vec::new();
    for _ in 0..COUNT {
        numbers.push(handled.next_note().await.parse().unwrap());
    }
    // the last of them may wait, and not each ten
    assert!(begun.elapsed() < 3 * wait, "{:?}", begun.elapsed());
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..COUNT));
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_batch_leaves_out_what_went_with_its_queue(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let (arrived, mut arrivals) = ploomby_tests::seen();
    let layer = layer_fn(move |service: HandlerService| {
        service_fn(move |delivery: Delivery| {
            arrived.note("arrived");
            let mut service = service.clone();
            async move { service.call(delivery).await.map_err(BoxError::from) }
        })
    });
    let options = batches(4, NEVER).layer(layer);
    let app = bed.start(&queue, noting(options, seen)).await;
    send_all(&bed, &queue, 0..2).await;
    for _ in 0..2 {
        arrivals.next_note().await;
    }
    bed.delete(&queue).await;
    bed.until_exists(&queue).await;
    eventually(DEADLINE, async || bed.consumer_count(&queue).await == 1).await;
    send_all(&bed, &queue, 2..4).await;
    assert_eq!(handled.next_note().await, "[2, 3]");
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
    assert!(bed.is_empty(&queue).await);
}
