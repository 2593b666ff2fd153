//! What a publisher can make of `reply_to`, and what a program without rights makes of its copies.

use std::time::{Duration, Instant};

use ploomby::{
    HandlerRegistry, KeySource, Message, Properties, Queue, Reply, Retry, RpcClient, Value,
};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, rabbit, seen, unique_name};
use tokio::time::{sleep, timeout};

use crate::proxied;

fn asking(key: &str, reply_to: &str) -> Message {
    let properties = Properties::new().with_reply_to(reply_to).unwrap();
    let message = Message::new("7").with_properties(properties);
    message.with_header(KEY, key).unwrap()
}

/// Addresses of every kind, in front of messages that fail once: nobody but who sent such an address notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_address_of_a_reply_harms_other_messages() {
    const INNOCENTS: usize = 30;
    const ASKED: usize = 2 * INNOCENTS;
    const LATE: Duration = Duration::from_millis(500);

    Bed::rabbit()
        .await
        .run(async |bed| {
            for kind in ["classic", "quorum"] {
                let (proxy, url) = proxied().await;
                let (queue, other) = (bed.queue_name(), bed.queue_name());
                let (full, exclusive) = (bed.queue_name(), bed.queue_name());
                let arguments = [
                    ("x-max-length", Value::I32(0)),
                    ("x-overflow", "reject-publish".into()),
                    ("x-queue-type", kind.into()),
                ];
                bed.declare(&full, &arguments).await;
                bed.declare(&exclusive, &[("x-queue-type", kind.into())]).await;
                bed.remove_later(&format!("{queue}_retry_50ms"));
                let (seen, mut handled) = seen();
                let once = move |ploomby::extract::Attempt(attempt): ploomby::extract::Attempt| async move {
                    seen.note(format!("innocent {attempt}"));
                    anyhow::ensure!(attempt == 2, "not yet");
                    Ok(())
                };
                let handlers = HandlerRegistry::new()
                    .register("innocent", once)
                    .register("nothing", move || async move { seen.note("asked") })
                    .register("value", move |number: u32| async move {
                        seen.note("asked");
                        Reply(number)
                    });
                let set_up = Queue::new(&queue)
                    .key(KeySource::header(KEY))
                    .queue_argument("x-queue-type", kind)
                    .retry(Retry::fixed(2, Duration::from_millis(50)));
                let app = Bed::start_at(&url, set_up, handlers).await;
                // another client's direct address, of which the key is wrong
                let client = RpcClient::connect(bed.url()).await.unwrap();
                bed.declare(&other, &[]).await;
                let call = client.call::<_, u32>(&other, "value", &1);
                let direct = async { bed.next(&other).await.reply_to.unwrap() };
                let direct = tokio::select! {
                    direct = direct => direct,
                    _ = call => unreachable!("nobody answers"),
                };
                let wrong_key = format!("{}x", &direct[..direct.len() - 3]);
                let foreign_node = "amq.rabbitmq.reply-to.\
                                    g1h3DHJlcGx5QG1lbW9yeQAAAAAAAAAAAAAAAA==.AAAAAAAAAAAAAAAAAAAABw==";
                let malformed = "amq.rabbitmq.reply-to.g2gCdwA=.key";
                let dead = format!("{queue}_dlq");
                let long = "x".repeat(255);
                let addresses = [
                    &*queue, &*dead, &*full, "gone", "amq.topic/x", &*direct, &*wrong_key, foreign_node, malformed,
                    &*long, "",
                ];
                let connections = proxy.accepted();
                // what was handled, and how long it took until the last innocent was
                let mut handle = async |addresses: &[&str]| {
                    let start = Instant::now();
                    for number in 0..INNOCENTS {
                        let address = addresses[number % addresses.len()];
                        for key in ["value", "nothing"] {
                            bed.publish(&queue, asking(key, address)).await;
                        }
                        bed.send(&queue, "innocent", "").await;
                    }
                    let (mut notes, mut took) = (Vec::new(), Duration::ZERO);
                    for _ in 0..ASKED + 2 * INNOCENTS {
                        let note = handled.next_note().await;
                        if note != "asked" {
                            took = start.elapsed();
                        }
                        notes.push(note);
                    }
                    (notes, took)
                };
                // none asks for a reply
                let (_, usual) = handle(&[""]).await;
                let (notes, took) = handle(&addresses).await;
                let health = app.health();
                app.shut_down().await.unwrap();
                assert!(handled.is_empty());
                for (note, count) in [("asked", ASKED), ("innocent 1", INNOCENTS), ("innocent 2", INNOCENTS)] {
                    let found = notes.iter().filter(|found| *found == note).count();
                    assert_eq!(found, count, "{kind}: {note}");
                }
                println!("{kind}: usually {usual:?}, beside such addresses {took:?}");
                // twice, and what a busy machine may be late
                assert!(took < 2 * usual + LATE, "{kind}: {took:?}, usually {usual:?}");
                // one for copies and two for replies; RabbitMQ 3 closes one for the node that it does not know
                assert!(proxy.accepted() - connections <= 5, "{kind}: {}", proxy.accepted());
                assert!(health.queues()[0].dropped_replies() > 0);
                assert!(bed.is_empty(&queue).await);
                assert!(bed.is_empty(&dead).await);
                client.close().await;
            }
        })
        .await;
}

/// The addresses that RabbitMQ cannot read, in two queues, each of whose innocents fails once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_close_connections_cost_no_other_message_anything() {
    const EACH: usize = 30;

    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queues = [bed.queue_name(), bed.queue_name()];
            let (seen, mut handled) = seen();
            let once = move |ploomby::extract::Attempt(attempt): ploomby::extract::Attempt| async move {
                seen.note("innocent");
                anyhow::ensure!(attempt == 2, "not yet");
                Ok(())
            };
            let handlers = HandlerRegistry::new()
                .register("innocent", once)
                .register("poison", move || async move { seen.note("poison") });
            let mut app = ploomby::App::new(&url).handlers(handlers);
            for queue in &queues {
                bed.remove_later(&format!("{queue}_retry_50ms"));
                let set_up = Queue::new(queue).key(KeySource::header(KEY));
                app = app.queue(set_up.retry(Retry::fixed(2, Duration::from_millis(50))));
            }
            let app = app.start().await.unwrap();
            let connections = proxy.accepted();
            for queue in &queues {
                for _ in 0..EACH {
                    let poison = asking("poison", "amq.rabbitmq.reply-to.g2gCdwA=.key");
                    bed.publish(queue, poison).await;
                    bed.send(queue, "innocent", "").await;
                }
            }
            let all = async {
                let mut notes = Vec::new();
                for _ in 0..6 * EACH {
                    notes.push(handled.next_note().await);
                }
                notes
            };
            let notes = timeout(Duration::from_secs(30), all).await.unwrap();
            app.shut_down().await.unwrap();
            assert!(handled.is_empty());
            let poison = notes.iter().filter(|note| *note == "poison").count();
            assert_eq!(poison, 2 * EACH);
            assert!(proxy.accepted() - connections <= 3, "{}", proxy.accepted());
            for queue in &queues {
                assert!(bed.is_empty(queue).await);
                assert!(bed.is_empty(&format!("{queue}_dlq")).await);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_goes_through_an_exchange_that_the_program_names() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (queue, replies) = (bed.queue_name(), bed.queue_name());
            bed.declare(&replies, &[]).await;
            // binds the queue, and shows that it is bound
            bed.publish_through("amq.direct", &replies, &replies, Message::new("bound"))
                .await;
            assert_eq!(bed.next(&replies).await.body, b"bound");
            let handlers = HandlerRegistry::new()
                .register("value", |number: u32| async move { Reply(number) });
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .reply_addresses(["*", "amq.direct/*"]);
            let app = bed.start_queue(set_up, handlers).await;
            let through = format!("amq.direct/{replies}");
            bed.publish(&queue, asking("value", &through)).await;
            assert_eq!(bed.next(&replies).await.body, b"7");
            // another one is not named
            bed.publish(&queue, asking("value", &format!("amq.topic/{replies}")))
                .await;
            bed.publish(&queue, asking("value", &replies)).await;
            assert_eq!(bed.next(&replies).await.body, b"7");
            let health = app.health();
            app.shut_down().await.unwrap();
            assert_eq!(health.queues()[0].dropped_replies(), 1);
            assert!(bed.is_empty(&replies).await);
        })
        .await;
}

/// Long enough for several tries; `PLOOMBY_WITHOUT_RIGHTS` says another time, in seconds.
fn without_rights() -> Duration {
    let seconds = std::env::var("PLOOMBY_WITHOUT_RIGHTS").ok();
    Duration::from_secs(seconds.map_or(5, |seconds| seconds.parse().unwrap()))
}

/// A program that may not write copies for a while: what failed waits, and each message has all its attempts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_copied_without_the_right_to_write_is_tried_again_with_it() {
    const MESSAGES: usize = 10;

    let rabbit = rabbit().await;
    if rabbit.rabbitmqctl().is_none() {
        // a broker that is given has users of its own, which tests do not change
        return;
    }
    let user = unique_name("limited");
    Bed::rabbit()
        .await
        .run(async |bed| {
            let rights = async |write: &str| {
                let mut command = rabbit.rabbitmqctl().unwrap();
                command.args(["set_permissions", &user, ".*", write, ".*"]);
                assert!(command.output().await.unwrap().status.success());
            };
            let mut command = rabbit.rabbitmqctl().unwrap();
            command.args(["add_user", &user, "limited"]);
            assert!(command.output().await.unwrap().status.success());
            rights(".*").await;
            let url = format!("amqp://{user}:limited@{}:{}", rabbit.host(), rabbit.port());
            let queue = bed.queue_name();
            bed.remove_later(&format!("{queue}_retry_100ms"));
            let (seen, mut handled) = seen();
            let fails = move |ploomby::extract::Attempt(attempt): ploomby::extract::Attempt| async move {
                seen.note(attempt.to_string());
                Err::<(), _>(anyhow::anyhow!("no luck"))
            };
            let handlers = HandlerRegistry::new().register("fail", fails);
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .queue_argument("x-queue-type", "quorum")
                .retry(Retry::fixed(3, Duration::from_millis(100)));
            let app = Bed::start_at(&url, set_up, handlers).await;
            rights("^$").await;
            // a channel of RabbitMQ remembers what it may do until it has been idle for a second
            sleep(Duration::from_secs(3)).await;
            for _ in 0..MESSAGES {
                bed.send(&queue, "fail", "").await;
            }
            for _ in 0..MESSAGES {
                assert_eq!(handled.next_note().await, "1");
            }
            let health = app.health();
            eventually(DEADLINE, async || health.queues()[0].copies().is_some()).await;
            sleep(without_rights()).await;
            assert!(handled.is_empty(), "no handler ran without need");
            rights(".*").await;
            let mut attempts = Vec::new();
            for _ in 0..2 * MESSAGES {
                attempts.push(timeout(2 * DEADLINE, handled.next_note()).await.unwrap());
            }
            for attempt in ["2", "3"] {
                let found = attempts.iter().filter(|found| *found == attempt).count();
                assert_eq!(found, MESSAGES, "{attempt}");
            }
            for _ in 0..MESSAGES {
                assert_eq!(bed.dead_letter(&queue).await.text("ploomby-reason"), "handler-error");
            }
            app.shut_down().await.unwrap();
            assert!(handled.is_empty());
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}
