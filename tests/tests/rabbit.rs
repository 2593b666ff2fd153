//! What only RabbitMQ can show: refusals at startup, and connections that die.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use amqprs::{BasicProperties, FieldTable, FieldValue};
use ploomby::rabbit::Reconnect;
use ploomby::{
    App, Error, HandlerRegistry, KeySource, Message, Outcome, PublishError, Publisher, Queue,
    RunError,
};
use ploomby_tests::{Bed, DEADLINE, KEY, Proxy, eventually, rabbit, seen, unique_name};
use tokio::sync::Semaphore;

async fn start_error(url: &str) -> String {
    let handlers = HandlerRegistry::new().register("nothing", || async {});
    App::new(url)
        .handlers(handlers)
        .queue(Queue::new(unique_name("rabbit")))
        .start()
        .await
        .expect_err("it cannot start")
        .to_string()
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_a_readable_error() {
    let error = start_error("amqp://user:secret@127.0.0.1:1").await;
    assert!(error.contains("127.0.0.1:1"), "{error}");
    assert!(error.contains("refused"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_a_readable_error() {
    let (host, port) = (rabbit().await.host(), rabbit().await.port());
    let error = start_error(&format!("amqp://guest:secret@{host}:{port}")).await;
    assert!(error.contains("check user and password"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_missing_virtual_host_is_a_readable_error() {
    let (host, port) = (rabbit().await.host(), rabbit().await.port());
    let error = start_error(&format!("amqp://guest:guest@{host}:{port}/no%2Fsuch")).await;
    assert!(error.contains("no/such"), "{error}");
}

#[tokio::test]
async fn the_next_host_is_tried_when_one_is_down() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (host, port) = (rabbit().await.host(), rabbit().await.port());
            let queue = bed.queue_name();
            let (seen, mut handled) = seen();
            let handlers =
                HandlerRegistry::new().register("greet", move |name: String| async move {
                    seen.note(name);
                });
            let app = App::new(format!("amqp://guest:guest@127.0.0.1:1,{host}:{port}"))
                .handlers(handlers)
                .queue(Queue::new(&queue).key(KeySource::header(KEY)))
                .start()
                .await
                .unwrap();
            bed.send(&queue, "greet", r#""Ada""#).await;
            assert_eq!(handled.next_note().await, "Ada");
            app.shut_down().await.unwrap();
        })
        .await;
}

/// The URL of a proxy before the broker of this process.
async fn proxied() -> (Proxy, String) {
    let rabbit = rabbit().await;
    let proxy = Proxy::before((rabbit.host().to_owned(), rabbit.port())).await;
    let url = format!("amqp://guest:guest@{}", proxy.address());
    (proxy, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_outlives_its_connection_does_no_harm() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            let (seen, mut handled) = seen();
            let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
            let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
                seen.note(format!("begun {number}"));
                gate.acquire().await.unwrap().forget();
                seen.note(format!("done {number}"));
            });
            let app = App::new(url)
                .handlers(handlers)
                .queue(Queue::new(&queue).key(KeySource::header(KEY)))
                .start()
                .await
                .unwrap();
            bed.send(&queue, "work", "1").await;
            assert_eq!(handled.next_note().await, "begun 1");
            proxy.cut();
            // delivered again, on a new channel, where it has the same delivery tag
            assert_eq!(handled.next_note().await, "begun 1");
            gate.add_permits(1);
            assert_eq!(handled.next_note().await, "done 1");
            // the late one was not acknowledged in the place of the new one: the consumer lives
            bed.send(&queue, "work", "2").await;
            assert_eq!(handled.next_note().await, "begun 2");
            gate.add_permits(2);
            let mut done = [handled.next_note().await, handled.next_note().await];
            done.sort();
            assert_eq!(done, ["done 1", "done 2"]);
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_when_connections_are_cut_all_the_time() {
    const MESSAGES: u32 = 2_000;
    static CALLS: AtomicU32 = AtomicU32::new(0);

    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            let (seen, mut handled) = seen();
            // every tenth is bad, so that dead-letter copies are cut off, too
            let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
                CALLS.fetch_add(1, Ordering::Relaxed);
                if number.is_multiple_of(2) {
                    tokio::task::yield_now().await;
                }
                anyhow::ensure!(!number.is_multiple_of(10), "a bad number");
                seen.note(number.to_string());
                Ok(())
            });
            let app = App::new(url)
                .handlers(handlers)
                .queue(Queue::new(&queue).key(KeySource::header(KEY)).consumers(2))
                .start()
                .await
                .unwrap();
            let mut missing: std::collections::BTreeSet<u32> =
                (0..MESSAGES).filter(|number| number % 10 != 0).collect();
            for number in 0..MESSAGES {
                bed.send(&queue, "work", number.to_string()).await;
                if number % 100 == 50 {
                    proxy.cut();
                }
            }
            while !missing.is_empty() {
                missing.remove(&handled.next_note().await.parse().unwrap());
            }
            let mut parked: std::collections::BTreeSet<u32> = (0..MESSAGES).step_by(10).collect();
            while !parked.is_empty() {
                let body = bed.dead_letter(&queue).await.body;
                parked.remove(&String::from_utf8(body).unwrap().parse().unwrap());
            }
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await, "all were acknowledged");
            let duplicates = CALLS.load(Ordering::Relaxed) - MESSAGES;
            println!("{duplicates} of {MESSAGES} messages were handled twice");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_must_not_reconnect_ends_with_an_error() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let app = App::new(url)
                .handlers(HandlerRegistry::new().register("nothing", || async {}))
                .queue(Queue::new(bed.queue_name()))
                .reconnect(Reconnect::never())
                .start()
                .await
                .unwrap();
            let ended = tokio::spawn(app.until_signal());
            proxy.cut();
            let error = tokio::time::timeout(DEADLINE, ended)
                .await
                .unwrap()
                .unwrap();
            assert!(
                matches!(error, Err(Error::Run(RunError::Consumer { .. }))),
                "{error:?}"
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_while_the_broker_is_away_ends_on_time() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let app = App::new(url)
                .handlers(HandlerRegistry::new().register("nothing", || async {}))
                .queue(Queue::new(bed.queue_name()))
                .start()
                .await
                .unwrap();
            proxy.cut();
            drop(proxy);
            tokio::time::timeout(Duration::from_secs(5), app.shut_down())
                .await
                .expect("it does not wait for the broker")
                .unwrap();
        })
        .await;
}

#[tokio::test]
async fn a_dead_letter_in_the_name_of_another_user_is_kept() {
    let Some(mut rabbitmqctl) = rabbit().await.rabbitmqctl() else {
        // a broker that is given has users of its own, which tests do not change
        return;
    };
    let user = unique_name("user");
    let arguments = ["add_user", &user, "secret"];
    assert!(
        rabbitmqctl
            .args(arguments)
            .output()
            .await
            .unwrap()
            .status
            .success()
    );
    let mut rabbitmqctl = rabbit().await.rabbitmqctl().unwrap();
    let arguments = ["set_permissions", &user, ".*", ".*", ".*"];
    assert!(
        rabbitmqctl
            .args(arguments)
            .output()
            .await
            .unwrap()
            .status
            .success()
    );
    let (host, port) = (rabbit().await.host(), rabbit().await.port());

    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let app = bed
                .start(&queue, HandlerRegistry::new().register("x", || async {}))
                .await;
            let publisher = Publisher::connect(&format!("amqp://{user}:secret@{host}:{port}"))
                .await
                .unwrap();
            let properties = ploomby::Properties::new().user_id(&user).unwrap();
            let message = Message::new("1").with_properties(properties);
            publisher.publish(&queue, message).await.unwrap();
            let dead_letter = bed.dead_letter(&queue).await;
            assert_eq!(dead_letter.text("ploomby-user-id"), user);
            publisher.close().await;
            app.shut_down().await.unwrap();
        })
        .await;

    let mut rabbitmqctl = rabbit().await.rabbitmqctl().unwrap();
    rabbitmqctl
        .args(["delete_user", &user])
        .output()
        .await
        .unwrap();
}

#[tokio::test]
async fn headers_that_fill_a_frame_leave_room_for_the_reason() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let app = bed
                .start(&queue, HandlerRegistry::new().register("x", || async {}))
                .await;
            // headers that nearly fill a frame: the reason has to fit beside them
            let mut headers = FieldTable::new();
            headers.insert(
                "big".try_into().unwrap(),
                FieldValue::from("x".repeat(130_500)),
            );
            let mut properties = BasicProperties::default();
            properties.with_headers(headers);
            bed.publish_raw(&queue, properties, b"1".to_vec()).await;
            let dead_letter = bed.dead_letter(&queue).await;
            assert_eq!(dead_letter.text("big").len(), 130_500);
            assert_eq!(dead_letter.text("ploomby-reason"), "missing-key");
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test]
async fn a_publisher_tells_what_is_wrong() {
    let publisher = Publisher::connect(rabbit().await.url()).await.unwrap();
    let nowhere = unique_name("nowhere");
    let error = publisher
        .publish(&nowhere, Message::new("1"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, PublishError::Unroutable(name) if *name == nowhere),
        "{error}"
    );
    let too_big = Message::new("1")
        .with_header("h", "x".repeat(200_000))
        .unwrap();
    let error = publisher.publish(&nowhere, too_big).await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(_)), "{error}");
    // and goes on
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let queue = bed.queue_name();
        bed.declare(&queue, &[]).await;
        publisher.publish(&queue, Message::new("2")).await.unwrap();
        eventually(DEADLINE, async || bed.get(&queue).await.is_some()).await;
        publisher.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_slot_is_not_handled_after_the_connection_is_lost() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            let (seen, mut handled) = seen();
            let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
            let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
                seen.note(number.to_string());
                gate.acquire().await.unwrap().forget();
            });
            let app = App::new(url)
                .handlers(handlers)
                .queue(
                    Queue::new(&queue)
                        .key(KeySource::header(KEY))
                        .concurrency(1),
                )
                .start()
                .await
                .unwrap();
            for number in 0..5 {
                bed.send(&queue, "work", number.to_string()).await;
            }
            assert_eq!(handled.next_note().await, "0");
            proxy.cut();
            // the consumer is back while the handler of the lost connection still has the only slot
            eventually(DEADLINE, async || bed.consumer_count(&queue).await == 1).await;
            gate.add_permits(10);
            // once more the one that was running, and each of the others once
            for number in 0..5 {
                assert_eq!(handled.next_note().await, number.to_string());
            }
            app.shut_down().await.unwrap();
            assert!(handled.is_empty());
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_quorum_queue_gives_up_is_kept() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let handlers = HandlerRegistry::new().register("again", || async { Outcome::Requeue });
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .queue_argument("x-queue-type", "quorum")
                // RabbitMQ counts from 4.0 on also where no limit is set; 3.10 where one is
                .queue_argument("x-dead-letter-exchange", "")
                .queue_argument("x-dead-letter-routing-key", format!("{queue}_dlq"))
                .queue_argument("x-delivery-limit", 5);
            let app = bed.start_queue(set_up, handlers).await;
            bed.send(&queue, "again", "1").await;
            assert_eq!(bed.dead_letter(&queue).await.body, b"1");
            app.shut_down().await.unwrap();

            let defaults = bed.queue_name();
            let handlers = HandlerRegistry::new().register("again", || async {});
            let set_up = Queue::new(&defaults).queue_argument("x-queue-type", "quorum");
            let app = bed.start_queue(set_up, handlers).await;
            app.shut_down().await.unwrap();
            // declared again with what ploomby adds: other arguments would be an error
            bed.declare(
                &defaults,
                &[
                    ("x-queue-type", "quorum".into()),
                    ("x-dead-letter-exchange", "".into()),
                    (
                        "x-dead-letter-routing-key",
                        format!("{defaults}_dlq").into(),
                    ),
                ],
            )
            .await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_leaves_no_task_in_a_panic() {
    static PANICS: AtomicU32 = AtomicU32::new(0);

    // the client's tasks belong to nobody who could be asked
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic
            .location()
            .is_some_and(|at| at.file().contains("amqprs"))
        {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        others(panic);
    }));
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            for _ in 0..30 {
                let handlers = HandlerRegistry::new().register("nothing", || async {});
                let app = bed.start(&queue, handlers).await;
                bed.send(&queue, "nothing", "").await;
                app.shut_down().await.unwrap();
            }
        })
        .await;
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}
