//! Which message is handled when, across the instances of a program.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ploomby::Message;
use ploomby_tests::{Bed, KEY, eventually};
use tokio::time::timeout;

use crate::net::{CLASSIC, QUORUM, declared};
use crate::worker::{Said, Worker};
use crate::{LONG, shared};

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
                    while timeout(Duration::from_millis(10), worker.listen()).await == Ok(true) {
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
            let mut repeats = 0;
            for (_, said) in said {
                let (Said::Begun(number) | Said::Done(number)) = said;
                let before = last.insert(number % VALUES, said);
                let expected = match (before, said) {
                    (None, Said::Begun(number)) => number < VALUES,
                    (Some(Said::Done(before)), Said::Begun(number)) => number == before + VALUES,
                    (Some(Said::Begun(before)), Said::Done(number)) => number == before,
                    _ => false,
                };
                // the acknowledgement of what was done last may be lost with the channel, on its way to the queue
                let is_repeat = matches!((before, said), (Some(Said::Done(before)), Said::Begun(number)) if number == before);
                repeats += usize::from(is_repeat);
                let expected = expected || is_repeat;
                assert!(expected, "{said:?} follows {before:?}");
            }
            eprintln!("{repeats} handled again");
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
