use std::sync::Arc;

use ploomby::{App, HandlerRegistry, KeySource, Publisher, Queue};
use ploomby_tests::{Bed, Handled, KEY, seen};
use tokio::sync::oneshot;

fn noting() -> (HandlerRegistry, Handled) {
    let (seen, handled) = seen();
    let note = move |number: u32| async move { seen.note(number.to_string()) };
    (HandlerRegistry::new().register("note", note), handled)
}

pub(crate) async fn a_program_ends_with_the_future_that_it_runs_until(bed: Arc<Bed>) {
    let (handlers, mut handled) = noting();
    let queue = bed.queue_name();
    let (stop, stopped) = oneshot::channel::<()>();
    let app = App::new(bed.url())
        .handlers(handlers)
        .queue(Queue::new(&queue));
    let stopped = async { stopped.await.expect("it is told") };
    let running = tokio::spawn(app.run_until(stopped));
    bed.until_exists(&queue).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    publisher.send(&queue, "note", &1).await.unwrap();
    assert_eq!(handled.next_note().await, "1");
    assert!(!running.is_finished());
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    publisher.send(&queue, "note", &2).await.unwrap();
    assert_eq!(bed.next(&queue).await.body, b"2");
    assert!(handled.is_empty());
    publisher.close().await;
}

pub(crate) async fn a_consumer_that_works_is_waited_for(bed: Arc<Bed>) {
    let (handlers, mut handled) = noting();
    let queue = bed.queue_name();
    let mut app = bed.start(&queue, handlers).await;
    let publisher = app.publisher().await.unwrap().key(KeySource::header(KEY));
    publisher.send(&queue, "note", &1).await.unwrap();
    // cancel safety: `wait` can be dropped
    tokio::select! {
        biased;
        ended = app.wait() => panic!("it has ended: {ended:?}"),
        note = handled.next_note() => assert_eq!(note, "1"),
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn the_publisher_of_an_app_is_closed_with_it(bed: Arc<Bed>) {
    let (handlers, mut handled) = noting();
    let queue = bed.queue_name();
    let app = bed.start(&queue, handlers).await;
    let publisher = app.publisher().await.unwrap().key(KeySource::header(KEY));
    let again = app.publisher().await.unwrap();
    publisher.send(&queue, "note", &1).await.unwrap();
    assert_eq!(handled.next_note().await, "1");
    app.shut_down().await.unwrap();
    if !bed.is_memory() {
        let error = again.send(&queue, "note", &2).await.unwrap_err();
        assert!(error.to_string().contains("closed"), "{error}");
    }
}

pub(crate) async fn a_message_without_the_header_is_named_by_its_type(bed: Arc<Bed>) {
    let (handlers, mut handled) = noting();
    let queue = bed.queue_name();
    let key = KeySource::header(KEY).or(KeySource::MessageType);
    let app = bed
        .start_queue(Queue::new(&queue).key(key.clone()), handlers)
        .await;
    // what a publisher does where nothing is said, and `run` expects
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    publisher.send(&queue, "note", &1).await.unwrap();
    assert_eq!(handled.next_note().await, "1");
    bed.send(&queue, "note", "2").await;
    assert_eq!(handled.next_note().await, "2");
    // where there are several places, the first one is written
    let publisher = publisher.key(key);
    publisher.send(&queue, "note", &3).await.unwrap();
    assert_eq!(handled.next_note().await, "3");
    publisher.close().await;
    app.shut_down().await.unwrap();
}
