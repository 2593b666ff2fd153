use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ploomby::{HandlerRegistry, Queue};
use ploomby_tests::Bed;

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
