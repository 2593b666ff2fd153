use std::time::{Duration, Instant};

use ploomby::{App, HandlerRegistry, KeySource, Publisher, Queue};
use ploomby_tests::{Bed, DEADLINE, KEY, Logged, eventually, rabbit, seen, unique_name};

use crate::proxied;

async fn start_error(url: &str) -> String {
    let handlers = HandlerRegistry::new().register("nothing", || async {});
    App::new(url)
        .handlers(handlers)
        .queue(Queue::new(unique_name("rabbit")))
        .start()
        .await
        .expect_err("it cannot start")
        .to_string()
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_a_readable_error() {
    let error = start_error("amqp://user:secret@127.0.0.1:1").await;
    assert!(error.contains("127.0.0.1:1"), "{error}");
    assert!(error.contains("refused"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_a_readable_error() {
    let (host, port) = (rabbit().await.host(), rabbit().await.port());
    let error = start_error(&format!("amqp://guest:secret@{host}:{port}")).await;
    assert!(error.contains("check user and password"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_missing_virtual_host_is_a_readable_error() {
    let (host, port) = (rabbit().await.host(), rabbit().await.port());
    let error = start_error(&format!("amqp://guest:guest@{host}:{port}/no%2Fsuch")).await;
    assert!(error.contains("no/such"), "{error}");
}

#[tokio::test]
async fn the_next_host_is_tried_when_one_is_down() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (host, port) = (rabbit().await.host(), rabbit().await.port());
            let queue = bed.queue_name();
            let (seen, mut handled) = seen();
            let handlers =
                HandlerRegistry::new().register("greet", move |name: String| async move {
                    seen.note(name);
                });
            let url = format!("amqp://guest:guest@127.0.0.1:1,{host}:{port}");
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, handlers).await;
            bed.send(&queue, "greet", r#""Ada""#).await;
            assert_eq!(handled.next_note().await, "Ada");
            app.shut_down().await.unwrap();
        })
        .await;
}

// one thread, of which the log is kept
#[tokio::test]
async fn a_broker_that_comes_up_later_is_waited_for_with_one_line() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (log, _guard) = Logged::begin();
            let (proxy, url) = proxied().await;
            proxy.refuse();
            let (seen, mut handled) = seen();
            let handlers =
                HandlerRegistry::new().register_default(move |name: String| async move {
                    seen.note(name);
                });
            let queues: Vec<_> = (0..5).map(|_| bed.queue_name()).collect();
            let mut app = App::new(&url)
                .wait_for_broker(Duration::from_secs(60))
                .handlers(handlers);
            for queue in &queues {
                app = app.queue(Queue::new(queue).key(KeySource::header(KEY)).consumers(2));
            }
            let comes_up = async {
                let is_told = async || log.text().contains("no connection to the broker");
                eventually(DEADLINE, is_told).await;
                // more than one try
                tokio::time::sleep(Duration::from_secs(2)).await;
                proxy.accept();
            };
            let (app, ()) = tokio::join!(app.start(), comes_up);
            let app = app.unwrap();
            bed.send(&queues[4], "any", r#""Ada""#).await;
            assert_eq!(handled.next_note().await, "Ada");
            app.shut_down().await.unwrap();
            let told = log.lines_with("no connection to the broker");
            assert_eq!(told.len(), 1, "{told:?}");
            let told = log.lines_with("which was waited for");
            assert_eq!(told.len(), 1, "{told:?}");
        })
        .await;
}

#[tokio::test]
async fn a_broker_is_waited_for_no_longer_than_the_program_says() {
    let begin = Instant::now();
    let error = start_error("amqp://user:secret@127.0.0.1:1?wait_for_broker=1").await;
    assert!(error.contains("refused"), "{error}");
    assert!(!error.contains("secret"), "{error}");
    assert!((1..10).contains(&begin.elapsed().as_secs()));
    let url = "amqp://user:secret@127.0.0.1:1?wait_for_broker=1";
    let begin = Instant::now();
    assert!(Publisher::connect(url).await.is_err());
    assert!((1..10).contains(&begin.elapsed().as_secs()));
}

#[tokio::test]
async fn a_wrong_password_is_not_waited_for() {
    let (host, port) = (rabbit().await.host(), rabbit().await.port());
    let begin = Instant::now();
    let url = format!("amqp://guest:secret@{host}:{port}?wait_for_broker=60");
    let error = start_error(&url).await;
    assert!(error.contains("check user and password"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(30));
}
