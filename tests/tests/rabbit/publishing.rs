use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use amqprs::channel::{BasicConsumeArguments, QueueDeclareArguments};
use amqprs::connection::Connection;
use futures_util::{StreamExt, future, stream};
use ploomby::{Message, PublishError, Publisher};
use ploomby_tests::{Bed, Cut, DEADLINE, Direction, Method, Received, eventually, rabbit};
use tokio::time::timeout;

use crate::proxied;

const LONG: Duration = Duration::from_secs(120);

/// 100,000 where somebody has the time.
fn sends() -> u32 {
    std::env::var("PLOOMBY_TEST_SENDS").map_or(20_000, |sends| sends.parse().unwrap())
}

/// Cuts at each step of publishing, and anywhere.
fn cut(turn: usize) -> Cut {
    use Direction::{ToBroker, ToClient};

    let some = turn * 7919 % 37 + 1;
    match turn % 5 {
        0 => Cut::within(ToBroker, Method::PUBLISH).nth(some * 3),
        1 => Cut::behind(ToBroker, Method::PUBLISH).nth(some * 3),
        2 => Cut::within(ToClient, Method::ACK).nth(some % 4 + 1),
        3 => Cut::behind(ToClient, Method::ACK).nth(some % 4 + 1),
        _ => Cut::after(ToBroker, some * 1311),
    }
}

fn number(message: &Received) -> u32 {
    serde_json::from_slice(&message.body).unwrap()
}

/// Takes all messages out of a queue, which are too many to get one by one.
async fn take_all(queue: &str) -> Vec<Received> {
    let connection = Connection::open(&rabbit().await.arguments()).await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    let declare = QueueDeclareArguments::new(queue).passive(true).finish();
    let (_, ready, _) = channel.queue_declare(declare).await.unwrap().unwrap();
    let consume = BasicConsumeArguments::new(queue, "")
        .manual_ack(false)
        .finish();
    let (_, mut messages) = channel.basic_consume_rx(consume).await.unwrap();
    let mut taken = Vec::new();
    for _ in 0..ready {
        let message = timeout(DEADLINE, messages.recv()).await.unwrap().unwrap();
        taken.push((message.basic_properties.unwrap(), message.content.unwrap()).into());
    }
    connection.close().await.unwrap();
    taken
}

/// Each number once, in the order in which they came first.
fn first_times(messages: &[Received]) -> Vec<u32> {
    let mut known = BTreeSet::new();
    let numbers = messages.iter().map(number);
    numbers.filter(|number| known.insert(*number)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_there_after_twenty_cuts() {
    const CUTS: usize = 20;
    const CALLERS: usize = 64;

    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let publisher = Publisher::connect(&url).await.unwrap();
            let (sent, failed) = {
                let sending = async {
                    stream::iter(0..sends())
                        .map(|number| {
                            let (publisher, queue) = (&publisher, &queue);
                            async move { (number, publisher.send(queue, "n", &number).await) }
                        })
                        .buffer_unordered(CALLERS)
                        .fold(
                            (BTreeSet::new(), 0),
                            async |(mut sent, failed), (number, result)| match result {
                                Ok(()) => {
                                    sent.insert(number);
                                    (sent, failed)
                                }
                                Err(_) => (sent, failed + 1),
                            },
                        )
                        .await
                };
                let cutting = async {
                    for turn in 0..CUTS {
                        timeout(LONG, proxy.cut_when(cut(turn)))
                            .await
                            .unwrap_or_else(|_| panic!("nothing came by for {:?}", cut(turn)));
                    }
                };
                let (sent, ()) = tokio::join!(sending, cutting);
                sent
            };
            publisher.close().await;
            let received = take_all(&queue).await;
            let mut ids: BTreeMap<u32, BTreeSet<_>> = BTreeMap::new();
            for message in &received {
                let ids = ids.entry(number(message)).or_default();
                ids.insert(message.message_id.clone().unwrap());
            }
            let missing: Vec<_> = sent
                .iter()
                .filter(|number| !ids.contains_key(number))
                .collect();
            assert!(missing.is_empty(), "{missing:?} are lost");
            assert_eq!(failed, 0, "each cut is over before the deadline");
            assert!(
                ids.values().all(|ids| ids.len() == 1),
                "a duplicate has the id of the original"
            );
            eprintln!(
                "{} sends, {CUTS} cuts: {} twice",
                sends(),
                received.len() - ids.len()
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_one_caller_survives_cuts() {
    const CUTS: usize = 20;

    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let publisher = Publisher::connect(&url).await.unwrap();
            let mut next = 0;
            for turn in 0..CUTS {
                let cut = proxy.cut_when(cut(turn));
                tokio::pin!(cut);
                let mut is_cut = false;
                while !is_cut {
                    // all at once, without waiting for one before the next is sent
                    let numbers = next..next + 100;
                    next += 100;
                    if turn % 2 == 0 {
                        let sends =
                            numbers.map(async |number| publisher.send(&queue, "n", &number).await);
                        for sent in future::join_all(sends).await {
                            sent.unwrap();
                        }
                    } else {
                        let messages = numbers.map(|number| publisher.to(&queue).payload(&number));
                        publisher.send_all(messages).await.unwrap();
                    }
                    is_cut = timeout(Duration::ZERO, &mut cut).await.is_ok();
                }
            }
            publisher.close().await;
            let received = bed.take_all(&queue).await;
            let expected: Vec<u32> = (0..next).collect();
            assert_eq!(first_times(&received), expected);
            eprintln!(
                "{next} sends, {CUTS} cuts: {} twice",
                received.len() - expected.len()
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_back_in_time_is_no_error() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let publisher = Publisher::connect(&url).await.unwrap();
            proxy.refuse();
            proxy.cut();
            let mut sending = Box::pin(publisher.send(&queue, "n", &1));
            let too_early = timeout(Duration::from_secs(1), &mut sending).await;
            assert!(too_early.is_err(), "{too_early:?}");
            proxy.accept();
            timeout(DEADLINE, sending).await.unwrap().unwrap();
            publisher.close().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timeout_of_a_delayed_message_is_one_for_all_its_steps() {
    // what is left of it is longer than the longest pause between two tries to connect
    const TIMEOUT: Duration = Duration::from_secs(8);

    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let publisher = Publisher::connect(&url).await.unwrap().timeout(TIMEOUT);
            proxy.refuse();
            proxy.cut();
            let start = Instant::now();
            let delay = Duration::from_secs(60);
            let sending = publisher.to(&queue).key("n").payload(&1).delay(delay);
            let mut sending = Box::pin(sending.send());
            // most of the time goes by before the queue of delayed messages can be declared
            let too_early = timeout(TIMEOUT * 5 / 8, &mut sending).await;
            assert!(too_early.is_err(), "{too_early:?}");
            proxy.accept();
            let waiting = format!("{queue}_delay_60000ms");
            bed.remove_later(&waiting);
            tokio::select! {
                sent = &mut sending => panic!("it waits for the queue to settle: {sent:?}"),
                () = bed.until_exists(&waiting) => {}
            }
            proxy.refuse();
            proxy.cut();
            let error = timeout(DEADLINE, sending).await.unwrap().unwrap_err();
            assert!(matches!(error, PublishError::Unconfirmed(_)), "{error}");
            let took = start.elapsed();
            assert!(took < TIMEOUT * 3 / 2, "{took:?}");
            publisher.close().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_after_an_error() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let publisher = Publisher::connect(&url).await.unwrap();
            let hasty = publisher.clone().timeout(Duration::from_millis(300));
            proxy.refuse();
            proxy.cut();
            let error = hasty.send(&queue, "n", &1).await.unwrap_err();
            assert!(matches!(error, PublishError::Unconfirmed(_)), "{error}");
            assert!(error.to_string().contains("cannot connect"), "{error}");
            {
                // a caller who went away
                let dropped = publisher.send(&queue, "n", &2);
                assert!(timeout(Duration::from_millis(50), dropped).await.is_err());
            }
            proxy.accept();
            publisher.send(&queue, "n", &3).await.unwrap();
            let received = bed.take_all(&queue).await;
            assert_eq!(first_times(&received), [3]);
            publisher.close().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_publisher_has_sent_what_it_was_given() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            let sends = (0..1000).map(|number| {
                let (publisher, queue) = (publisher.clone(), queue.clone());
                async move { publisher.send(&queue, "n", &number).await }
            });
            let sends = future::join_all(sends);
            let close = publisher.clone().close();
            let (sent, ()) = tokio::join!(sends, close);
            let sent = sent.iter().filter(|sent| sent.is_ok()).count();
            assert!(sent > 0);
            assert_eq!(bed.take_all(&queue).await.len(), sent);
            let error = publisher
                .publish(&queue, Message::new("1"))
                .await
                .unwrap_err();
            assert!(matches!(error, PublishError::Connect(_)), "{error}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_goes_through_an_exchange() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            // binds the queue
            let bound = Message::new("bound");
            bed.publish_through("amq.topic", &queue, &queue, bound)
                .await;
            assert_eq!(bed.next(&queue).await.body, b"bound");
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            let message = publisher.through("amq.topic", &queue).payload("there");
            message.send().await.unwrap();
            assert_eq!(bed.next(&queue).await.body, br#""there""#);
            let message = publisher.through("amq.topic", "elsewhere").payload("gone");
            let error = message.send().await.unwrap_err();
            assert!(
                matches!(&error, PublishError::Unbound { exchange, routing_key, .. }
                    if exchange == "amq.topic" && routing_key == "elsewhere"),
                "{error}"
            );
            // RabbitMQ closes the channel for it: those beside it are sent again
            let sends = (0..100).map(|number| {
                let message = match number {
                    50 => publisher.through("no such exchange", &queue),
                    _ => publisher.to(&queue),
                };
                message.payload(&number)
            });
            let error = publisher.send_all(sends).await.unwrap_err();
            let [(50, PublishError::Refused(error))] = error.failed() else {
                panic!("{error}");
            };
            assert!(error.to_string().contains("no such exchange"), "{error}");
            let expected: Vec<u32> = (0..100).filter(|number| *number != 50).collect();
            assert_eq!(first_times(&bed.take_all(&queue).await), expected);
            publisher.send(&queue, "n", "after").await.unwrap();
            assert_eq!(bed.next(&queue).await.body, br#""after""#);
            publisher.close().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_higher_priority_comes_first() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, &[("x-max-priority", 5_i32.into())])
                .await;
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            for priority in [1, 5, 3] {
                let message = publisher.to(&queue).payload(&priority).priority(priority);
                message.send().await.unwrap();
            }
            let received = bed.take_all(&queue).await;
            assert_eq!(first_times(&received), [5, 3, 1]);
            publisher.close().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_of_delayed_messages_is_an_error_and_then_declared_again() {
    const DELAY: Duration = Duration::from_millis(200);

    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let waiting = format!("{queue}_delay_200ms");
            bed.remove_later(&waiting);
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            let send = async || publisher.to(&queue).payload("x").delay(DELAY).send().await;
            send().await.unwrap();
            bed.next(&queue).await;
            bed.delete(&waiting).await;
            send().await.unwrap();
            eventually(DEADLINE, async || bed.get(&queue).await.is_some()).await;
            publisher.close().await;
        })
        .await;
}
