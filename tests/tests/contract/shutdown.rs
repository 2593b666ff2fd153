use std::sync::Arc;
use std::time::Duration;

use ploomby::{App, Error, HandlerRegistry, KeySource, Queue, RunError};
use ploomby_tests::{Bed, DEADLINE, KEY, seen};
use tokio::sync::Semaphore;

pub(crate) async fn running_handlers_finish_and_the_rest_goes_back(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
        seen.note(format!("begun {number}"));
        gate.acquire().await.unwrap().forget();
        seen.note(format!("done {number}"));
    });
    let set_up = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .concurrency(2);
    let app = bed.start_queue(set_up, handlers).await;
    for number in 0..10 {
        bed.send(&queue, "work", number.to_string()).await;
    }
    for number in 0..2 {
        assert_eq!(handled.next_note().await, format!("begun {number}"));
    }
    let shut_down = tokio::spawn(app.shut_down());
    // the consumer is told to stop before the handlers are let go
    tokio::time::timeout(Duration::from_millis(300), handled.next_note())
        .await
        .expect_err("nothing begins");
    gate.add_permits(10);
    shut_down.await.unwrap().unwrap();
    let mut done = [handled.next_note().await, handled.next_note().await];
    done.sort();
    assert_eq!(done, ["done 0", "done 1"]);
    assert!(handled.is_empty(), "nothing else began");
    for number in 2..10 {
        let message = bed.get(&queue).await.expect("it went back");
        assert_eq!(message.body, number.to_string().as_bytes());
    }
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_handler_past_the_deadline_is_cut_off_and_named(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("never", move || async move {
        seen.note("begun");
        std::future::pending::<()>().await;
    });
    let app = App::new(bed.url())
        .handlers(handlers)
        .queue(Queue::new(&queue).key(KeySource::header(KEY)))
        .shutdown_deadline(Duration::from_millis(100))
        .start()
        .await
        .unwrap();
    bed.send(&queue, "never", "").await;
    assert_eq!(handled.next_note().await, "begun");
    match app.shut_down().await {
        Err(Error::Run(RunError::DeadlineExceeded { handlers, .. })) => {
            assert_eq!(handlers.len(), 1);
            assert!(handlers[0].handler.contains("shutdown"), "{handlers:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(bed.get(&queue).await.is_some(), "the message went back");
}

pub(crate) async fn what_was_handled_is_acknowledged(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
        if number.is_multiple_of(3) {
            tokio::task::yield_now().await;
        }
        seen.note("done");
    });
    let app = bed.start(&queue, handlers).await;
    for number in 0..500 {
        bed.send(&queue, "work", number.to_string()).await;
    }
    for _ in 0..500 {
        handled.next_note().await;
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await, "no message is delivered again");
}

pub(crate) async fn an_app_that_is_dropped_gives_all_back(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("never", move || async move {
        seen.note("begun");
        std::future::pending::<()>().await;
    });
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "never", "").await;
    assert_eq!(handled.next_note().await, "begun");
    drop(app);
    bed.next(&queue).await;
}

pub(crate) async fn a_program_that_blocks_a_thread_shuts_down_all_the_same(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let (let_go, blocked) = std::sync::mpsc::channel::<()>();
    let blocked: &'static std::sync::Mutex<_> = Box::leak(Box::new(std::sync::Mutex::new(blocked)));
    let handlers = HandlerRegistry::new().register("block", move || async move {
        tokio::task::yield_now().await;
        seen.note("begun");
        tokio::task::block_in_place(|| {
            // it ends with the test at the latest
            let _ = blocked.lock().unwrap().recv_timeout(DEADLINE);
        });
    });
    let app = App::new(bed.url())
        .handlers(handlers)
        .queue(Queue::new(&queue).key(KeySource::header(KEY)))
        .shutdown_deadline(Duration::from_millis(100))
        .start()
        .await
        .unwrap();
    bed.send(&queue, "block", "").await;
    assert_eq!(handled.next_note().await, "begun");
    let ended = tokio::time::timeout(DEADLINE / 2, app.shut_down()).await;
    let error = ended.expect("it does not wait for ever").unwrap_err();
    assert!(
        matches!(error, Error::Run(RunError::DeadlineExceeded { .. })),
        "{error}"
    );
    let_go.send(()).unwrap();
}
