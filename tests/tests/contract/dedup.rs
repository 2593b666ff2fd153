use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ploomby::dedup::{Claim, ClaimToken, Dedup, DedupStore, MemoryDedup};
use ploomby::extract::Attempt;
use ploomby::{
    Delivery, HandlerLayer, HandlerRegistry, HandlerService, KeySource, Message, Properties,
    Publisher, Queue, Retry, Value,
};
use ploomby_tests::{Bed, DEADLINE, Handled, KEY, Seen, eventually, seen};
use tokio::sync::Semaphore;
use tower::layer::layer_fn;
use tower::{BoxError, Service, service_fn};

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

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Fails,
    Hangs,
    Panics,
    /// It notes what it is told, and its answer is lost.
    LosesAnswers,
}

/// A store that has faults.
#[derive(Clone)]
struct Faulty {
    store: Arc<MemoryDedup>,
    fault: Arc<Mutex<Fault>>,
    asked: Arc<AtomicU32>,
}

#[derive(Debug)]
struct Away;

impl std::fmt::Display for Away {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the store is away")
    }
}

impl std::error::Error for Away {}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self {
            store: Arc::default(),
            fault: Arc::new(Mutex::new(fault)),
            asked: Arc::default(),
        }
    }

    fn becomes(&self, fault: Fault) {
        self.asked.store(0, Ordering::Relaxed);
        *self.fault.lock().unwrap() = fault;
    }

    async fn until_asked(&self) {
        eventually(DEADLINE, async || self.asked.load(Ordering::Relaxed) > 1).await;
    }

    async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, Infallible>>,
    ) -> Result<T, Away> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let fault = *self.fault.lock().unwrap();
        match fault {
            Fault::None => Ok(answer.await.unwrap()),
            Fault::Fails => Err(Away),
            Fault::Hangs => std::future::pending().await,
            Fault::Panics => panic!("in the store, on purpose"),
            Fault::LosesAnswers => {
                answer.await.unwrap();
                Err(Away)
            }
        }
    }
}

impl DedupStore for Faulty {
    type Error = Away;

    async fn claim(&self, queue: &str, id: &str, token: ClaimToken) -> Result<Claim, Away> {
        self.answer(self.store.claim(queue, id, token)).await
    }

    async fn complete(&self, queue: &str, id: &str, token: ClaimToken) -> Result<(), Away> {
        self.answer(self.store.complete(queue, id, token)).await
    }

    async fn release(&self, queue: &str, id: &str, token: ClaimToken) -> Result<(), Away> {
        self.answer(self.store.release(queue, id, token)).await
    }
}

/// A layer that notes when all inside of it is done with a message.
fn noting_the_end(seen: &'static Seen) -> impl HandlerLayer {
    layer_fn(move |service: HandlerService| {
        service_fn(move |delivery: Delivery| {
            let mut service = service.clone();
            async move {
                let answer = service.call(delivery).await.map_err(BoxError::from);
                seen.note("ended");
                answer
            }
        })
    })
}

/// A queue that would give up at once what fails or takes long.
fn impatient(queue: &str, store: &Faulty) -> Queue {
    let dedup = Dedup::new(store.clone()).answers_within(Duration::from_millis(100));
    Queue::new(queue)
        .key(KeySource::header(KEY))
        .timeout(Duration::from_millis(150))
        .layer(dedup)
}

pub(crate) async fn a_store_that_is_away_condemns_nothing(bed: Arc<Bed>) {
    for fault in [
        Fault::Fails,
        Fault::Hangs,
        Fault::Panics,
        Fault::LosesAnswers,
    ] {
        let queue = bed.queue_name();
        let (seen, mut handled) = seen();
        let store = Faulty::new(fault);
        let work = move |Attempt(attempt): Attempt, note: String| async move {
            seen.note(format!("{note} {attempt}"));
        };
        let handlers = HandlerRegistry::new().register("work", work);
        let (ended, mut ends) = ploomby_tests::seen();
        let set_up = impatient(&queue, &store).layer(noting_the_end(ended));
        let app = bed.start_queue(set_up, handlers).await;
        for id in ["1", "2", "1"] {
            bed.publish(&queue, message("work", id, r#""done""#)).await;
        }
        store.until_asked().await;
        assert!(handled.is_empty(), "{fault:?}");
        store.becomes(Fault::None);
        for _ in 0..2 {
            assert_eq!(handled.next_note().await, "done 1", "{fault:?}");
        }
        for _ in 0..3 {
            ends.next_note().await;
        }
        app.shut_down().await.unwrap();
        assert!(handled.is_empty(), "{fault:?}");
        assert!(bed.is_empty(&queue).await, "{fault:?}");
        assert!(bed.is_empty(&format!("{queue}_dlq")).await, "{fault:?}");
    }
}

pub(crate) async fn what_was_handled_is_noted_once_the_store_is_back(bed: Arc<Bed>) {
    for fault in [
        Fault::Fails,
        Fault::Hangs,
        Fault::Panics,
        Fault::LosesAnswers,
    ] {
        let queue = bed.queue_name();
        let (seen, mut handled) = seen();
        let store = Faulty::new(Fault::None);
        let breaks = store.clone();
        let work = move |note: String| {
            let breaks = breaks.clone();
            async move {
                breaks.becomes(fault);
                seen.note(note);
            }
        };
        let handlers = HandlerRegistry::new().register("work", work);
        let (ended, mut ends) = ploomby_tests::seen();
        let set_up = impatient(&queue, &store).layer(noting_the_end(ended));
        let app = bed.start_queue(set_up, handlers).await;
        bed.publish(&queue, message("work", "1", r#""done""#)).await;
        assert_eq!(handled.next_note().await, "done");
        store.until_asked().await;
        bed.publish(&queue, message("work", "1", r#""again""#))
            .await;
        store.becomes(Fault::None);
        for _ in 0..2 {
            ends.next_note().await;
        }
        app.shut_down().await.unwrap();
        assert!(handled.is_empty(), "{fault:?}");
        assert!(bed.is_empty(&queue).await, "{fault:?}");
        assert!(bed.is_empty(&format!("{queue}_dlq")).await, "{fault:?}");
    }
}

pub(crate) async fn what_waits_for_the_store_goes_back_at_shutdown(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (handlers, handled) = noting();
    let store = Faulty::new(Fault::Fails);
    let app = bed.start_queue(impatient(&queue, &store), handlers).await;
    bed.publish(&queue, message("work", "1", r#""one""#)).await;
    store.until_asked().await;
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
    assert_eq!(bed.next(&queue).await.message_id.as_deref(), Some("1"));
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// As that of a worker that was killed in its handler.
pub(crate) async fn the_wait_for_a_claim_is_no_time_of_the_handlers(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (handlers, mut handled) = noting();
    let store = Faulty::new(Fault::None);
    let token = ClaimToken::random();
    store.claim(&queue, "1", token).await.unwrap();
    let app = bed.start_queue(impatient(&queue, &store), handlers).await;
    bed.publish(&queue, message("work", "1", r#""one""#)).await;
    // longer than the handler may take
    store.until_asked().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(handled.is_empty());
    store.release(&queue, "1", token).await.unwrap();
    assert_eq!(handled.next_note().await, "one");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn an_id_is_released_where_its_handler_is_dropped_on_the_way(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let store = Faulty::new(Fault::None);
    let breaks = store.clone();
    let fail_once = move |Attempt(attempt): Attempt| {
        let breaks = breaks.clone();
        async move {
            seen.note(attempt.to_string());
            if attempt == 1 {
                // its first answer to a release never comes
                breaks.becomes(Fault::Hangs);
                anyhow::bail!("not yet");
            }
            Ok(())
        }
    };
    let set_up = impatient(&queue, &store).retry(Retry::fixed(3, Duration::from_millis(50)));
    let handlers = HandlerRegistry::new().register("work", fail_once);
    let app = bed.start_queue(set_up, handlers).await;
    bed.publish(&queue, message("work", "1", "")).await;
    assert_eq!(handled.next_note().await, "1");
    store.until_asked().await;
    store.becomes(Fault::None);
    assert_eq!(handled.next_note().await, "2");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn an_empty_id_is_none(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (handlers, mut handled) = noting();
    let app = bed.start_queue(once(&queue), handlers).await;
    for note in ["one", "two"] {
        let body = format!("{note:?}");
        bed.publish(&queue, message("work", "", &body)).await;
        assert_eq!(handled.next_note().await, note);
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn an_id_with_a_byte_that_databases_refuse_is_one(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (handlers, mut handled) = noting();
    let app = bed.start_queue(once(&queue), handlers).await;
    for (id, note) in [("a\0", "one"), ("a\0", "one again"), ("a\\0", "two")] {
        let body = format!("{note:?}");
        bed.publish(&queue, message("work", id, &body)).await;
    }
    assert_eq!(handled.next_note().await, "one");
    assert_eq!(handled.next_note().await, "two");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_message_that_its_handler_sends_again_is_a_new_one(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_delay_50ms"));
    let (seen, mut handled) = seen();
    let target = queue.clone();
    let work = move |delivery: Delivery, publisher: Publisher| {
        let target = target.clone();
        async move {
            let times = match delivery.headers().get("times") {
                Some(Value::I32(times)) => times,
                _ => 0,
            };
            seen.note(times.to_string());
            if times < 3 {
                let message = delivery.message().clone();
                let again = publisher.to(&target).message(message);
                let again = again.header("times", times + 1);
                match times {
                    0 => again.send().await?,
                    _ => again.delay(Duration::from_millis(50)).send().await?,
                }
            }
            anyhow::Ok(())
        }
    };
    let handlers = HandlerRegistry::new().register("work", work);
    let app = bed.start_queue(once(&queue), handlers).await;
    bed.publish(&queue, message("work", "1", "")).await;
    for times in 0..4 {
        assert_eq!(handled.next_note().await, times.to_string());
    }
    app.shut_down().await.unwrap();
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
    let (ended, mut ends) = ploomby_tests::seen();
    let set_up = once(&queue).layer(noting_the_end(ended));
    let app = bed.start_queue(set_up, handlers).await;
    for note in [r#""one""#, r#""its twin""#] {
        bed.publish(&queue, message("work", "1", note)).await;
    }
    assert_eq!(handled.next_note().await, "one");
    // longer than it looks for it once
    tokio::time::sleep(Duration::from_millis(300)).await;
    gate.add_permits(1);
    // what waits when the program is told to stop goes back
    for _ in 0..2 {
        ends.next_note().await;
    }
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}
