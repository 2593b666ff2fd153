//! One message that the broker does not take, among others that it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use ploomby::{App, CallError, HandlerRegistry, KeySource, Publisher, Queue, Reply, RpcClient};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, rabbit_with};
use tokio::time::timeout;

use crate::proxied;

const MOST: usize = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_the_broker_refuses_touches_its_own_message_alone() {
    const OTHERS: u32 = 200;

    let rabbit = rabbit_with(&format!("max_message_size = {MOST}\n")).await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let (large, failing, asked) = (bed.queue_name(), bed.queue_name(), bed.queue_name());
            let runs = Arc::new([const { AtomicUsize::new(0) }; 3]);
            let count = |which: usize| {
                let runs = runs.clone();
                move || {
                    runs[which].fetch_add(1, Ordering::SeqCst);
                }
            };
            let (count_large, count_failing, count_asked) = (count(0), count(1), count(2));
            let handlers = HandlerRegistry::new()
                .register("large", move |_: u32| {
                    count_large();
                    async { Reply("x".repeat(2 * MOST)) }
                })
                .register("fail", move |_: u32| {
                    count_failing();
                    async { Err::<(), _>(std::fmt::Error) }
                })
                .register("double", move |number: u32| {
                    count_asked();
                    async move { Reply(number * 2) }
                });
            let mut app = App::new(bed.url()).handlers(handlers);
            for queue in [&large, &failing, &asked] {
                let set_up = Queue::new(queue.as_str()).key(KeySource::header(KEY));
                // longer than a slow machine takes for a channel in the place of the one that is closed
                app = app.queue(set_up.expose_errors().reply_within(DEADLINE));
            }
            let app = app.start().await.unwrap();
            let client = RpcClient::connect(bed.url())
                .await
                .unwrap()
                .key(KeySource::header(KEY));
            let calls = join_all((0..OTHERS).map(async |number| {
                let doubled = client.call::<_, u32>(&asked, "double", &number).await;
                assert_eq!(doubled.unwrap(), number * 2);
            }));
            let (refused, _, ()) = tokio::join!(
                client.call::<_, String>(&large, "large", &1),
                calls,
                bed.send_numbers(&failing, "fail", 0..OTHERS),
            );
            let Err(CallError::Remote(error)) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(error.code(), "handler-error");
            assert!(
                error.message().contains("its reply was not sent"),
                "{error}"
            );
            let dead_letters = format!("{failing}_dlq");
            eventually(DEADLINE, async || {
                bed.ready_count(&dead_letters).await == OTHERS
            })
            .await;
            app.shut_down().await.unwrap();
            let runs = [0, 1, 2].map(|which| runs[which].load(Ordering::SeqCst));
            assert_eq!(runs, [1, 200, 200]);
            // its work is done
            assert!(bed.is_empty(&large).await);
            assert!(bed.is_empty(&format!("{large}_dlq")).await);
            client.close().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_publishes_copies_and_calls_over_one_connection() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let (queue, other) = (bed.queue_name(), bed.queue_name());
            let handlers = HandlerRegistry::new()
                .register("forward", {
                    let other = other.clone();
                    move |number: u32, publisher: Publisher| {
                        let other = other.clone();
                        async move {
                            let calls = RpcClient::beside(&publisher).await?;
                            let five: u32 = calls.call(&other, "five", &0).await?;
                            calls.close().await;
                            publisher.send(&other, "fail", &(number + five)).await?;
                            anyhow::Ok(())
                        }
                    }
                })
                .register("five", |_: u32| async { Reply(5_u32) })
                .register("fail", |_: u32| async { Err::<(), _>(std::fmt::Error) });
            let mut app = App::new(&url).handlers(handlers);
            for queue in [&queue, &other] {
                app = app.queue(Queue::new(queue.as_str()).key(KeySource::header(KEY)));
            }
            let app = app.start().await.unwrap();
            bed.send(&queue, "forward", "1").await;
            assert_eq!(bed.dead_letter(&other).await.body, b"6");
            // one consumes, one publishes, and one replies: who asks must not touch the others
            assert_eq!(proxy.accepted(), 3);
            timeout(DEADLINE, app.shut_down()).await.unwrap().unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_to_a_queue_that_is_not_there_are_told_apart_soon() {
    const MESSAGES: usize = 16_000;

    Bed::rabbit()
        .await
        .run(async |bed| {
            let missing = ploomby_tests::unique_name("missing");
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            let start = std::time::Instant::now();
            let messages = (0..MESSAGES).map(|number| publisher.to(&missing).payload(&number));
            let error = publisher.send_all(messages).await.unwrap_err();
            let took = start.elapsed();
            eprintln!("{MESSAGES} messages in {took:?}");
            let first = error.to_string();
            assert!(first.contains(&missing), "{first}");
            assert_eq!(error.failed().len(), MESSAGES);
            for (at, (place, error)) in error.failed().iter().enumerate() {
                assert_eq!(*place, at);
                assert!(
                    matches!(error, ploomby::PublishError::Unroutable(_)),
                    "{error}"
                );
            }
            // without optimization, on a machine that is busy
            assert!(took < Duration::from_secs(15), "{took:?}");
            publisher.close().await;
        })
        .await;
}
