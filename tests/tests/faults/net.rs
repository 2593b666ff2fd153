//! Only what a handler began counts: neither deploys nor neighbours condemn a message.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ploomby::{Message, Value};
use ploomby_tests::{Bed, KEY, eventually};
use tokio::time::timeout;

use crate::ledger::numbers;
use crate::worker::{Said, Worker};
use crate::{LONG, shared};

const CLASSIC: [(&str, &str); 1] = [("x-queue-type", "classic")];
const QUORUM: [(&str, &str); 1] = [("x-queue-type", "quorum")];

/// A queue whose helpers are removed at the end, too.
async fn declared(bed: &Bed, arguments: &[(&str, &str)], single_active: bool) -> String {
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
async fn fifty_deploys(kind: [(&str, &str); 1]) {
    const MESSAGES: u32 = 70;
    const DEPLOYS: u32 = 50;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = declared(&bed, &kind, false).await;
            bed.send_numbers(&queue, "short", 0..MESSAGES).await;
            let mut done = Vec::new();
            for _ in 0..DEPLOYS {
                let mut worker = Worker::start_with(bed.url(), &queue, 1, &["fitted"]);
                while worker.begun.is_empty() {
                    assert!(worker.listen().await);
                }
                worker.signal("-TERM").await;
                assert!(worker.end().await.success());
                done.append(&mut worker.done);
            }
            let mut worker = Worker::start_with(bed.url(), &queue, 1, &["fitted"]);
            eventually(LONG, async || {
                let _ = timeout(Duration::from_millis(200), worker.listen()).await;
                done.len() + worker.done.len() >= MESSAGES as usize
            })
            .await;
            worker.signal("-TERM").await;
            assert!(worker.end().await.success());
            done.append(&mut worker.done);
            let once: BTreeSet<u32> = done.iter().copied().collect();
            assert_eq!(once, (0..MESSAGES).collect(), "all are handled");
            assert_eq!(once.len(), done.len(), "and once");
            assert!(bed.is_empty(&queue).await);
            assert!(bed.is_empty(&format!("{queue}_dlq")).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_deploys_condemn_nothing_in_a_classic_queue() {
    fifty_deploys(CLASSIC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_deploys_condemn_nothing_in_a_quorum_queue() {
    fifty_deploys(QUORUM).await;
}

/// Three instances, of which one after the other is replaced, under load.
async fn order_survives_rolling_restarts(kind: [(&str, &str); 1]) {
    const VALUES: u32 = 50;
    const RESTARTS: usize = 20;
    const MESSAGES: u32 = 4_000;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = declared(&bed, &kind, true).await;
            for number in 0..MESSAGES {
                let message = Message::new(number.to_string())
                    .with_header(KEY, "brief")
                    .unwrap()
                    .with_header("value", i64::from(number % VALUES))
                    .unwrap();
                bed.publish(&queue, message).await;
            }
            let start = || Worker::start_with(bed.url(), &queue, 20, &["ordered"]);
            let mut workers: Vec<Worker> = (0..3).map(|_| start()).collect();
            let mut said = Vec::new();
            for restart in 0..RESTARTS {
                // some of what is at work, whoever is
                let mut heard = 0;
                while heard < 60 {
                    for worker in &mut workers {
                        let hearing = timeout(Duration::from_millis(10), worker.listen());
                        heard += usize::from(matches!(hearing.await, Ok(true)));
                    }
                    if bed.ready_count(&queue).await == 0 {
                        break;
                    }
                }
                // the one that is active, if it is known
                let active = workers
                    .iter()
                    .enumerate()
                    .max_by_key(|(_, worker)| worker.said.last().map(|said| said.0));
                let at = if restart % 4 == 3 {
                    restart % 3
                } else {
                    active.map_or(0, |(at, _)| at)
                };
                let worker = &mut workers[at];
                worker.signal("-TERM").await;
                assert!(worker.end().await.success());
                said.append(&mut worker.said);
                *worker = start();
            }
            eventually(LONG, async || {
                let mut all = 0;
                for worker in &mut workers {
                    while let Ok(true) = timeout(Duration::from_millis(10), worker.listen()).await {
                    }
                    all += worker.said.len();
                }
                said.len() + all >= 2 * MESSAGES as usize
            })
            .await;
            for mut worker in workers {
                worker.signal("-TERM").await;
                assert!(worker.end().await.success());
                said.append(&mut worker.said);
            }
            said.sort_by_key(|(at, _)| *at);
            let mut last: BTreeMap<u32, Said> = BTreeMap::new();
            for (_, said) in said {
                let (Said::Begun(number) | Said::Done(number)) = said;
                let before = last.insert(number % VALUES, said);
                let expected = match (before, said) {
                    (None, Said::Begun(number)) => number < VALUES,
                    (Some(Said::Done(before)), Said::Begun(number)) => number == before + VALUES,
                    (Some(Said::Begun(before)), Said::Done(number)) => number == before,
                    _ => false,
                };
                assert!(expected, "{said:?} follows {before:?}");
            }
            let ends: BTreeSet<Option<u32>> = last
                .values()
                .map(|said| match said {
                    Said::Done(number) => Some(number / VALUES),
                    Said::Begun(_) => None,
                })
                .collect();
            assert_eq!(ends, [Some(MESSAGES / VALUES - 1)].into());
            assert!(bed.is_empty(&format!("{queue}_dlq")).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_a_classic_queue_survives_rolling_restarts() {
    order_survives_rolling_restarts(CLASSIC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_a_quorum_queue_survives_rolling_restarts() {
    order_survives_rolling_restarts(QUORUM).await;
}
