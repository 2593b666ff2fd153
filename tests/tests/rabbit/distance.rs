//! A broker that is far away.

use std::time::Duration;

use ploomby::{App, HandlerRegistry, KeySource, Queue, Retry};
use ploomby_tests::{Bed, DEADLINE, Distance, KEY, Proxy, eventually, rabbit};
use tokio::time::{Instant, timeout};

const ROUND_TRIP: Duration = Duration::from_millis(200);

const QUEUES: usize = 20;

/// All queues, with two consumers each, and what waits for five retries beside them.
fn app(url: &str, queues: &[String]) -> App {
    let handlers = HandlerRegistry::new().register("nothing", || async {});
    let app = App::new(url).handlers(handlers);
    queues.iter().fold(app, |app, queue| {
        let queue = Queue::new(queue).key(KeySource::header(KEY));
        app.queue(queue.retry(Retry::exponential(5)))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_queues_start_and_come_back_within_seconds() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queues: Vec<String> = (0..QUEUES).map(|_| bed.queue_name()).collect();
            for queue in &queues {
                // those of `Retry::exponential`
                for seconds in [1, 2, 4, 8] {
                    bed.remove_later(&format!("{queue}_retry_{seconds}000ms"));
                }
            }
            // that the broker makes 120 queues has nothing to do with the distance
            let near = app(bed.url(), &queues).start().await.unwrap();
            near.shut_down().await.unwrap();

            let broker = (rabbit().await.host().to_owned(), rabbit().await.port());
            let distance = Distance::before(broker, ROUND_TRIP).await;
            let proxy = Proxy::before(distance.address()).await;
            let begin = Instant::now();
            let running = app(&proxy.url(), &queues).start().await.unwrap();
            let start = begin.elapsed();
            assert!(start < Duration::from_secs(5), "{start:?}");

            let health = running.health();
            proxy.cut();
            let begin = Instant::now();
            eventually(DEADLINE, async || {
                health.queues().iter().all(|queue| queue.consuming() == 0)
            })
            .await;
            eventually(DEADLINE, async || health.is_healthy()).await;
            let back = begin.elapsed();
            assert!(back < Duration::from_secs(3), "{back:?}");
            timeout(DEADLINE, running.shut_down())
                .await
                .unwrap()
                .unwrap();
        })
        .await;
}
