use std::time::{Duration, Instant};

use ploomby::{HandlerRegistry, KeySource, Publisher, Queue};
use ploomby_tests::{Bed, Cut, Direction, KEY, Method, Proxy, eventually, seen};
use tokio::time::timeout;

use crate::ledger::Ledger;
use crate::{LONG, before, disturbed, shared};

const HEARTBEAT: Duration = Duration::from_secs(2);

fn noting(ledger: &'static Ledger) -> HandlerRegistry {
    HandlerRegistry::new()
        .register(
            "work",
            move |number: u32| async move { ledger.note(number) },
        )
        .register("fail", async || Err::<(), _>(anyhow::anyhow!("no luck")))
}

/// Handles a message, does something to the network, and returns how long it took until the next was handled.
async fn resumes(fault: impl AsyncFn(&Proxy)) -> Duration {
    let took: std::sync::Mutex<Duration> = std::sync::Mutex::default();
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let proxy = before(shared().await).await;
            let url = format!("{}?heartbeat={}", proxy.url(), HEARTBEAT.as_secs());
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, noting(ledger)).await;
            bed.send(&queue, "work", "0").await;
            ledger.until(1, LONG).await;
            // the connection that publishes is there, too
            bed.send(&queue, "fail", "1").await;
            bed.dead_letter(&queue).await;

            let begin = Instant::now();
            fault(&proxy).await;
            bed.send(&queue, "work", "2").await;
            bed.send(&queue, "fail", "3").await;
            ledger.until(2, LONG).await;
            *took.lock().unwrap() = begin.elapsed();
            // the acknowledgement of the first one may not have come through
            eventually(LONG, async || bed.dead_letter(&queue).await.body == b"3").await;
            // where acknowledgements alone vanish, the shutdown may come before that is noticed: the
            // messages go back then, handled
            app.shut_down().await.unwrap();
        })
        .await;
    took.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_vanish_are_noticed() {
    for direction in [Direction::Both, Direction::ToClient, Direction::ToBroker] {
        let took = resumes(async |proxy| proxy.stall(direction)).await;
        eprintln!("{direction:?} stalled: consuming again after {took:?}");
    }
}

/// A connection that does not write any more holds up who waits for room in its queue of frames.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_under_load_goes_on_over_another_connection_when_packets_vanish() {
    // more than amqprs and the sockets hold
    const MANY: usize = 12_000;
    const BODY: usize = 4096;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let proxy = before(shared().await).await;
            let url = format!("{}?heartbeat={}", proxy.url(), HEARTBEAT.as_secs());
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            let publisher = Publisher::connect(&url).await.unwrap();
            publisher.to(&queue).send().await.unwrap();
            proxy.stall(Direction::Both);
            let messages = (0..MANY).map(|_| publisher.to(&queue).body(vec![b'x'; BODY]));
            let begin = Instant::now();
            publisher.send_all(messages).await.unwrap();
            eprintln!("sent over another connection after {:?}", begin.elapsed());
            assert_eq!(bed.ready_count(&queue).await as usize, 1 + MANY);
            publisher.close().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything_for_a_while_is_survived() {
    let took = resumes(async |proxy| {
        proxy.swallow();
        tokio::time::sleep(3 * HEARTBEAT).await;
        proxy.go_on();
    })
    .await;
    eprintln!(
        "swallowed for {:?}: consuming again after {took:?}",
        3 * HEARTBEAT
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_freezes_for_a_while_is_survived() {
    let rabbit = disturbed().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let url = format!("{}?heartbeat={}", rabbit.url(), HEARTBEAT.as_secs());
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, noting(ledger)).await;
            bed.send_numbers(&queue, "work", 0..1_000).await;
            rabbit.freeze().await;
            tokio::time::sleep(3 * HEARTBEAT).await;
            rabbit.thaw().await;
            bed.send_numbers(&queue, "work", 1_000..2_000).await;
            ledger.until(2_000, LONG).await;
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_between_any_two_steps_of_the_recovery_is_not_fatal() {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let proxy = before(shared().await).await;
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&proxy.url(), set_up, noting(ledger)).await;
            let steps = [
                Method::CONNECTION_OPEN,
                Method::CHANNEL_OPEN,
                // a queue that is there is not declared again
                Method::QOS,
                Method::CONSUME,
            ];
            for step in steps {
                for cut in [
                    Cut::within(Direction::ToBroker, step),
                    Cut::behind(Direction::ToBroker, step),
                ] {
                    let done = proxy.cut_when(cut);
                    proxy.cut();
                    timeout(LONG, done)
                        .await
                        .unwrap_or_else(|_| panic!("{cut:?}"));
                }
            }
            eventually(LONG, async || bed.consumer_count(&queue).await == 1).await;
            bed.send(&queue, "work", "1").await;
            ledger.until(1, LONG).await;
            app.shut_down().await.unwrap();
        })
        .await;
}

/// Declarations go side by side: the queue, once it was looked for in vain, and its dead-letter queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_while_a_queue_that_is_gone_is_declared_again_is_not_fatal() {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let proxy = before(shared().await).await;
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&proxy.url(), set_up, noting(ledger)).await;
            for number in 0..6_u32 {
                let nth = usize::try_from(number / 2).unwrap() + 1;
                let cut = match number % 2 {
                    0 => Cut::within(Direction::ToBroker, Method::QUEUE_DECLARE),
                    _ => Cut::behind(Direction::ToBroker, Method::QUEUE_DECLARE),
                };
                let done = proxy.cut_when(cut.nth(nth));
                bed.delete(&queue).await;
                timeout(LONG, done)
                    .await
                    .unwrap_or_else(|_| panic!("{nth}th of {cut:?}"));
                bed.until_exists(&queue).await;
                eventually(LONG, async || bed.consumer_count(&queue).await == 1).await;
                bed.send(&queue, "work", number.to_string()).await;
                ledger
                    .until(usize::try_from(number).unwrap() + 1, LONG)
                    .await;
            }
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_line_and_a_refusing_host_lose_nothing() {
    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let proxy = before(shared().await).await;
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&proxy.url(), set_up, noting(ledger)).await;
            proxy.throttle(20_000);
            bed.send_numbers(&queue, "work", 0..500).await;
            ledger.until(100, LONG).await;
            proxy.refuse();
            proxy.cut();
            bed.send_numbers(&queue, "work", 500..600).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            proxy.accept();
            ledger.until(200, LONG).await;
            proxy.hurry();
            ledger.until(600, LONG).await;
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ack_timeout_of_the_broker_leaves_other_consumers_alone() {
    let rabbit = disturbed().await;
    // it is looked for once in this interval, on channels that are opened from here on
    let set = async |name: &str, milliseconds: &str| {
        let set = format!("application:set_env(rabbit, {name}, {milliseconds}).");
        rabbit.ctl(&["eval", &set]).await;
    };
    set("channel_tick_interval", "500").await;
    set("consumer_timeout", "2000").await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let (seen, mut handled) = seen();
            let handlers = move || {
                HandlerRegistry::new()
                    .register("slow", move |ploomby::extract::Redelivered(again): ploomby::extract::Redelivered| async move {
                        seen.note(format!("slow, again: {again}"));
                        if !again {
                            std::future::pending::<()>().await;
                        }
                    })
                    .register("quick", move || async move { seen.note("quick") })
            };
            let (slow, quick) = (bed.queue_name(), bed.queue_name());
            let key = || KeySource::header(KEY);
            let app = ploomby::App::new(bed.url())
                .handlers(handlers())
                .queue(Queue::new(&slow).key(key()))
                .queue(Queue::new(&quick).key(key()))
                .shutdown_deadline(Duration::ZERO)
                .start()
                .await
                .unwrap();
            bed.send(&slow, "slow", "").await;
            assert_eq!(handled.next_note().await, "slow, again: false");
            // the broker took it back from the handler that never acknowledges
            assert_eq!(handled.next_note().await, "slow, again: true");
            assert_eq!(bed.consumer_count(&quick).await, 1);
            bed.send(&quick, "quick", "").await;
            assert_eq!(handled.next_note().await, "quick");
            app.shut_down().await.unwrap_err();
        })
        .await;
    set("channel_tick_interval", "60000").await;
    set("consumer_timeout", "1800000").await;
}
