//! Brokers that lie: whatever one sends, at whatever step, it costs that connection alone.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::{FutureExt, Stream, StreamExt, stream};
use ploomby::{App, DeadLetters, HandlerRegistry, KeySource, Queue};
use ploomby_tests::{FakeBroker, Manner, Seen, eventually, seen};
use tokio::time::timeout;

/// How long a program may take to be rid of a broker that lies.
const SOON: Duration = Duration::from_secs(60);

/// How many programs run at a time.
const AT_A_TIME: usize = 50;

/// How often something has panicked in this process, but for the client on its own thread: there a panic is a
/// connection that is lost.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    static ONCE: Once = Once::new();

    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some("ploomby-io") {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            before(info);
        }));
    });
}

/// What comes of all rounds, of which some run at a time, and in which nothing panics.
async fn without_a_panic<T>(rounds: impl Stream<Item = impl Future<Output = T>>) -> Vec<T> {
    count_panics();
    let all = rounds.buffer_unordered(AT_A_TIME).collect().await;
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
    all
}

/// The program that is lied to.
fn app(url: &str, seen: &'static Seen) -> App {
    let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
        seen.note(number.to_string());
    });
    let queue = Queue::new("q")
        .key(KeySource::header("task_name"))
        .dead_letters(DeadLetters::by_broker());
    App::new(url).handlers(handlers).queue(queue)
}

/// How many answers a consumer has from its first word to its first message: each is a step.
const ANSWERS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_broker_sends_at_the_start_the_program_starts_or_says_what_it_was() {
    let rounds = stream::iter(0..1_000_u64).map(|seed| async move {
        let answer = usize::try_from(seed).unwrap() % ANSWERS;
        let lying = FakeBroker::start(move |_| Manner::Lying { answer, seed }).await;
        let honest = FakeBroker::start(|_| Manner::Honest).await;
        let url = format!(
            "amqp://guest:guest@{},{}/?connection_timeout=2000",
            lying.address(),
            honest.address()
        );
        let (seen, mut handled) = seen();
        match timeout(SOON, app(&url, seen).start()).await.unwrap() {
            Ok(running) => {
                timeout(SOON, handled.next_note()).await.unwrap();
                running.shut_down().await.unwrap();
            }
            Err(error) => {
                let error = error.to_string();
                assert!(error.len() > 30, "seed {seed}: {error}");
            }
        }
    });
    without_a_panic(rounds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_broker_sends_at_a_reconnect_the_program_comes_back() {
    let rounds = stream::iter(0..1_000_u64).map(|seed| async move {
        let answer = usize::try_from(seed).unwrap() % ANSWERS;
        let broker = FakeBroker::start(move |connection| match connection {
            0 => Manner::Fickle,
            1 => Manner::Lying { answer, seed },
            _ => Manner::Honest,
        })
        .await;
        let url = format!("amqp://guest:guest@{}", broker.address());
        let (seen, mut handled) = seen();
        let running = app(&url, seen).start().await.unwrap();
        let back = async {
            // the number of the connection
            while handled.next_note().await.parse::<u32>().unwrap() == 0 {}
        };
        timeout(SOON, back)
            .await
            .unwrap_or_else(|_| panic!("seed {seed}: {} connections", broker.accepted()));
        running.shut_down().await.unwrap();
    });
    without_a_panic(rounds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_broker_sends_to_the_connection_of_copies_no_message_stays_unsettled() {
    let rounds = stream::iter(0..300_u64).map(|seed| async move {
        let answer = usize::try_from(seed).unwrap() % ANSWERS;
        let broker = FakeBroker::start(move |connection| match connection {
            0 => Manner::Honest,
            1 | 2 => Manner::Lying { answer, seed },
            _ => Manner::Honest,
        })
        .await;
        let handlers = HandlerRegistry::new().register("work", |_: u32| async {
            Err::<(), _>(anyhow::anyhow!("on purpose"))
        });
        let queue = Queue::new("q").key(KeySource::header("task_name"));
        let url = format!(
            "amqp://guest:guest@{}/?connection_timeout=2000",
            broker.address()
        );
        let app = App::new(url).handlers(handlers).queue(queue);
        // both connections are opened side by side: the lie may have met that of the consumer
        let Ok(running) = app.start().await else {
            return 0;
        };
        let settled = eventually(SOON, async || broker.settled() > 0);
        let settled = AssertUnwindSafe(settled).catch_unwind().await;
        let connections = broker.accepted();
        assert!(settled.is_ok(), "seed {seed}: {connections} connections");
        running.shut_down().await.unwrap();
        1
    });
    let started: Vec<u32> = without_a_panic(rounds).await;
    assert!(started.iter().sum::<u32>() > 100, "{started:?}");
}
