use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ploomby::{Declare, HandlerRegistry, KeySource, PublishError, Publisher, Queue, Value};
use ploomby_tests::{Bed, KEY, Logged, eventually};

use crate::ledger::Ledger;
use crate::{LONG, shared};

fn noting(ledger: &'static Ledger) -> HandlerRegistry {
    HandlerRegistry::new().register(
        "work",
        move |number: u32| async move { ledger.note(number) },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_under_load_is_consumed_again() {
    const DELETIONS: u32 = 10;
    const MESSAGES: u32 = 200;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let set_up = Queue::new(&queue).key(KeySource::header(KEY)).consumers(2);
            let app = bed.start_queue(set_up, noting(ledger)).await;
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            let mut slowest = Duration::ZERO;
            for round in 0..DELETIONS {
                let first = round * MESSAGES;
                bed.send_numbers(&queue, "work", first..first + MESSAGES)
                    .await;
                bed.delete(&queue).await;
                // what stood in the queue is gone, by the will of who deleted it; what comes later is not
                let deleted = Instant::now();
                let marker = 1_000_000 + round;
                eventually(LONG, async || {
                    let message = ploomby::Message::new(marker.to_string());
                    let message = message.with_header(KEY, "work").unwrap();
                    match publisher.publish(&queue, message).await {
                        Ok(()) => true,
                        Err(PublishError::Unroutable(_)) => false,
                        Err(error) => panic!("{error}"),
                    }
                })
                .await;
                eventually(LONG, async || ledger.numbers().contains(&marker)).await;
                slowest = slowest.max(deleted.elapsed());
            }
            eprintln!("a deleted queue was consumed again within {slowest:?}");
            publisher.close().await;
            app.shut_down().await.unwrap();
            assert_eq!(ledger.duplicates(), 0);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_missing_at_the_start_is_declared_durable() {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let app = bed.start(&queue, noting(ledger)).await;
            // another declaration of the same kind is no error
            bed.declare(&queue, &[]).await;
            bed.send(&queue, "work", "1").await;
            ledger.until(1, LONG).await;
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_other_arguments_is_used_as_it_is_also_after_a_cut() {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let proxy = crate::before(shared().await).await;
            let queue = bed.queue_name();
            bed.declare(&queue, &[("x-max-length", 10_000.into())])
                .await;
            let ledger = Ledger::new();
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .queue_argument("x-queue-type", "quorum");
            let app = Bed::start_at(&proxy.url(), set_up, noting(ledger)).await;
            proxy.cut();
            bed.send_numbers(&queue, "work", 0..10).await;
            ledger.until(10, LONG).await;
            app.shut_down().await.unwrap();
            assert_eq!(ledger.numbers(), (0..10).collect::<BTreeSet<u32>>());
            bed.declare(&queue, &[("x-max-length", 10_000.into())])
                .await;
        })
        .await;
}

/// RabbitMQ 3 moves a consumer in silence to the queue that has the name of the deleted one by the time that it
/// notices the deletion, and then does not bring it what that queue delivers.
async fn declared_again_before_the_deletion_is_noticed(arguments: &[(&str, Value)]) {
    let rabbit = shared().await;
    Bed::on(rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, arguments).await;
            let ledger = Ledger::new();
            let app = bed.start(&queue, noting(ledger)).await;
            let find_channel = format!(
                "[Channel] = [proplists:get_value(channel_pid, Consumer)
                     || Consumer <- rabbit_amqqueue:consumers_all(<<\"/\">>),
                        {{resource, _, _, <<\"{queue}\">>}} <- [proplists:get_value(queue_name, Consumer)]],
                 register('{queue}', Channel),
                 sys:suspend(Channel)."
            );
            rabbit.ctl(&["eval", &find_channel]).await;
            bed.delete(&queue).await;
            bed.declare(&queue, arguments).await;
            rabbit
                .ctl(&["eval", &format!("sys:resume('{queue}').")])
                .await;
            bed.send(&queue, "work", "1").await;
            ledger.until(1, LONG).await;
            bed.send_numbers(&queue, "work", 2..100).await;
            ledger.until(99, LONG).await;
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_and_there_again_unnoticed_is_consumed_again() {
    declared_again_before_the_deletion_is_noticed(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_queue_that_is_deleted_and_there_again_unnoticed_is_consumed_again() {
    declared_again_before_the_deletion_is_noticed(&[("x-queue-type", "quorum".into())]).await;
}

/// It had bindings, or was to have some: what is published meanwhile is lost. One thread, of which the log is kept.
#[tokio::test]
async fn a_consumed_queue_that_is_made_is_a_warning_at_the_start_and_later() {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let (log, _guard) = Logged::begin();
            let queue = bed.queue_name();
            let made = || {
                let lines = log.lines_with("is declared, without bindings");
                lines.iter().filter(|line| line.contains(&queue)).count()
            };
            let start = || {
                let set_up = Queue::new(&queue).key(KeySource::header(KEY));
                bed.start_queue(set_up, noting(Ledger::new()))
            };
            let app = start().await;
            assert_eq!(made(), 1, "{}", log.text());
            app.shut_down().await.unwrap();
            let app = start().await;
            assert_eq!(made(), 1, "a queue that is there is none: {}", log.text());
            bed.delete(&queue).await;
            eventually(LONG, async || made() == 2).await;
            app.shut_down().await.unwrap();
            assert!(log.text().contains(" WARN "), "{}", log.text());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_is_waited_for_if_nothing_is_to_be_declared() {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let ledger = Ledger::new();
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .declare(Declare::Never);
            let app = bed.start_queue(set_up, noting(ledger)).await;
            assert!(app.health().is_healthy());
            bed.delete(&queue).await;
            eventually(LONG, async || {
                app.health().to_string().contains("waiting for it")
            })
            .await;
            bed.declare(&queue, &[]).await;
            eventually(LONG, async || app.health().is_healthy()).await;
            bed.send(&queue, "work", "1").await;
            ledger.until(1, LONG).await;
            app.shut_down().await.unwrap();
        })
        .await;
}
