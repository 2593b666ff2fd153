//! Nothing stands before the work: what cannot be counted or copied is handled all the same.

use std::time::{Duration, Instant};

use amqprs::channel::{BasicConsumeArguments, BasicQosArguments};
use ploomby::{App, HandlerRegistry, KeySource, Message, Queue};
use ploomby_tests::{Bed, KEY, OwnRabbit, eventually, unique_name};
use tokio::time::timeout;

use crate::ledger::Ledger;
use crate::net::{CLASSIC, QUORUM, declared};
use crate::{LONG, disturbed, shared};

/// Enough to be a suspect in a queue that counts.
const RETURNS: usize = 5;

/// Delivers so many messages of a queue, and loses the connection; so often.
async fn come_back(
    connect: impl AsyncFn() -> amqprs::connection::Connection,
    queue: &str,
    messages: u16,
) {
    for _ in 0..RETURNS {
        let connection = connect().await;
        let channel = connection.open_channel(None).await.unwrap();
        let qos = BasicQosArguments::new(0, messages, false);
        channel.basic_qos(qos).await.unwrap();
        let consume = BasicConsumeArguments::new(queue, "");
        let (_, mut deliveries) = channel.basic_consume_rx(consume).await.unwrap();
        for _ in 0..messages {
            timeout(LONG, deliveries.recv()).await.unwrap().unwrap();
        }
        connection.close().await.unwrap();
    }
}

fn working(ledger: &'static Ledger) -> HandlerRegistry {
    HandlerRegistry::new().register("work", move |number: u32| async move {
        ledger.note(number);
    })
}

fn queue_of(name: &str) -> Queue {
    Queue::new(name).key(KeySource::header(KEY))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_alarm_holds_up_nothing_that_came_back() {
    const MESSAGES: u32 = 300;

    let rabbit = disturbed().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            for kind in [CLASSIC, QUORUM] {
                let queue = declared(&bed, &kind, false).await;
                bed.send_numbers(&queue, "work", 0..MESSAGES).await;
                come_back(async || rabbit.connect().await.unwrap(), &queue, 64).await;
                rabbit.raise_memory_alarm().await;
                let ledger = Ledger::new();
                let app = bed.start_queue(queue_of(&queue), working(ledger)).await;
                let begin = Instant::now();
                ledger.until(MESSAGES as usize, LONG).await;
                eprintln!(
                    "{kind:?}: all handled {:?} after the start",
                    begin.elapsed()
                );
                rabbit.clear_memory_alarm().await;
                app.shut_down().await.unwrap();
                assert!(bed.is_empty(&format!("{queue}_dlq")).await);
            }
        })
        .await;
}

/// The URL of a user of the test's own in a virtual host.
async fn user(rabbit: &OwnRabbit, vhost: &str, rights: [&str; 3]) -> String {
    let user = unique_name("user");
    rabbit.ctl(&["add_user", &user, "secret"]).await;
    let [configure, write, read] = rights;
    rabbit
        .ctl(&[
            "set_permissions",
            "-p",
            vhost,
            &user,
            configure,
            write,
            read,
        ])
        .await;
    let vhost = if vhost == "/" { "" } else { vhost };
    let (host, port) = (rabbit.host(), rabbit.port());
    format!("amqp://{user}:secret@{host}:{port}/{vhost}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_holds_up_nothing_that_came_back() {
    const MESSAGES: u32 = 20;

    let rabbit = shared().await;
    Bed::on(rabbit)
        .await
        .run(async |bed| {
            for (kind, rights) in [
                (CLASSIC, ["", ".*", ".*"]),
                (QUORUM, ["", ".*", ".*"]),
                (CLASSIC, ["", "", ".*"]),
                (QUORUM, ["", "", ".*"]),
            ] {
                let url = user(rabbit, "/", rights).await;
                let queue = declared(&bed, &kind, false).await;
                bed.declare(&format!("{queue}_dlq"), &[]).await;
                bed.send_numbers(&queue, "work", 0..MESSAGES).await;
                come_back(async || rabbit.connect().await.unwrap(), &queue, 10).await;
                let ledger = Ledger::new();
                let app = Bed::start_at(&url, queue_of(&queue), working(ledger)).await;
                ledger.until(MESSAGES as usize, LONG).await;
                assert!(app.health().is_healthy(), "{}", app.health());
                app.shut_down().await.unwrap();
                assert!(bed.is_empty(&queue).await);
                assert!(bed.is_empty(&format!("{queue}_dlq")).await);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_queues_holds_up_nothing_that_came_back() {
    const MESSAGES: u32 = 20;

    let rabbit = shared().await;
    for kind in ["classic", "quorum"] {
        let vhost = unique_name("limited");
        rabbit.ctl(&["add_vhost", &vhost]).await;
        let url = user(rabbit, &vhost, [".*", ".*", ".*"]).await;
        rabbit
            .ctl(&["set_vhost_limits", "-p", &vhost, r#"{"max-queues": 2}"#])
            .await;
        let start = async |ledger| {
            let set_up = queue_of("limited").queue_argument("x-queue-type", kind);
            Bed::start_at(&url, set_up, working(ledger)).await
        };
        // the queue, and its dead-letter queue
        start(Ledger::new()).await.shut_down().await.unwrap();
        let publisher = ploomby::Publisher::connect(&url).await.unwrap();
        for number in 0..MESSAGES {
            let message = Message::new(number.to_string());
            let message = message.with_header(KEY, "work").unwrap();
            publisher.publish("limited", message).await.unwrap();
        }
        let mut arguments = rabbit.arguments();
        let (user, password) = url["amqp://".len()..].split_once(':').unwrap();
        let (password, _) = password.split_once('@').unwrap();
        arguments.credentials(amqprs::security::SecurityCredentials::new_plain(
            user, password,
        ));
        arguments.virtual_host(&vhost);
        let connect = async || {
            amqprs::connection::Connection::open(&arguments)
                .await
                .unwrap()
        };
        come_back(connect, "limited", 10).await;
        let ledger = Ledger::new();
        let app = start(ledger).await;
        ledger.until(MESSAGES as usize, LONG).await;
        assert!(app.health().is_healthy(), "{}", app.health());
        app.shut_down().await.unwrap();
        publisher.close().await;
        rabbit.ctl(&["delete_vhost", &vhost]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_limit_that_is_lowered_holds_up_nothing_that_came_back() {
    const MESSAGES: u32 = 20;

    let rabbit = disturbed().await;
    let limit = async |bytes: &str| {
        let set = format!("application:set_env(rabbit, max_message_size, {bytes}).");
        rabbit.ctl(&["eval", &set]).await;
    };
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            for kind in [CLASSIC, QUORUM] {
                let queue = declared(&bed, &kind, false).await;
                let ledger = Ledger::new();
                let handlers = HandlerRegistry::new().register("work", move |text: String| {
                    ledger.note(text.trim_start_matches('x').parse().unwrap());
                    async {}
                });
                for number in 0..MESSAGES {
                    let body = format!("\"{}{number}\"", "x".repeat(10_000));
                    bed.send(&queue, "work", body).await;
                }
                come_back(async || rabbit.connect().await.unwrap(), &queue, 10).await;
                limit("1000").await;
                let app = App::new(bed.url())
                    .handlers(handlers)
                    .queue(queue_of(&queue))
                    .start()
                    .await
                    .unwrap();
                ledger.until(MESSAGES as usize, LONG).await;
                eventually(Duration::from_secs(5), async || app.health().is_healthy()).await;
                app.shut_down().await.unwrap();
                limit("134217728").await;
                assert!(bed.is_empty(&format!("{queue}_dlq")).await);
            }
        })
        .await;
}
