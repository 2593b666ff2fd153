use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ploomby::extract::Attempt;
use ploomby::{HandlerOptions, HandlerRegistry, KeySource, Publisher, Queue, Retry};
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
            // the second retry is published while its queue goes, or waits in it and goes with it; a second
            // deletion, of the queue that was just declared anew, could hit RabbitMQ 3.10, see `guarantees.md`
            bed.delete(&waiting).await;
            bed.send(&queue, "fail", "2").await;
            let dead_letters = format!("{queue}_dlq");
            // the one that was published after the deletion, and so waited in the queue that was declared anew
            eventually(LONG, async || {
                let dead = bed.take_all(&dead_letters).await;
                dead.iter().any(|message| message.body == b"2")
            })
            .await;
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_delay_is_not_held_up_by_a_long_one_and_both_survive_the_brokers_death() {
    // a quorum queue is on the disk of RabbitMQ only some seconds after it was declared
    const SHORT_DELAY: Duration = Duration::from_secs(3);
    const LONG_DELAY: Duration = Duration::from_secs(20);

    // another test may have the other one while these messages wait
    let rabbit = OwnRabbit::start().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let long = Retry::fixed(2, LONG_DELAY);
            let short = Retry::fixed(2, SHORT_DELAY);
            let attempt =
                move |attempt: Attempt, number: u32| at_the_second_attempt(ledger, attempt, number);
            let handlers = HandlerRegistry::new()
                .register_with("long", HandlerOptions::new().retry(long), attempt)
                .register_with("short", HandlerOptions::new().retry(short), attempt);
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = bed.start_queue(set_up, handlers).await;
            let begin = Instant::now();
            bed.send_numbers(&queue, "long", 0..100).await;
            bed.send_numbers(&queue, "short", 100..200).await;
            ledger.until(100, LONG).await;
            assert_eq!(ledger.numbers(), (100..200).collect::<BTreeSet<u32>>());
            let took = begin.elapsed();
            assert!(took < LONG_DELAY, "{took:?}");
            rabbit.kill().await;
            rabbit.start_again().await;
            all_are_handled(&rabbit, ledger, 200).await;
            app.shut_down().await.unwrap();
        })
        .await;
}

/// RabbitMQ takes its queues up one after the other, so that some messages expire before the queues are there
/// that they go to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delays_that_end_while_the_broker_is_down_lose_nothing() {
    const DELAY: Duration = Duration::from_secs(3);
    const QUEUES: u32 = 6;
    const MESSAGES: u32 = 20;

    let rabbit = OwnRabbit::start().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            let ledger = Ledger::new();
            let (mut queues, mut apps) = (Vec::new(), Vec::new());
            for at in 0..QUEUES {
                let queue = bed.queue_name();
                // the program does not know of what kind it is
                let kind = ["classic", "quorum"][at as usize % 2];
                bed.declare(&queue, &[("x-queue-type", kind.into())]).await;
                let attempt = move |attempt: Attempt, number: u32| {
                    at_the_second_attempt(ledger, attempt, number)
                };
                let note = move |number: u32| async move { ledger.note(number) };
                let handlers = HandlerRegistry::new()
                    .register("again", attempt)
                    .register("later", note);
                let set_up = Queue::new(&queue).retry(Retry::fixed(2, DELAY));
                apps.push(bed.start_queue(set_up, handlers).await);
                queues.push(queue);
            }
            let send = async |numbers: Range<u32>| {
                for number in numbers {
                    let queue = &queues[(number % QUEUES) as usize];
                    publisher.send(queue, "again", &number).await.unwrap();
                    let number = MESSAGES * QUEUES + number;
                    let later = publisher.to(queue).key("later").payload(&number);
                    later.delay(DELAY).send().await.unwrap();
                }
            };
            // the first one for each queue also declares where the others wait, which is on the broker's disk
            // by the time that it comes back
            send(0..QUEUES).await;
            ledger.until(2 * QUEUES as usize, LONG).await;
            send(QUEUES..MESSAGES * QUEUES).await;
            rabbit.kill().await;
            sleep(DELAY).await;
            rabbit.start_again().await;
            all_are_handled(&rabbit, ledger, 2 * MESSAGES * QUEUES).await;
            publisher.close().await;
            for app in apps {
                app.shut_down().await.unwrap();
            }
        })
        .await;
}

async fn at_the_second_attempt(
    ledger: &'static Ledger,
    Attempt(attempt): Attempt,
    number: u32,
) -> anyhow::Result<()> {
    anyhow::ensure!(attempt > 1, "not yet");
    ledger.note(number);
    Ok(())
}

async fn all_are_handled(rabbit: &OwnRabbit, ledger: &Ledger, messages: u32) {
    let begin = Instant::now();
    let all = async {
        while ledger.len() < messages as usize {
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(LONG, all).await.is_err() {
        let missing = &(0..messages).collect() - &ledger.numbers();
        let columns = [
            "name",
            "messages_ready",
            "messages_unacknowledged",
            "consumers",
        ];
        let queues = rabbit.ctl(&[&["list_queues"], &columns[..]].concat()).await;
        panic!("missing {missing:?}\n{queues}");
    }
    eprintln!(
        "all handled {:?} after the broker was back, {} handled twice",
        begin.elapsed(),
        ledger.duplicates()
    );
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
