use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ploomby::dedup::{Claim, Dedup, DedupStore, MemoryDedup};
use ploomby::extract::Attempt;
use ploomby::{HandlerRegistry, KeySource, Message, Properties, Queue, Retry};
use ploomby_tests::{Bed, Handled, KEY, seen};
use tokio::sync::Semaphore;

fn once(queue: &str) -> Queue {
    Queue::new(queue)
        .key(KeySource::header(KEY))
        .layer(Dedup::new(MemoryDedup::new()))
}

fn message(key: &str, id: &str, body: &str) -> Message {
    let properties = Properties::new().with_message_id(id).unwrap();
    Message::new(body.to_owned())
        .with_properties(properties)
        .with_header(KEY, key)
        .unwrap()
}

fn noting() -> (HandlerRegistry, Handled) {
    let (seen, handled) = seen();
    let work = move |note: String| async move { seen.note(note) };
    (HandlerRegistry::new().register("work", work), handled)
}

pub(crate) async fn a_message_that_was_handled_is_not_handled_again(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (handlers, mut handled) = noting();
    let app = bed.start_queue(once(&queue), handlers).await;
    for (id, note) in [("1", "one"), ("1", "one again"), ("2", "two")] {
        let body = format!("{note:?}");
        bed.publish(&queue, message("work", id, &body)).await;
    }
    assert_eq!(handled.next_note().await, "one");
    assert_eq!(handled.next_note().await, "two");
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn an_id_counts_once_its_handler_is_done(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let fail_once = move |Attempt(attempt): Attempt| async move {
        seen.note(attempt.to_string());
        anyhow::ensure!(attempt > 1, "not yet");
        Ok(())
    };
    let set_up = once(&queue).retry(Retry::fixed(3, Duration::from_millis(50)));
    let handlers = HandlerRegistry::new().register("work", fail_once);
    let app = bed.start_queue(set_up, handlers).await;
    bed.publish(&queue, message("work", "1", "")).await;
    assert_eq!(handled.next_note().await, "1");
    assert_eq!(handled.next_note().await, "2");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn the_id_of_a_handler_that_was_dropped_is_free_again(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let hang_once = move |Attempt(attempt): Attempt| async move {
        seen.note(attempt.to_string());
        if attempt == 1 {
            std::future::pending::<()>().await;
        }
    };
    let set_up = once(&queue)
        .retry(Retry::fixed(3, Duration::from_millis(50)))
        .timeout(Duration::from_millis(200));
    let handlers = HandlerRegistry::new().register("work", hang_once);
    let app = bed.start_queue(set_up, handlers).await;
    bed.publish(&queue, message("work", "1", "")).await;
    assert_eq!(handled.next_note().await, "1");
    assert_eq!(handled.next_note().await, "2");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// A store whose first answer to a release never comes.
struct Slow {
    store: MemoryDedup,
    releases: AtomicU32,
}

impl DedupStore for Slow {
    type Error = Infallible;

    async fn claim(&self, id: &str) -> Result<Claim, Infallible> {
        self.store.claim(id).await
    }

    async fn complete(&self, id: &str) -> Result<(), Infallible> {
        self.store.complete(id).await
    }

    async fn release(&self, id: &str) -> Result<(), Infallible> {
        if self.releases.fetch_add(1, Ordering::Relaxed) == 0 {
            std::future::pending::<()>().await;
        }
        self.store.release(id).await
    }
}

pub(crate) async fn an_id_is_released_where_its_handler_is_dropped_on_the_way(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let fail_once = move |Attempt(attempt): Attempt| async move {
        seen.note(attempt.to_string());
        anyhow::ensure!(attempt > 1, "not yet");
        Ok(())
    };
    let store = Slow {
        store: MemoryDedup::new(),
        releases: AtomicU32::new(0),
    };
    let set_up = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .layer(Dedup::new(store))
        .retry(Retry::fixed(3, Duration::from_millis(50)))
        .timeout(Duration::from_millis(200));
    let handlers = HandlerRegistry::new().register("work", fail_once);
    let app = bed.start_queue(set_up, handlers).await;
    bed.publish(&queue, message("work", "1", "")).await;
    assert_eq!(handled.next_note().await, "1");
    assert_eq!(handled.next_note().await, "2");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_message_of_two_queues_is_handled_in_both(bed: Arc<Bed>) {
    let layer = Dedup::new(MemoryDedup::new());
    let mut all = Vec::new();
    for queue in [bed.queue_name(), bed.queue_name()] {
        let (handlers, handled) = noting();
        let set_up = Queue::new(&queue)
            .key(KeySource::header(KEY))
            .layer(layer.clone());
        let app = bed.start_queue(set_up, handlers).await;
        bed.publish(&queue, message("work", "1", r#""one""#)).await;
        all.push((app, handled));
    }
    for (app, mut handled) in all {
        assert_eq!(handled.next_note().await, "one");
        app.shut_down().await.unwrap();
    }
}

/// Its reply may have been lost.
pub(crate) async fn a_request_is_answered_each_time(bed: Arc<Bed>) {
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    let (handlers, _handled) = noting();
    let app = bed.start_queue(once(&queue), handlers).await;
    for _ in 0..2 {
        let request = message("work", "1", r#""one""#);
        let properties = request
            .properties()
            .clone()
            .with_reply_to(&replies)
            .unwrap();
        bed.publish(&queue, request.with_properties(properties))
            .await;
        assert_eq!(bed.next(&replies).await.body, b"null");
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_message_waits_for_its_twin(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let work = move |note: String| async move {
        seen.note(note);
        gate.acquire().await.unwrap().forget();
    };
    let handlers = HandlerRegistry::new().register("work", work);
    let app = bed.start_queue(once(&queue), handlers).await;
    for note in [r#""one""#, r#""its twin""#] {
        bed.publish(&queue, message("work", "1", note)).await;
    }
    assert_eq!(handled.next_note().await, "one");
    // longer than it looks for it once
    tokio::time::sleep(Duration::from_millis(300)).await;
    gate.add_permits(1);
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}
