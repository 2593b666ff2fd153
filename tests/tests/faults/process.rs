use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ploomby_tests::{Bed, eventually};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::ledger::numbers;
use crate::worker::Worker;
use crate::{LONG, disturbed, shared};

/// The shutdown deadline of the worker, which is the default.
const DEADLINE: Duration = Duration::from_secs(30);

async fn declared(bed: &Bed, arguments: &[(&str, ploomby::Value)]) -> String {
    let queue = bed.queue_name();
    bed.declare(&queue, arguments).await;
    queue
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_finishes_what_runs_and_gives_back_the_rest() {
    const MESSAGES: u32 = 400;
    const RUNNING: u32 = 200;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = declared(&bed, &[]).await;
            bed.send_numbers(&queue, "slow", 0..MESSAGES).await;
            let mut worker = Worker::start(bed.url(), &queue, RUNNING);
            while worker.begun.len() < RUNNING as usize {
                assert!(worker.listen().await);
            }
            let told = Instant::now();
            worker.signal("-TERM").await;
            eventually(LONG, async || bed.consumer_count(&queue).await == 0).await;
            eprintln!("consuming stopped {:?} after SIGTERM", told.elapsed());
            let status = worker.end().await;
            eprintln!("ended {:?} after SIGTERM", told.elapsed());
            assert!(status.success(), "{status}");
            let done: BTreeSet<u32> = worker.done.iter().copied().collect();
            assert_eq!(done, worker.begun, "what had begun is done");
            assert_eq!(done.len(), worker.done.len(), "and done once");
            let (left, _) = numbers(&bed.take_all(&queue).await);
            assert!(!left.is_empty(), "consuming stopped");
            assert_eq!(left, &(0..MESSAGES).collect() - &done, "the rest went back");
            assert!(bed.is_empty(&format!("{queue}_dlq")).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_process_at_once_with_a_failure() {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = declared(&bed, &[]).await;
            bed.send_numbers(&queue, "stuck", 0..10).await;
            let mut worker = Worker::start(bed.url(), &queue, 10);
            while worker.begun.len() < 10 {
                assert!(worker.listen().await);
            }
            worker.signal("-TERM").await;
            eventually(LONG, async || bed.consumer_count(&queue).await == 0).await;
            let told = Instant::now();
            worker.signal("-INT").await;
            let status = worker.end().await;
            let took = told.elapsed();
            assert!(took < DEADLINE / 2, "they were waited for: {took:?}");
            assert_eq!(status.code(), Some(1));
            eventually(LONG, async || bed.ready_count(&queue).await == 10).await;
        })
        .await;
}

/// `timeout -s TERM` sends the signal to its child, and to the child's group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_that_a_wrapper_sends_twice_is_one() {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = declared(&bed, &[]).await;
            bed.send_numbers(&queue, "slow", 0..10).await;
            let mut worker = Worker::start(bed.url(), &queue, 10);
            while worker.begun.len() < 10 {
                assert!(worker.listen().await);
            }
            worker.signal("-TERM").await;
            eventually(LONG, async || bed.consumer_count(&queue).await == 0).await;
            worker.signal("-TERM").await;
            assert!(worker.end().await.success());
            assert_eq!(worker.done.len(), 10);
        })
        .await;
}

#[tokio::test]
async fn sigterm_while_the_broker_does_not_answer_ends_the_start() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://guest:guest@{}", silent.local_addr().unwrap());
    let mut worker = Worker::start(&url, "any", 1);
    let _connected = timeout(LONG, silent.accept()).await.unwrap().unwrap();
    let told = Instant::now();
    worker.signal("-TERM").await;
    assert_eq!(worker.end().await.code(), Some(0));
    let took = told.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_while_the_broker_is_down_ends_the_process_on_time() {
    let rabbit = disturbed().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let queue = declared(&bed, &[]).await;
            bed.send_numbers(&queue, "quick", 0..10).await;
            let mut worker = Worker::start(bed.url(), &queue, 10);
            while worker.done.len() < 10 {
                assert!(worker.listen().await);
            }
            rabbit.stop().await;
            worker.signal("-TERM").await;
            let told = Instant::now();
            let status = worker.end().await;
            let took = told.elapsed();
            assert!(took < DEADLINE, "{took:?}");
            assert!(status.success(), "{status}");
            rabbit.start_again().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_loses_nothing() {
    const KILLED: u32 = 4;
    /// Each worker says two lines for each, and may have handled all of them before it is killed.
    const EACH: u32 = 400;
    const MESSAGES: u32 = (KILLED + 1) * EACH;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = declared(&bed, &[]).await;
            let mut done = Vec::new();
            for first in (0..KILLED).map(|round| round * EACH) {
                bed.send_numbers(&queue, "quick", first..first + EACH).await;
                let mut worker = Worker::start(bed.url(), &queue, 10);
                for _ in 0..EACH {
                    assert!(worker.listen().await);
                }
                worker.signal("-KILL").await;
                worker.end().await;
                done.append(&mut worker.done);
            }
            let last = KILLED * EACH..MESSAGES;
            bed.send_numbers(&queue, "quick", last).await;
            let mut worker = Worker::start(bed.url(), &queue, 10);
            let mut all: BTreeSet<u32> = done.iter().copied().collect();
            while all.len() < MESSAGES as usize {
                assert!(worker.listen().await);
                all.extend(&worker.done);
            }
            loop {
                worker.signal("-TERM").await;
                assert!(worker.end().await.success());
                done.append(&mut worker.done);
                if bed.ready_count(&queue).await == 0 {
                    break;
                }
                // what was to be handled once more, and had not begun, went back
                worker = Worker::start(bed.url(), &queue, 10);
                assert!(worker.listen().await);
            }
            eprintln!("{} handled twice", done.len() - MESSAGES as usize);
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}

/// Starts one worker after the other until the message that aborts them is parked, and returns how many
/// aborted.
async fn aborts(bed: &Bed, queue: &str) -> u32 {
    let dead_letters = format!("{queue}_dlq");
    let mut aborts = 0;
    loop {
        let mut worker = Worker::start(bed.url(), queue, 10);
        bed.until_exists(&dead_letters).await;
        loop {
            // cancel safety: a line that is not complete is read on by the next call
            match timeout(Duration::from_millis(100), worker.listen()).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) if bed.ready_count(&dead_letters).await == 0 => {}
                Err(_) => {
                    bed.send(queue, "quick", "7").await;
                    while !worker.done.contains(&7) {
                        assert!(worker.listen().await, "it lives");
                    }
                    worker.signal("-TERM").await;
                    assert!(worker.end().await.success());
                    return aborts;
                }
            }
        }
        assert!(!worker.end().await.success());
        aborts += 1;
        assert!(aborts < 30, "the message that aborts loops for ever");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_aborts_the_process_is_given_up_by_a_quorum_queue() {
    let rabbit = shared().await;
    Bed::on(rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let dead_letters = format!("{queue}_dlq");
            bed.declare(
                &queue,
                &[
                    ("x-queue-type", "quorum".into()),
                    ("x-delivery-limit", 3.into()),
                    ("x-dead-letter-exchange", "".into()),
                    ("x-dead-letter-routing-key", dead_letters.as_str().into()),
                ],
            )
            .await;
            bed.send(&queue, "abort", "1").await;
            let aborts = aborts(&bed, &queue).await;
            eprintln!("{aborts} processes aborted");
            assert!((3..=5).contains(&aborts), "{aborts}");
            let (parked, duplicates) = numbers(&bed.take_all(&dead_letters).await);
            assert_eq!((parked, duplicates), ([1].into(), 0));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_aborts_the_process_is_given_up_in_a_classic_queue() {
    let rabbit = shared().await;
    Bed::on(rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            bed.send(&queue, "abort", "1").await;
            bed.remove_later(&format!("{queue}_suspects"));
            bed.remove_later(&format!("{queue}_crashes"));
            let aborts = aborts(&bed, &queue).await;
            eprintln!("{aborts} processes aborted");
            // beside others, until there is a cause to suspect it, and `max_crashes` times alone
            assert!((6..=10).contains(&aborts), "{aborts}");
            let parked = bed.take_all(&format!("{queue}_dlq")).await;
            assert_eq!(parked.len(), 1);
            assert_eq!(parked[0].body, b"1");
            assert_eq!(parked[0].text("ploomby-reason"), "crashes-the-process");
        })
        .await;
}
