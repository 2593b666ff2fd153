use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures_util::future::join_all;
use ploomby::extract::Attempt;
use ploomby::{
    HandlerRegistry, KeySource, Message, Outcome, Publisher, Queue, Reason, Retry, Value,
};
use ploomby_tests::{Bed, KEY, seen};

const DELAY: Duration = Duration::from_millis(100);

fn quorum(name: &str) -> Queue {
    Queue::new(name)
        .key(KeySource::header(KEY))
        .queue_argument("x-queue-type", "quorum")
}

#[tokio::test]
async fn a_quorum_queue_has_a_dead_letter_queue_of_its_kind() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let queue = bed.queue_name();
        bed.remove_later(&format!("{queue}_retry_100ms"));
        let handlers =
            HandlerRegistry::new().register("fail", || async { Err::<(), _>(anyhow!("no")) });
        let set_up = quorum(&queue).retry(Retry::fixed(3, DELAY));
        let app = bed.start_queue(set_up, handlers).await;
        bed.send(&queue, "fail", "1").await;
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(dead_letter.headers["ploomby-attempts"], Value::I64(3));
        assert!(!dead_letter.headers.contains_key("x-death"));
        app.shut_down().await.unwrap();
        // one that is of another kind keeps messages as well
        let classic = Queue::new(bed.queue_name()).dead_letter_queue(format!("{queue}_dlq"));
        let handlers = HandlerRegistry::new().register("any", || async {});
        let app = bed.start_queue(classic, handlers).await;
        app.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_quorum_queue_counts_by_itself_how_often_a_message_came_back() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let queue = bed.queue_name();
        let (seen, mut handled) = seen();
        let handlers = HandlerRegistry::new().register("again", move || async move {
            seen.note("again");
            Outcome::Requeue
        });
        // RabbitMQ 4.3 counts rejected and lost deliveries, but not those that are given back
        let app = bed
            .start_queue(quorum(&queue).max_deliveries(3), handlers)
            .await;
        bed.send(&queue, "again", "1").await;
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(
            dead_letter.text("ploomby-reason"),
            Reason::TooManyDeliveries.as_str()
        );
        for _ in 0..3 {
            handled.next_note().await;
        }
        app.shut_down().await.unwrap();
        assert!(handled.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_message_keeps_its_exchange_and_routing_key_on_its_way_through_a_retry_queue() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let queue = bed.queue_name();
        bed.remove_later(&format!("{queue}_retry_100ms"));
        let (seen, mut handled) = seen();
        let handlers = HandlerRegistry::new().register(
            "users.created",
            move |Attempt(attempt): Attempt, delivery: ploomby::Delivery| async move {
                seen.note(format!(
                    "{attempt} {} {}",
                    delivery.exchange(),
                    delivery.routing_key()
                ));
                if attempt < 3 {
                    Outcome::Retry
                } else {
                    Outcome::DeadLetter
                }
            },
        );
        let set_up = Queue::new(&queue)
            .key(KeySource::RoutingKey)
            .retry(Retry::fixed(3, DELAY));
        let app = bed.start_queue(set_up, handlers).await;
        bed.publish_through("amq.topic", "users.created", &queue, Message::new("1"))
            .await;
        for attempt in 1..4 {
            assert_eq!(
                handled.next_note().await,
                format!("{attempt} amq.topic users.created")
            );
        }
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(dead_letter.text("ploomby-routing-key"), "users.created");
        assert_eq!(dead_letter.text("ploomby-key"), "users.created");
        app.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_foreign_consumer_of_the_queue_sees_a_retried_message_as_it_was() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let queue = bed.queue_name();
        bed.remove_later(&format!("{queue}_retry_100ms"));
        let (seen, mut handled) = seen();
        let handlers = HandlerRegistry::new().register("fail", move || async move {
            seen.note("failed");
            Err::<(), _>(anyhow!("no"))
        });
        let set_up = Queue::new(&queue)
            .key(KeySource::header(KEY))
            .retry(Retry::fixed(5, DELAY));
        let app = bed.start_queue(set_up, handlers).await;
        bed.send(&queue, "fail", "1").await;
        assert_eq!(handled.next_note().await, "failed");
        app.shut_down().await.unwrap();
        let message = bed.next(&queue).await;
        assert_eq!(message.body, b"1");
        assert_eq!(message.headers[KEY], Value::from("fail"));
        assert_eq!(message.headers["ploomby-attempt"], Value::I64(2));
    })
    .await;
}

#[tokio::test]
async fn a_message_that_died_in_the_queue_before_is_not_dropped_on_its_way_back() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let queue = bed.queue_name();
        bed.remove_later(&format!("{queue}_retry_100ms"));
        let (seen, mut handled) = seen();
        let handlers =
            HandlerRegistry::new().register("work", move |Attempt(attempt): Attempt| async move {
                seen.note(attempt.to_string());
                if attempt < 3 {
                    Outcome::Retry
                } else {
                    Outcome::DeadLetter
                }
            });
        let set_up = Queue::new(&queue)
            .key(KeySource::header(KEY))
            .retry(Retry::fixed(3, DELAY));
        let app = bed.start_queue(set_up, handlers).await;
        // as the broker writes it: the copy would go in a circle, and be dropped for that
        let death = Value::Table(vec![
            ("queue".into(), queue.as_str().into()),
            ("reason".into(), "expired".into()),
            ("count".into(), Value::I64(1)),
            ("exchange".into(), "".into()),
            (
                "routing-keys".into(),
                Value::Array(vec![queue.as_str().into()]),
            ),
        ]);
        let deaths = Value::Array(vec![death]);
        let message = Message::new("1")
            .with_header(KEY, "work")
            .and_then(|message| message.with_header("x-death", deaths))
            .unwrap();
        bed.publish(&queue, message).await;
        for attempt in ["1", "2", "3"] {
            assert_eq!(handled.next_note().await, attempt);
        }
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(dead_letter.headers["ploomby-attempts"], Value::I64(3));
        assert!(!dead_letter.headers.contains_key("ploomby-x-death"));
        app.shut_down().await.unwrap();
    })
    .await;
}

/// The broker answers a second declaration of a quorum queue before the first one is done, and what is published
/// by then would never leave it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_wait_in_a_queue_which_many_declare_at_once_all_come() {
    const PUBLISHERS: usize = 8;
    const DELAY: Duration = Duration::from_millis(200);

    Bed::rabbit()
        .await
        .run(async |bed| {
            let mut publishers = Vec::new();
            for _ in 0..PUBLISHERS {
                publishers.push(Publisher::connect(bed.url()).await.unwrap());
            }
            for _ in 0..5 {
                let queue = bed.queue_name();
                bed.remove_later(&format!("{queue}_delay_200ms"));
                bed.declare(&queue, &[]).await;
                let sends = publishers
                    .iter()
                    .map(|publisher| publisher.to(&queue).payload(&1).delay(DELAY).send());
                for sent in join_all(sends).await {
                    sent.unwrap();
                }
                for _ in 0..PUBLISHERS {
                    bed.next(&queue).await;
                }
            }
            for publisher in publishers {
                publisher.close().await;
            }
        })
        .await;
}

/// Another program may be declaring it at the same time, and what is published by then would never leave it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_in_which_messages_wait_is_left_alone_after_its_declaration() {
    const DELAY: Duration = Duration::from_millis(10);
    const LEFT_ALONE: Duration = Duration::from_millis(250);

    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            for kind in ["retry", "delay"] {
                bed.remove_later(&format!("{queue}_{kind}_10ms"));
            }
            let (seen, mut tried) = seen();
            let handlers = HandlerRegistry::new().register("fail", move |Attempt(attempt)| {
                seen.note(attempt.to_string());
                async { Err::<(), _>(anyhow!("no")) }
            });
            let start = Instant::now();
            let set_up = quorum(&queue).retry(Retry::fixed(2, DELAY));
            let app = bed.start_queue(set_up, handlers).await;
            bed.send(&queue, "fail", "").await;
            assert_eq!(tried.next_note().await, "1");
            assert_eq!(tried.next_note().await, "2");
            assert!(start.elapsed() >= LEFT_ALONE);
            app.shut_down().await.unwrap();

            let publisher = Publisher::connect(bed.url()).await.unwrap();
            let send = || publisher.to(&queue).payload(&1).delay(DELAY);
            let start = Instant::now();
            send().send().await.unwrap();
            assert!(start.elapsed() >= LEFT_ALONE);
            bed.delete(&format!("{queue}_delay_10ms")).await;
            let start = Instant::now();
            send().send().await.unwrap();
            assert!(start.elapsed() >= LEFT_ALONE, "it is declared again");
            publisher.close().await;
        })
        .await;
}
