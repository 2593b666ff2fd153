use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ploomby::extract::Attempt;
use ploomby::{HandlerOptions, HandlerRegistry, KeySource, Queue, Retry};
use ploomby_tests::{Bed, KEY, OwnRabbit, eventually, seen};
use tokio::time::{sleep, timeout};

use crate::ledger::{Ledger, numbers};
use crate::{LONG, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_try_a_message_as_often_as_one_would() {
    const MESSAGES: u32 = 100;
    const ATTEMPTS: u32 = 5;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let attempts: &'static Mutex<BTreeMap<u32, Vec<u32>>> = Box::leak(Box::default());
            let mut apps = Vec::new();
            for _ in 0..3 {
                let handlers = HandlerRegistry::new().register(
                    "fail",
                    move |Attempt(attempt): Attempt, number: u32| async move {
                        attempts
                            .lock()
                            .unwrap()
                            .entry(number)
                            .or_default()
                            .push(attempt);
                        Err::<(), _>(anyhow::anyhow!("no luck"))
                    },
                );
                let set_up = Queue::new(&queue)
                    .key(KeySource::header(KEY))
                    .retry(Retry::fixed(ATTEMPTS, Duration::from_millis(200)));
                apps.push(bed.start_queue(set_up, handlers).await);
            }
            bed.remove_later(&format!("{queue}_retry_200ms"));
            bed.send_numbers(&queue, "fail", 0..MESSAGES).await;
            let dead_letters = format!("{queue}_dlq");
            eventually(LONG, async || {
                bed.ready_count(&dead_letters).await == MESSAGES
            })
            .await;
            for app in apps {
                app.shut_down().await.unwrap();
            }
            let attempts = attempts.lock().unwrap().clone();
            assert_eq!(attempts.len(), MESSAGES as usize);
            for (number, attempts) in attempts {
                assert_eq!(attempts, [1, 2, 3, 4, 5], "message {number}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_queue_that_is_deleted_between_two_retries_is_declared_again() {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let waiting = format!("{queue}_retry_300ms");
            bed.remove_later(&waiting);
            let (seen, mut handled) = seen();
            let handlers = HandlerRegistry::new().register(
                "fail",
                move |Attempt(attempt): Attempt| async move {
                    seen.note(attempt.to_string());
                    Err::<(), _>(anyhow::anyhow!("no luck"))
                },
            );
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .retry(Retry::fixed(3, Duration::from_millis(300)));
            let app = bed.start_queue(set_up, handlers).await;
            bed.send(&queue, "fail", "1").await;
            assert_eq!(handled.next_note().await, "1");
            assert_eq!(handled.next_note().await, "2");
            // the second retry is published while its queue is gone, or waits in one that is declared anew
            bed.delete(&waiting).await;
            bed.send(&queue, "fail", "2").await;
            bed.delete(&waiting).await;
            let dead_letters = format!("{queue}_dlq");
            eventually(LONG, async || {
                bed.send(&queue, "fail", "3").await;
                bed.ready_count(&dead_letters).await > 0
            })
            .await;
            app.shut_down().await.unwrap();
        })
        .await;
}

/// Of classic queues: what waits in a quorum queue while its broker dies may be held by RabbitMQ itself, see
/// `guarantees.md`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_delay_is_not_held_up_by_a_long_one_and_both_survive_the_brokers_death() {
    // the long ones are not moved before the broker is back
    let long_delay = Duration::from_secs(60);
    // another test may have the other one while these messages wait
    let rabbit = OwnRabbit::start().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let attempt = move |Attempt(attempt): Attempt, number: u32| async move {
                anyhow::ensure!(attempt > 1, "not yet");
                ledger.note(number);
                Ok(())
            };
            let long = Retry::fixed(2, long_delay);
            let short = Retry::fixed(2, Duration::from_millis(500));
            let handlers = HandlerRegistry::new()
                .register_with("long", HandlerOptions::new().retry(long), attempt)
                .register_with("short", HandlerOptions::new().retry(short), attempt);
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .queue_argument("x-queue-type", "classic");
            let app = bed.start_queue(set_up, handlers).await;
            let begin = Instant::now();
            bed.send_numbers(&queue, "long", 0..100).await;
            bed.send_numbers(&queue, "short", 100..200).await;
            ledger.until(100, LONG).await;
            assert_eq!(ledger.numbers(), (100..200).collect::<BTreeSet<u32>>());
            let took = begin.elapsed();
            assert!(took < long_delay, "{took:?}");

            rabbit.kill().await;
            let killed = begin.elapsed();
            rabbit.start_again().await;
            let back = begin.elapsed();
            let all = async || {
                while ledger.len() < 200 {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            if timeout(long_delay + LONG, all()).await.is_err() {
                let missing = &(0..200).collect() - &ledger.numbers();
                let columns = [
                    "name",
                    "messages_ready",
                    "messages_unacknowledged",
                    "consumers",
                ];
                let queues = rabbit.ctl(&[&["list_queues"], &columns[..]].concat()).await;
                panic!(
                    "killed after {killed:?}, back after {back:?}: missing {missing:?}\n{queues}"
                );
            }
            let all = begin.elapsed();
            app.shut_down().await.unwrap();
            let duplicates = ledger.duplicates();
            eprintln!(
                "killed after {killed:?}, back after {back:?}, all handled after {all:?}, \
                 {duplicates} handled twice"
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_never_returns_is_dropped_and_its_message_parked() {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let handlers = HandlerRegistry::new()
                .register("never", std::future::pending::<()>)
                .register(
                    "work",
                    move |number: u32| async move { ledger.note(number) },
                );
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .prefetch(32)
                .timeout(Duration::from_millis(300));
            let app = bed.start_queue(set_up, handlers).await;
            bed.send_numbers(&queue, "never", 0..100).await;
            bed.send_numbers(&queue, "work", 100..200).await;
            // more never return than can run at the same time
            ledger.until(100, LONG).await;
            let dead_letters = format!("{queue}_dlq");
            eventually(LONG, async || bed.ready_count(&dead_letters).await == 100).await;
            app.shut_down().await.unwrap();
            let parked = bed.take_all(&dead_letters).await;
            assert_eq!(numbers(&parked).0, (0..100).collect());
            for message in parked {
                assert_eq!(message.text("ploomby-reason"), "timeout");
            }
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}
