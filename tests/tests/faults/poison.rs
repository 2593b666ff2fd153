use std::collections::BTreeMap;
use std::time::Instant;

use ploomby::{HandlerRegistry, KeySource, Message, Queue};
use ploomby_tests::{Bed, KEY, eventually};

use crate::ledger::{Ledger, numbers};
use crate::{LONG, shared};

const GOOD: u32 = 10_000;
const BAD: u32 = 1_000;

/// One of each kind, in turn, with the reason that it is parked for.
fn bad(number: u32) -> (Message, &'static str) {
    let with_key = |body: String, key: &str| Message::new(body).with_header(KEY, key).unwrap();
    match number % 5 {
        0 => (Message::new(number.to_string()), "missing-key"),
        1 => (with_key(number.to_string(), "nobody"), "unknown-key"),
        2 => (with_key(number.to_string(), "text"), "undecodable"),
        3 => (with_key(number.to_string(), "fail"), "handler-error"),
        _ => (with_key(number.to_string(), "panic"), "panic"),
    }
}

fn handlers(ledger: &'static Ledger) -> HandlerRegistry {
    HandlerRegistry::new()
        .register(
            "work",
            move |number: u32| async move { ledger.note(number) },
        )
        .register("text", |_: String| async {})
        .register("fail", || async {
            Err::<(), _>(anyhow::anyhow!("no luck"))
        })
        .register("panic", || async { out_of_luck() })
}

/// A panic that is not printed, as a thousand others would be.
fn out_of_luck() {
    std::panic::resume_unwind(Box::new("out of luck"));
}

/// Handles all good ones, with as many bad ones among them, and returns how many good ones a second.
async fn handle(bed: &Bed, bad_ones: u32) -> f64 {
    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    let ledger = Ledger::new();
    // a bad one after each ten good ones
    for hundred in 0..GOOD / 100 {
        let first = hundred * 100;
        bed.send_numbers(&queue, "work", first..first + 100).await;
        for number in 0..10 {
            let number = hundred * 10 + number;
            if number < bad_ones {
                bed.publish(&queue, bad(number).0).await;
            }
        }
    }
    let set_up = Queue::new(&queue).key(KeySource::header(KEY));
    let begin = Instant::now();
    let app = bed.start_queue(set_up, handlers(ledger)).await;
    ledger.until(GOOD as usize, LONG).await;
    let rate = f64::from(GOOD) / begin.elapsed().as_secs_f64();
    let dead_letters = format!("{queue}_dlq");
    eventually(LONG, async || {
        bed.ready_count(&dead_letters).await >= bad_ones
    })
    .await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert_eq!(ledger.duplicates(), 0);

    let parked = bed.take_all(&dead_letters).await;
    let (numbers, duplicates) = numbers(&parked);
    assert_eq!(numbers, (0..bad_ones).collect());
    assert_eq!(duplicates, 0, "each is parked once");
    let mut reasons = BTreeMap::new();
    for message in &parked {
        let number: u32 = String::from_utf8_lossy(&message.body).parse().unwrap();
        let reason = message.text("ploomby-reason");
        assert_eq!(reason, bad(number).1, "{number}");
        *reasons.entry(reason).or_insert(0) += 1;
    }
    if bad_ones > 0 {
        eprintln!("parked: {reasons:?}");
    }
    rate
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_poison_messages_are_parked_once_each_with_their_reasons() {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let without = handle(&bed, 0).await;
            let with = handle(&bed, BAD).await;
            eprintln!(
                "{with:.0} good messages a second with one bad in eleven, {without:.0} without: {:.0} %",
                with / without * 100.0
            );
        })
        .await;
}
