//! Only what a handler began counts: neither deploys nor neighbours condemn a message.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ploomby::rabbit::Reconnect;
use ploomby::{App, HandlerRegistry, KeySource, Queue, Value};
use ploomby_tests::{Bed, KEY, eventually, seen};
use tokio::time::{sleep, timeout};

use crate::ledger::{Ledger, numbers};
use crate::worker::Worker;
use crate::{LONG, before, shared};

pub(crate) const CLASSIC: [(&str, &str); 1] = [("x-queue-type", "classic")];
pub(crate) const QUORUM: [(&str, &str); 1] = [("x-queue-type", "quorum")];

/// A queue whose helpers are removed at the end, too.
pub(crate) async fn declared(bed: &Bed, arguments: &[(&str, &str)], single_active: bool) -> String {
    let queue = bed.queue_name();
    for beside in ["suspects", "crashes", "retry_1000ms"] {
        bed.remove_later(&format!("{queue}_{beside}"));
    }
    let mut arguments: Vec<(&str, Value)> = arguments
        .iter()
        .map(|&(name, value)| (name, value.into()))
        .collect();
    if single_active {
        arguments.push(("x-single-active-consumer", true.into()));
    }
    bed.declare(&queue, &arguments).await;
    queue
}

/// Keeps so many workers alive until the poison is parked and all else is done.
async fn one_poison_among_a_hundred(kind: [(&str, &str); 1], instances: usize) {
    const MESSAGES: u32 = 100;
    const POISON: u32 = 50;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = declared(&bed, &kind, false).await;
            bed.send_numbers(&queue, "short", 0..POISON).await;
            bed.send(&queue, "abort", POISON.to_string()).await;
            bed.send_numbers(&queue, "short", POISON + 1..MESSAGES)
                .await;
            let dead_letters = format!("{queue}_dlq");
            let start = || Worker::start_with(bed.url(), &queue, 64, &["fitted"]);
            let mut workers: Vec<Worker> = (0..instances).map(|_| start()).collect();
            let mut done: BTreeSet<u32> = BTreeSet::new();
            let mut aborts = 0;
            let begin = Instant::now();
            bed.until_exists(&dead_letters).await;
            while done.len() < MESSAGES as usize - 1 || bed.ready_count(&dead_letters).await == 0 {
                assert!(
                    begin.elapsed() < LONG,
                    "{} done, {aborts} aborted",
                    done.len()
                );
                for worker in &mut workers {
                    // cancel safety: a line that is not complete is read on by the next call
                    while let Ok(lives) = timeout(Duration::from_millis(20), worker.listen()).await
                    {
                        if !lives {
                            assert!(!worker.end().await.success());
                            done.extend(&worker.done);
                            aborts += 1;
                            *worker = start();
                        }
                    }
                    done.extend(&worker.done);
                }
            }
            eprintln!(
                "{aborts} processes aborted, done after {:?}",
                begin.elapsed()
            );
            assert!(aborts <= 12, "{aborts} processes aborted");
            for mut worker in workers {
                worker.signal("-TERM").await;
                assert!(worker.end().await.success());
                done.extend(&worker.done);
            }
            assert_eq!(done.len(), MESSAGES as usize - 1);
            assert!(!done.contains(&POISON));
            let parked = bed.take_all(&dead_letters).await;
            assert_eq!(numbers(&parked), ([POISON].into(), 0));
            assert_eq!(parked[0].text("ploomby-reason"), "crashes-the-process");
            assert!(
                parked[0]
                    .text("ploomby-error")
                    .contains("the process ended 5 times")
            );
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_condemns_none_of_its_neighbours_in_a_classic_queue() {
    one_poison_among_a_hundred(CLASSIC, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_condemns_none_of_its_neighbours_in_a_quorum_queue() {
    one_poison_among_a_hundred(QUORUM, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_condemns_none_of_three_instances_messages_in_a_classic_queue() {
    one_poison_among_a_hundred(CLASSIC, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_condemns_none_of_three_instances_messages_in_a_quorum_queue() {
    one_poison_among_a_hundred(QUORUM, 3).await;
}

/// Each worker is told to stop as soon as it has begun something.
async fn fifty_deploys(kind: [(&str, &str); 1], concurrency: u32, words: &[&str]) {
    const DEPLOYS: u32 = 50;
    let messages = (DEPLOYS + 20) * concurrency;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = declared(&bed, &kind, false).await;
            bed.send_numbers(&queue, "short", 0..messages).await;
            let start = || Worker::start_with(bed.url(), &queue, concurrency, words);
            let mut done = Vec::new();
            for _ in 0..DEPLOYS {
                let mut worker = start();
                while worker.begun.is_empty() {
                    assert!(worker.listen().await);
                }
                worker.signal("-TERM").await;
                assert!(worker.end().await.success());
                done.append(&mut worker.done);
            }
            let mut worker = start();
            let before: BTreeSet<u32> = done.iter().copied().collect();
            eventually(LONG, async || {
                let _ = timeout(Duration::from_millis(200), worker.listen()).await;
                let now: BTreeSet<u32> = worker.done.iter().copied().collect();
                before.union(&now).count() == messages as usize
            })
            .await;
            worker.signal("-TERM").await;
            assert!(worker.end().await.success());
            done.append(&mut worker.done);
            let once: BTreeSet<u32> = done.iter().copied().collect();
            assert_eq!(once, (0..messages).collect(), "all are handled");
            eprintln!("{} handled twice", done.len() - once.len());
            assert!(bed.is_empty(&queue).await);
            assert!(bed.is_empty(&format!("{queue}_dlq")).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_deploys_condemn_nothing_in_a_classic_queue() {
    fifty_deploys(CLASSIC, 1, &["fitted"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_deploys_condemn_nothing_in_a_quorum_queue() {
    fifty_deploys(QUORUM, 1, &["fitted"]).await;
}

/// What waits here for its handler comes back with each deploy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_deploys_condemn_nothing_that_was_prefetched_from_a_classic_queue() {
    fifty_deploys(CLASSIC, 4, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_deploys_condemn_nothing_that_was_prefetched_from_a_quorum_queue() {
    fifty_deploys(QUORUM, 4, &[]).await;
}

/// The process lives on, and so do the handlers; what they hold comes back each time. RabbitMQ 4 gives up after 20.
async fn thirty_lost_connections(kind: [(&str, &str); 1]) {
    const MESSAGES: u32 = 8;
    const CUTS: u32 = 30;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let proxy = before(shared().await).await;
            let queue = declared(&bed, &kind, false).await;
            let ledger = Ledger::new();
            let (seen, mut begun) = seen();
            let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
                seen.note("begun");
                sleep(Duration::from_millis(500)).await;
                ledger.note(number);
            });
            let app = App::new(proxy.url())
                .handlers(handlers)
                .queue(Queue::new(&queue).key(KeySource::header(KEY)))
                .reconnect(Reconnect::forever().longest_pause(Duration::from_millis(10)))
                .start()
                .await
                .unwrap();
            bed.send_numbers(&queue, "work", 0..MESSAGES).await;
            for _ in 0..CUTS {
                begun.next_note().await;
                while !begun.is_empty() {
                    begun.next_note().await;
                }
                proxy.cut();
            }
            ledger.until(MESSAGES as usize, LONG).await;
            // the broker may hear of the last cut a little later
            eventually(LONG, async || {
                let list = ["list_queues", "-q", "name", "messages"];
                let queues = shared().await.ctl(&list).await;
                let ours = queues.lines().filter(|line| line.starts_with(&queue));
                ours.filter(|line| !line.contains("_crashes"))
                    .all(|line| line.ends_with("\t0"))
            })
            .await;
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_lost_connections_condemn_nothing_in_a_classic_queue() {
    thirty_lost_connections(CLASSIC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_lost_connections_condemn_nothing_in_a_quorum_queue() {
    thirty_lost_connections(QUORUM).await;
}
