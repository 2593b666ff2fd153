use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ploomby::{App, HandlerRegistry, KeySource, Queue};
use ploomby_tests::{Bed, KEY};
use tokio::sync::Semaphore;

use crate::proxied;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_while_the_broker_is_away_ends_on_time() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let handlers = HandlerRegistry::new().register("nothing", || async {});
            let app = Bed::start_at(&url, Queue::new(bed.queue_name()), handlers).await;
            proxy.cut();
            drop(proxy);
            tokio::time::timeout(Duration::from_secs(5), app.shut_down())
                .await
                .expect("it does not wait for the broker")
                .unwrap();
        })
        .await;
}

/// Nothing comes back: not for acknowledgements, not for a copy, not for what the program itself publishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_on_a_connection_that_is_frozen_ends_within_its_deadline() {
    const DEADLINE: Duration = Duration::from_secs(4);

    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let begun = Arc::new(Semaphore::new(0));
            let frozen = Arc::new(Semaphore::new(0));
            let (begins, waits) = (begun.clone(), frozen.clone());
            let fails = move || {
                let (begins, waits) = (begins.clone(), waits.clone());
                async move {
                    begins.add_permits(1);
                    waits.acquire().await.expect("it stays open").forget();
                    Err::<(), _>(std::fmt::Error)
                }
            };
            let handlers = HandlerRegistry::new()
                .register("fails", fails)
                .register("done", || async {});
            let queue = bed.queue_name();
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = App::new(&url)
                .queue(set_up)
                .handlers(handlers)
                .shutdown_deadline(DEADLINE);
            let running = app.start().await.unwrap();
            let publisher = running.publisher().await.unwrap();
            bed.send(&queue, "fails", "").await;
            begun.acquire().await.unwrap().forget();
            proxy.swallow();
            frozen.add_permits(1);
            let sends = tokio::spawn(async move { publisher.send(&queue, "done", &()).await });
            tokio::task::yield_now().await;
            let stopping = Instant::now();
            let _ = running.shut_down().await;
            let took = stopping.elapsed();
            assert!(took < DEADLINE + Duration::from_millis(500), "{took:?}");
            sends.abort();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_leaves_no_task_in_a_panic() {
    static PANICS: AtomicU32 = AtomicU32::new(0);

    // the client's tasks belong to nobody who could be asked
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic
            .location()
            .is_some_and(|at| at.file().contains("amqprs"))
        {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        others(panic);
    }));
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            for _ in 0..30 {
                let handlers = HandlerRegistry::new().register("nothing", || async {});
                let app = bed.start(&queue, handlers).await;
                bed.send(&queue, "nothing", "").await;
                app.shut_down().await.unwrap();
            }
        })
        .await;
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}
