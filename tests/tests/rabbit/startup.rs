use ploomby::{App, HandlerRegistry, KeySource, Queue};
use ploomby_tests::{Bed, KEY, rabbit, seen, unique_name};

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
