use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ploomby::{HandlerRegistry, KeySource, Message, Outcome, PublishError, Publisher, Queue};
use ploomby_tests::{Bed, KEY, eventually, unique_name};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::ledger::{Ledger, numbers};
use crate::{LONG, disturbed, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_alarm_holds_up_dead_letters_and_loses_none() {
    let rabbit = disturbed().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
            let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
                let _ = gate.acquire().await.unwrap();
                anyhow::ensure!(!number.is_multiple_of(10), "a bad number");
                ledger.note(number);
                Ok(())
            });
            let app = bed.start(&queue, handlers).await;
            bed.send_numbers(&queue, "work", 0..500).await;
            let publisher = Publisher::connect(bed.url()).await.unwrap();

            rabbit.raise_memory_alarm().await;
            gate.add_permits(1);
            // acknowledgements go by another connection than copies
            ledger.until(450, LONG).await;
            let begin = Instant::now();
            let refused = loop {
                // the broker takes what is on its way when the alarm is raised
                match publisher.publish(&queue, with_number(1_000)).await {
                    Ok(()) => assert!(begin.elapsed() < LONG, "the alarm holds nothing up"),
                    Err(error) => break error,
                }
            };
            assert!(matches!(refused, PublishError::Unconfirmed(_)), "{refused}");
            let parked = bed.ready_count(&format!("{queue}_dlq")).await;
            assert!(parked < 50, "the alarm holds up {parked} dead letters");

            rabbit.clear_memory_alarm().await;
            let dead_letters = format!("{queue}_dlq");
            let bad = (0..500).step_by(10).collect();
            let mut parked = Vec::new();
            eventually(LONG, async || {
                parked.extend(bed.take_all(&dead_letters).await);
                numbers(&parked).0.is_superset(&bad)
            })
            .await;
            eprintln!("parked {:?} after the alarm began", begin.elapsed());
            app.shut_down().await.unwrap();
            publisher.close().await;
            parked.extend(bed.take_all(&dead_letters).await);
            let left = bed.take_all(&queue).await;
            let (_, duplicates) = numbers(&parked);
            eprintln!(
                "{} handled twice, {} parked twice",
                ledger.duplicates(),
                duplicates + left.len()
            );
        })
        .await;
}

fn with_number(number: u32) -> Message {
    let message = Message::new(number.to_string());
    message.with_header(KEY, "work").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_dead_letter_queue_keeps_the_originals_where_they_are() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    const BAD: u32 = 3;
    const ROOM: u32 = 1;

    let rabbit = shared().await;
    Bed::on(rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let dead_letters = format!("{queue}_dlq");
            let policy = unique_name("full");
            rabbit
                .ctl(&[
                    "set_policy",
                    "--apply-to",
                    "queues",
                    &policy,
                    &format!("^{dead_letters}$"),
                    &format!(r#"{{"max-length": {ROOM}, "overflow": "reject-publish"}}"#),
                ])
                .await;
            let handlers = HandlerRegistry::new().register("fail", || async {
                CALLS.fetch_add(1, Ordering::Relaxed);
                Err::<(), _>(anyhow::anyhow!("no luck"))
            });
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = bed.start_queue(set_up, handlers).await;
            bed.send_numbers(&queue, "fail", 0..BAD).await;
            eventually(LONG, async || CALLS.load(Ordering::Relaxed) == BAD).await;
            // long enough for a second run to show
            sleep(Duration::from_secs(3)).await;
            assert_eq!(
                CALLS.load(Ordering::Relaxed),
                BAD,
                "the outcome is known: no handler runs again"
            );
            assert_eq!(bed.ready_count(&dead_letters).await, ROOM);

            rabbit.ctl(&["clear_policy", &policy]).await;
            eventually(LONG, async || bed.ready_count(&dead_letters).await == BAD).await;
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await);
            let (parked, duplicates) = numbers(&bed.take_all(&dead_letters).await);
            assert_eq!(parked, (0..BAD).collect());
            assert_eq!(duplicates, 0);
        })
        .await;
}

/// The broker counts as well: what it gives up waits, too, and is neither dropped nor put where there is no room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_quorum_queue_gives_up_waits_for_room_in_the_dead_letter_queue() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    /// A quorum queue takes one more than it has room for.
    const FILLING: u32 = 2;
    const BAD: u32 = 4;
    /// Before a message is requeued.
    const LONGEST_PAUSE: Duration = Duration::from_secs(30);

    let rabbit = shared().await;
    Bed::on(rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let dead_letters = format!("{queue}_dlq");
            let policies = [unique_name("full"), unique_name("limited")];
            for (policy, queue, definition) in [
                (
                    &policies[0],
                    &dead_letters,
                    r#"{"max-length": 1, "overflow": "reject-publish"}"#,
                ),
                (&policies[1], &queue, r#"{"delivery-limit": 1}"#),
            ] {
                let pattern = format!("^{queue}$");
                let arguments = ["--apply-to", "queues", policy, &pattern, definition];
                rabbit
                    .ctl(&[&["set_policy"], &arguments[..]].concat())
                    .await;
            }
            let handlers = HandlerRegistry::new().register("fail", |number: u32| async move {
                anyhow::ensure!(number >= FILLING, "no luck");
                CALLS.fetch_add(1, Ordering::Relaxed);
                Ok(Outcome::Requeue)
            });
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .queue_argument("x-queue-type", "quorum")
                // the broker's count alone
                .max_deliveries(None);
            let app = bed.start_queue(set_up, handlers).await;
            bed.send_numbers(&queue, "fail", 0..FILLING).await;
            eventually(LONG, async || bed.ready_count(&dead_letters).await >= 1).await;
            sleep(Duration::from_secs(1)).await;
            bed.send_numbers(&queue, "fail", FILLING..BAD).await;
            // the broker gives them up the second time that they come back
            let calls = 2 * (BAD - FILLING);
            eventually(LONG, async || CALLS.load(Ordering::Relaxed) >= calls).await;
            sleep(LONGEST_PAUSE).await;
            assert!(bed.ready_count(&dead_letters).await < BAD);

            let mut parked = Vec::new();
            eventually(LONG, async || {
                parked.extend(bed.take_all(&dead_letters).await);
                numbers(&parked).0 == (0..BAD).collect()
            })
            .await;
            app.shut_down().await.unwrap();
            for policy in &policies {
                rabbit.ctl(&["clear_policy", policy]).await;
            }
        })
        .await;
}
