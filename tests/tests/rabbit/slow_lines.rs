//! Lines over which a message takes longer than a broker's answer usually does.
//!
//! For a hundred messages of up to 10 MB over each line, ten minutes long, set `PLOOMBY_TEST_SLOW_LINES=long`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use ploomby::{HandlerRegistry, KeySource, Queue, Retry};
use ploomby_tests::{Bed, KEY, Proxy, eventually, rabbit};
use tokio::time::{Instant, sleep};

/// A bit more than ISDN had, in bytes a second.
const SLOW: u32 = 50_000 / 8;

const FAST: u32 = 2_000_000 / 8;

struct Case {
    rate: u32,
    sizes: Vec<usize>,
    attempts: u32,
    /// From then on the line is as fast as any.
    lasts: Duration,
}

fn cases() -> Vec<Case> {
    let is_long = std::env::var_os("PLOOMBY_TEST_SLOW_LINES").is_some_and(|value| value == "long");
    let forever = Duration::from_secs(60 * 60);
    let case = |rate, attempts| Case {
        rate,
        sizes: (0..100).map(between_10_kb_and_10_mb).collect(),
        attempts,
        lasts: Duration::from_secs(10 * 60),
    };
    match is_long {
        true => vec![case(SLOW, 1), case(SLOW, 3), case(FAST, 1), case(FAST, 3)],
        false => vec![
            Case {
                rate: SLOW,
                sizes: vec![250_000],
                attempts: 1,
                lasts: forever,
            },
            Case {
                rate: SLOW,
                sizes: [vec![10_000; 7], vec![80_000]].concat(),
                attempts: 2,
                lasts: forever,
            },
        ],
    }
}

fn between_10_kb_and_10_mb(number: i32) -> usize {
    let size = 10_000.0 * 1_000_f64.powf(f64::from(number) / 99.0);
    size as usize
}

/// What the handler does is to fail. Each message has its copies made once, however long they take: nothing is given
/// up that arrives all the same, and no connection is lost since a frame takes longer than two heartbeats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_fail_are_as_many_after_a_slow_line_as_before() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            join_all(cases().into_iter().map(|case| fail_all(&bed, case))).await;
        })
        .await;
}

async fn fail_all(bed: &Bed, case: Case) {
    let broker = (rabbit().await.host().to_owned(), rabbit().await.port());
    let line = Proxy::uplink(broker, case.rate);
    let queue = bed.queue_name();
    let dead_letters = format!("{queue}_dlq");
    bed.remove_later(&dead_letters);
    bed.remove_later(&format!("{queue}_retry_1000ms"));
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let handlers = HandlerRegistry::new().register("fail", move |_: String| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Err::<(), _>(anyhow::anyhow!("on purpose")) }
    });
    let set_up = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .retry(Retry::fixed(case.attempts, Duration::from_secs(1)));
    let url = format!("{}/?heartbeat=5", line.url());
    let app = Bed::start_at(&url, set_up, handlers).await;
    for (number, size) in case.sizes.iter().enumerate() {
        let text = format!("\"{number:03}{}\"", "x".repeat(*size));
        bed.send(&queue, "fail", text).await;
    }

    let messages = case.sizes.len();
    let begin = Instant::now();
    let count = u32::try_from(messages).unwrap();
    while bed.ready_count(&dead_letters).await < count && begin.elapsed() < case.lasts {
        sleep(Duration::from_millis(500)).await;
    }
    let connections = line.accepted();
    line.hurry();
    eventually(Duration::from_secs(10 * 60), async || {
        bed.ready_count(&dead_letters).await >= count
    })
    .await;
    app.shut_down().await.unwrap();

    let letters = bed.take_all(&dead_letters).await;
    let numbers: BTreeSet<Vec<u8>> = letters
        .iter()
        .map(|letter| letter.body[1..4].to_vec())
        .collect();
    assert_eq!(
        (numbers.len(), letters.len()),
        (messages, messages),
        "{} B/s",
        case.rate
    );
    assert_eq!(bed.ready_count(&queue).await, 0);
    let attempts = messages * usize::try_from(case.attempts).unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), attempts);
    // one for what is consumed, one for what is copied
    assert!(connections <= 2, "{connections}");
}
