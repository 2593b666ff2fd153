//! How soon things happen after a fault. Each test has the machine to itself: how long a broker takes that
//! shares it with others says nothing. That nothing is lost is what `faults` tests.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use ploomby::{HandlerRegistry, KeySource, Queue};
use ploomby_tests::{Bed, Direction, KEY, OwnRabbit, Proxy, eventually, eventually_some};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::sleep;

const IN_FLIGHT: u16 = 500;
const LONG: Duration = Duration::from_secs(60);

static ALONE: AsyncMutex<()> = AsyncMutex::const_new(());

/// When each message was handled.
#[derive(Clone, Copy)]
struct Handled(&'static Mutex<Vec<Instant>>);

impl Handled {
    fn new() -> Self {
        Self(Box::leak(Box::default()))
    }

    fn count(self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// When the first one after so many was handled.
    async fn first_after(self, count: usize) -> Instant {
        eventually_some(LONG, async || self.0.lock().unwrap().get(count).copied()).await
    }

    /// Handlers that take so long for each message.
    fn by(self, work: Duration) -> HandlerRegistry {
        HandlerRegistry::new().register("work", move |_: u32| async move {
            sleep(work).await;
            self.0.lock().unwrap().push(Instant::now());
        })
    }
}

fn set_up(queue: &str) -> Queue {
    Queue::new(queue)
        .key(KeySource::header(KEY))
        .prefetch(IN_FLIGHT)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_killed_is_consumed_again_within_five_seconds() {
    let _alone = ALONE.lock().await;
    let rabbit = OwnRabbit::start().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let handled = Handled::new();
            let handlers = handled.by(Duration::from_millis(500));
            let app = bed.start_queue(set_up(&queue), handlers).await;
            bed.send_numbers(&queue, "work", 0..2_000).await;
            eventually(LONG, async || handled.count() >= usize::from(IN_FLIGHT)).await;
            rabbit.kill().await;
            // what was with its handler comes to its end
            sleep(Duration::from_secs(1)).await;
            let before = handled.count();
            rabbit.start_again().await;
            let back = Instant::now();
            let first = handled.first_after(before).await;
            let took = first.saturating_duration_since(back);
            eprintln!("handling again {took:?} after the broker was back");
            assert!(took < Duration::from_secs(5), "{took:?}");
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_while_the_broker_is_down_ends_within_five_seconds() {
    let _alone = ALONE.lock().await;
    let rabbit = OwnRabbit::start().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let handlers = Handled::new().by(Duration::from_millis(250));
            let app = bed.start_queue(set_up(&queue), handlers).await;
            bed.send_numbers(&queue, "work", 0..100).await;
            rabbit.stop().await;
            let begin = Instant::now();
            app.shut_down().await.unwrap();
            let took = begin.elapsed();
            eprintln!("shut down in {took:?}");
            assert!(took < Duration::from_secs(5), "{took:?}");
            rabbit.start_again().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_was_deleted_is_consumed_again_within_five_seconds() {
    let _alone = ALONE.lock().await;
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let handled = Handled::new();
            let app = bed
                .start_queue(set_up(&queue), handled.by(Duration::ZERO))
                .await;
            bed.delete(&queue).await;
            let deleted = Instant::now();
            bed.until_exists(&queue).await;
            bed.send(&queue, "work", "1").await;
            let took = handled.first_after(0).await - deleted;
            eprintln!("handling again {took:?} after the queue was deleted");
            assert!(took < Duration::from_secs(5), "{took:?}");
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_vanish_are_noticed_within_two_heartbeats() {
    const HEARTBEAT: Duration = Duration::from_secs(2);

    let _alone = ALONE.lock().await;
    let rabbit = OwnRabbit::start().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            for direction in [Direction::Both, Direction::ToClient, Direction::ToBroker] {
                let proxy = Proxy::before((rabbit.host().to_owned(), rabbit.port())).await;
                let url = format!("{}?heartbeat={}", proxy.url(), HEARTBEAT.as_secs());
                let queue = bed.queue_name();
                let handled = Handled::new();
                let app = Bed::start_at(&url, set_up(&queue), handled.by(Duration::ZERO)).await;
                let begin = Instant::now();
                proxy.stall(direction);
                bed.send(&queue, "work", "1").await;
                let took = handled.first_after(0).await - begin;
                eprintln!("{direction:?} stalled: consuming again after {took:?}");
                // on top come two seconds for the old connection to close, the time to connect again, and that
                // of the broker, which has to notice for itself to deliver the message once more
                assert!(took < 2 * HEARTBEAT + Duration::from_secs(5), "{took:?}");
                app.shut_down().await.unwrap();
            }
        })
        .await;
}
