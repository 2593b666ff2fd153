//! Connections that are cut again and again, at any rhythm, delay messages and condemn none.
//!
//! For the whole matrix, three minutes for each rhythm, set `PLOOMBY_TEST_FLAPPING=long`.

use std::time::Duration;

use futures_util::future::join_all;
use ploomby::{HandlerRegistry, KeySource, Queue};
use ploomby_tests::{Bed, KEY, Proxy, eventually, rabbit, seen};
use tokio::time::{Instant, sleep};

struct Case {
    rhythm: Duration,
    handler: Duration,
    prefetch: u16,
    kind: &'static str,
}

fn cases() -> (Vec<Case>, Duration) {
    let is_long = std::env::var_os("PLOOMBY_TEST_FLAPPING").is_some_and(|value| value == "long");
    let (rhythms, handlers, prefetches, lasts): (&[u64], &[u64], &[u16], u64) = match is_long {
        true => (&[1, 2, 5, 10, 20], &[100, 500, 6_000], &[1, 8, 256], 180),
        false => (&[1, 5], &[100, 6_000], &[8, 256], 30),
    };
    let mut cases = Vec::new();
    for &rhythm in rhythms {
        for &handler in handlers {
            for &prefetch in prefetches {
                cases.extend(["classic", "quorum"].map(|kind| Case {
                    rhythm: Duration::from_secs(rhythm),
                    handler: Duration::from_millis(handler),
                    prefetch,
                    kind,
                }));
            }
        }
    }
    (cases, Duration::from_secs(lasts))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flapping_at_any_rhythm_condemns_and_loses_nothing() {
    const MESSAGES: u32 = 40;

    let (cases, lasts) = cases();
    Bed::rabbit()
        .await
        .run(async |bed| {
            let broker = (rabbit().await.host().to_owned(), rabbit().await.port());
            join_all(cases.into_iter().map(async |case| {
                let proxy = Proxy::before(broker.clone()).await;
                let queue = bed.queue_name();
                let (seen, mut handled) = seen();
                let takes = case.handler;
                let handlers =
                    HandlerRegistry::new().register("work", move |number: u32| async move {
                        sleep(takes).await;
                        seen.note(number.to_string());
                    });
                let set_up = Queue::new(&queue)
                    .key(KeySource::header(KEY))
                    .queue_argument("x-queue-type", case.kind)
                    .prefetch(case.prefetch);
                let app = Bed::start_at(&proxy.url(), set_up, handlers).await;
                bed.send_numbers(&queue, "work", 0..MESSAGES).await;
                let begin = Instant::now();
                while begin.elapsed() < lasts {
                    sleep(case.rhythm).await;
                    proxy.cut();
                }
                let mut missing: std::collections::BTreeSet<String> =
                    (0..MESSAGES).map(|number| number.to_string()).collect();
                let what = format!("{} {:?} {:?}", case.kind, case.rhythm, case.handler);
                while !missing.is_empty() {
                    missing.remove(&handled.next_note().await);
                }
                eventually(Duration::from_secs(60), async || {
                    bed.ready_count(&queue).await == 0
                })
                .await;
                app.shut_down().await.unwrap();
                assert_eq!(bed.ready_count(&format!("{queue}_dlq")).await, 0, "{what}");
            }))
            .await;
        })
        .await;
}
