use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ploomby::extract::Batch;
use ploomby::rabbit::Reconnect;
use ploomby::{App, Error, HandlerOptions, HandlerRegistry, KeySource, OrderBy, Queue, RunError};
use ploomby_tests::{Bed, Cut, DEADLINE, Direction, KEY, Method, eventually, seen};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::proxied;

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
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, handlers).await;
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
async fn a_message_that_waits_as_its_connection_is_lost_is_in_its_batch_once() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            bed.declare(&queue, &[("x-queue-type", "quorum".into())])
                .await;
            let (seen, mut handled) = seen();
            let work = move |batch: Batch<u32>| async move {
                let mut numbers = batch.into_payloads();
                numbers.sort_unstable();
                seen.note(format!("{numbers:?}"));
            };
            let options = HandlerOptions::new()
                .batch_size(4)
                .batch_wait(Duration::from_secs(3600));
            let arrived = move |()| async move { seen.note("arrived") };
            let handlers = HandlerRegistry::new()
                .register_with("work", options, work)
                .register("other", arrived);
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, handlers).await;
            for number in ["0", "1"] {
                bed.send(&queue, "work", number).await;
            }
            bed.send(&queue, "other", "null").await;
            // by then the others wait in their batch
            assert_eq!(handled.next_note().await, "arrived");
            proxy.cut();
            // what was handled as its acknowledgement was cut off comes once more
            let mut next_batch = async || {
                loop {
                    let note = handled.next_note().await;
                    if note != "arrived" {
                        break note;
                    }
                }
            };
            // the batch is full, of two that are lost and the same two again
            assert_eq!(next_batch().await, "[0, 1]");
            for number in ["2", "3", "4", "5"] {
                bed.send(&queue, "work", number).await;
            }
            assert_eq!(next_batch().await, "[2, 3, 4, 5]");
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_outlives_its_connection_is_handled_again() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            let (seen, mut handled) = seen();
            let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
            let handlers =
                HandlerRegistry::new().register("work", move |batch: Batch<u32>| async move {
                    let redelivered = batch.iter().all(|item| item.delivery().is_redelivered());
                    let mut numbers = batch.into_payloads();
                    numbers.sort_unstable();
                    seen.note(format!("{numbers:?} again: {redelivered}"));
                    gate.acquire().await.unwrap().forget();
                });
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .batch_size(3)
                .batch_wait(DEADLINE * 2);
            let app = Bed::start_at(&url, set_up, handlers).await;
            for number in 0..3 {
                bed.send(&queue, "work", number.to_string()).await;
            }
            assert_eq!(handled.next_note().await, "[0, 1, 2] again: false");
            proxy.cut();
            assert_eq!(handled.next_note().await, "[0, 1, 2] again: true");
            gate.add_permits(2);
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_survives_that_connections_are_cut() {
    const CUSTOMERS: usize = 10;
    const EACH: u32 = 40;

    static HANDLED: Mutex<[Vec<u32>; CUSTOMERS]> = Mutex::new([const { Vec::new() }; CUSTOMERS]);

    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            let options = HandlerOptions::new().ordered_by(OrderBy::field("customer"));
            let handlers =
                HandlerRegistry::new().register_with("work", options, async |work: Work| {
                    tokio::time::sleep(Duration::from_millis(u64::from(work.number % 7))).await;
                    let mut handled = HANDLED.lock().unwrap();
                    // what is delivered again comes again, and behind
                    if !handled[work.customer].contains(&work.number) {
                        handled[work.customer].push(work.number);
                    }
                });
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, handlers).await;
            for number in 0..EACH {
                for customer in 0..CUSTOMERS {
                    let work = format!("{{\"number\":{number},\"customer\":{customer}}}");
                    bed.send(&queue, "work", work).await;
                }
                if number % 10 == 5 {
                    proxy.cut();
                }
            }
            eventually(DEADLINE, async || {
                let handled = HANDLED.lock().unwrap();
                handled.iter().all(|numbers| numbers.len() == EACH as usize)
            })
            .await;
            app.shut_down().await.unwrap();
            let in_order: Vec<_> = (0..EACH).collect();
            for numbers in &*HANDLED.lock().unwrap() {
                assert_eq!(numbers, &in_order);
            }
        })
        .await;
}

#[derive(Deserialize)]
struct Work {
    customer: usize,
    number: u32,
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
            let set_up = Queue::new(&queue).key(KeySource::header(KEY)).consumers(2);
            let app = Bed::start_at(&url, set_up, handlers).await;
            let mut missing: BTreeSet<u32> =
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
            let mut parked: BTreeSet<u32> = (0..MESSAGES).step_by(10).collect();
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
async fn a_queue_that_is_deleted_right_behind_the_subscription_is_consumed_again() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            let (seen, mut handled) = seen();
            let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
                seen.note(number.to_string())
            });
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, handlers).await;
            for turn in 0..3 {
                // the first try finds no queue
                let consume = Cut::behind(Direction::ToBroker, Method::CONSUME).nth(2);
                let subscribed = proxy.swallow_when(consume);
                bed.delete(&queue).await;
                subscribed.await;
                eventually(DEADLINE, async || bed.consumer_count(&queue).await == 1).await;
                bed.delete(&queue).await;
                // time for the end of the subscription to come, so that it goes on in one piece with its begin
                tokio::time::sleep(Duration::from_millis(200)).await;
                proxy.go_on();
                bed.until_exists(&queue).await;
                bed.send(&queue, "work", turn.to_string()).await;
                assert_eq!(handled.next_note().await, turn.to_string());
            }
            app.shut_down().await.unwrap();
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
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .concurrency(1);
            let app = Bed::start_at(&url, set_up, handlers).await;
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
async fn what_was_prefetched_is_not_handled_after_the_connection_is_lost() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            let (seen, mut handled) = seen();
            let (let_go, blocked) = std::sync::mpsc::channel::<()>();
            let blocked: &'static Mutex<_> = Box::leak(Box::new(Mutex::new(blocked)));
            let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
                seen.note(number.to_string());
                if number == 0 {
                    // without a wait, so that all others are still before the dispatcher
                    tokio::task::block_in_place(|| {
                        let _ = blocked.lock().unwrap().recv_timeout(DEADLINE);
                    });
                }
            });
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            bed.declare(&queue, &[]).await;
            for number in 0..5 {
                bed.send(&queue, "work", number.to_string()).await;
            }
            let app = Bed::start_at(&url, set_up, handlers).await;
            assert_eq!(handled.next_note().await, "0");
            proxy.cut();
            eventually(DEADLINE, async || bed.consumer_count(&queue).await == 0).await;
            let_go.send(()).unwrap();
            let_go.send(()).unwrap();
            // all are delivered again, and each is handled once then
            let mut again = Vec::new();
            for _ in 0..5 {
                again.push(handled.next_note().await);
            }
            again.sort_unstable();
            assert_eq!(again, ["0", "1", "2", "3", "4"]);
            app.shut_down().await.unwrap();
            assert!(handled.is_empty());
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_host_of_the_url_has_its_turn() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let ((first, _), (second, _)) = (proxied().await, proxied().await);
            // nothing listens at the port of the first host
            let hosts = format!("127.0.0.1:1,{},{}", first.address(), second.address());
            let url = format!("amqp://guest:guest@{hosts}");
            let queue = bed.queue_name();
            let (seen, mut handled) = seen();
            let handlers = HandlerRegistry::new()
                .register("work", move |text: String| async move { seen.note(text) });
            second.refuse();
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, handlers).await;
            for (turn, (from, to)) in [(&first, &second), (&second, &first)].iter().enumerate() {
                bed.send(&queue, "work", format!("\"{turn}\"")).await;
                // one whose acknowledgement was cut off comes once more
                while handled.next_note().await != turn.to_string() {}
                to.accept();
                from.refuse();
                from.cut();
            }
            bed.send(&queue, "work", "\"2\"").await;
            while handled.next_note().await != "2" {}
            eventually(DEADLINE, async || bed.ready_count(&queue).await == 0).await;
            app.shut_down().await.unwrap();
            // one whose acknowledgement was cut off comes back once the broker hears of the cut, which may be now
            let left = bed.take_all(&queue).await;
            assert!(left.len() <= 2, "{left:?}");
            assert!(left.iter().all(|left| left.body != b"\"2\""), "{left:?}");
        })
        .await;
}
