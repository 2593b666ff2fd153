use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use ploomby::extract::Attempt;
use ploomby::{
    HandlerOptions, HandlerRegistry, KeySource, Message, Outcome, Permanent, Properties, Queue,
    Reason, Retry, Value,
};
use ploomby_tests::{Bed, Handled, KEY, Seen, seen};

const DELAY: Duration = Duration::from_millis(50);

/// A queue whose retry queues are removed after the test.
fn queue_name(bed: &Bed) -> String {
    let queue = bed.queue_name();
    for delay in [50, 100, 200, 1500] {
        bed.remove_later(&format!("{queue}_retry_{delay}ms"));
    }
    queue
}

fn queue_of(name: &str, retry: impl Into<Retry>) -> Queue {
    Queue::new(name)
        .key(KeySource::header(KEY))
        .retry(retry.into())
}

/// Notes each attempt, and fails until the one of this number.
fn succeeds_at(last: u32) -> (HandlerRegistry, Handled) {
    let (seen, handled) = seen();
    let handler = move |Attempt(attempt): Attempt| async move {
        seen.note(attempt.to_string());
        if attempt < last {
            return Err(anyhow!("attempt {attempt} failed"));
        }
        Ok(())
    };
    (HandlerRegistry::new().register("work", handler), handled)
}

pub(crate) async fn a_failed_message_is_tried_again_until_it_succeeds(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let (handlers, mut handled) = succeeds_at(3);
    let app = bed
        .start_queue(queue_of(&queue, Retry::fixed(5, DELAY)), handlers)
        .await;
    bed.send(&queue, "work", "1").await;
    for attempt in ["1", "2", "3"] {
        assert_eq!(handled.next_note().await, attempt);
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
    assert!(bed.is_empty(&format!("{queue}_retry_50ms")).await);
    assert!(handled.is_empty());
}

pub(crate) async fn what_fails_each_time_ends_in_the_dead_letter_queue(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let (handlers, mut handled) = succeeds_at(u32::MAX);
    let app = bed
        .start_queue(queue_of(&queue, Retry::fixed(3, DELAY)), handlers)
        .await;
    let message = Message::new(vec![0xfe; 1000])
        .with_properties(
            Properties::new()
                .with_content_type("application/x-odd")
                .and_then(|properties| properties.with_header(KEY, "work"))
                .unwrap()
                .with_expiration(Duration::from_secs(600)),
        )
        .with_header("trace", 7)
        .unwrap();
    bed.publish(&queue, message.clone()).await;
    for attempt in ["1", "2", "3"] {
        assert_eq!(handled.next_note().await, attempt);
    }
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(dead_letter.body, &**message.body());
    assert_eq!(dead_letter.headers["trace"], Value::I32(7));
    assert_eq!(dead_letter.headers["ploomby-attempts"], Value::I64(3));
    assert_eq!(dead_letter.text("ploomby-error"), "attempt 3 failed");
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::HandlerError.as_str()
    );
    assert_eq!(dead_letter.text("ploomby-expiration"), "600000");
    for gone in ["ploomby-attempt", "x-death", "x-first-death-queue"] {
        assert!(!dead_letter.headers.contains_key(gone), "{gone}");
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(handled.is_empty());
}

pub(crate) async fn a_dead_letter_that_is_moved_back_has_all_its_attempts_again(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let (handlers, mut handled) = succeeds_at(u32::MAX);
    let app = bed
        .start_queue(queue_of(&queue, Retry::fixed(2, DELAY)), handlers)
        .await;
    bed.send(&queue, "work", "1").await;
    for _ in 0..2 {
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(dead_letter.headers["ploomby-attempts"], Value::I64(2));
        let mut message = Message::new(dead_letter.body.clone());
        for (name, value) in dead_letter.headers {
            message = message.with_header(&name, value).unwrap();
        }
        bed.publish(&queue, message).await;
    }
    for attempt in ["1", "2", "1", "2"] {
        assert_eq!(handled.next_note().await, attempt);
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_long_delay_does_not_hold_up_a_short_one(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let (seen, mut handled) = seen();
    let failing_once = |seen: &'static Seen, name: &'static str| {
        move |Attempt(attempt): Attempt| async move {
            if attempt == 1 {
                return Outcome::Retry;
            }
            seen.note(name);
            Outcome::Ack
        }
    };
    let options =
        |delay| HandlerOptions::new().retry(Retry::delays([Duration::from_millis(delay)]));
    let handlers = HandlerRegistry::new()
        .register_with("long", options(1500), failing_once(seen, "long"))
        .register_with("short", options(100), failing_once(seen, "short"));
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "long", "").await;
    bed.send(&queue, "short", "").await;
    assert_eq!(handled.next_note().await, "short");
    assert_eq!(handled.next_note().await, "long");
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_message_waits_at_least_as_long_as_its_delay(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let (handlers, mut handled) = succeeds_at(2);
    let delay = Duration::from_millis(200);
    let app = bed
        .start_queue(queue_of(&queue, Retry::fixed(2, delay)), handlers)
        .await;
    bed.send(&queue, "work", "1").await;
    handled.next_note().await;
    let failed = Instant::now();
    handled.next_note().await;
    assert!(
        failed.elapsed() >= delay.mul_f64(0.9),
        "{:?}",
        failed.elapsed()
    );
    app.shut_down().await.unwrap();
}

pub(crate) async fn what_will_fail_again_is_not_tried_again(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let (seen, mut handled) = seen();
    let retry = Retry::fixed(3, DELAY).retry_if(|error| !error.is::<std::fmt::Error>());
    let handlers = HandlerRegistry::new()
        .register("permanent", move |Attempt(attempt): Attempt| async move {
            seen.note(attempt.to_string());
            Err::<(), _>(anyhow::Error::new(Permanent::msg("gone")).context("cannot charge"))
        })
        .register("refused", move |Attempt(attempt): Attempt| async move {
            seen.note(attempt.to_string());
            Err::<(), _>(std::fmt::Error)
        })
        .register(
            "undecodable",
            move |_: u32| async move { seen.note("never") },
        );
    let app = bed.start_queue(queue_of(&queue, retry), handlers).await;
    for (key, reason, attempts) in [
        ("permanent", Reason::HandlerError, 1),
        ("refused", Reason::HandlerError, 1),
        ("undecodable", Reason::Undecodable, 0),
        ("nobody", Reason::UnknownKey, 0),
    ] {
        bed.send(&queue, key, "no number").await;
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(dead_letter.text("ploomby-reason"), reason.as_str());
        assert_eq!(
            dead_letter.headers["ploomby-attempts"],
            Value::I64(attempts)
        );
    }
    assert_eq!(handled.next_note().await, "1");
    assert_eq!(handled.next_note().await, "1");
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
}

pub(crate) async fn a_panic_and_a_timeout_are_tried_again(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register("panic", move |Attempt(attempt): Attempt| async move {
            assert!(attempt > 1, "as it has to be");
            seen.note("after a panic");
        })
        .register("late", move |Attempt(attempt): Attempt| async move {
            if attempt == 1 {
                std::future::pending::<()>().await;
            }
            seen.note("after a timeout");
        });
    let set_up = queue_of(&queue, Retry::fixed(2, DELAY)).timeout(Duration::from_millis(200));
    let app = bed.start_queue(set_up, handlers).await;
    bed.send(&queue, "panic", "").await;
    assert_eq!(handled.next_note().await, "after a panic");
    bed.send(&queue, "late", "").await;
    assert_eq!(handled.next_note().await, "after a timeout");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_handler_asks_for_more_attempts_than_it_has(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let handlers = HandlerRegistry::new().register("again", || async { Outcome::Retry });
    let app = bed
        .start_queue(queue_of(&queue, Retry::fixed(2, DELAY)), handlers)
        .await;
    bed.send(&queue, "again", "").await;
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::RetriesExhausted.as_str()
    );
    assert_eq!(dead_letter.headers["ploomby-attempts"], Value::I64(2));
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_routing_key_that_names_the_handler_survives_a_retry(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let (seen, mut handled) = seen();
    // a queue is reached by its own name only, so that the key is that name
    let handlers = HandlerRegistry::new().register(
        &queue,
        move |Attempt(attempt): Attempt, delivery: ploomby::Delivery| async move {
            seen.note(format!("{attempt} {:?}", delivery.exchange()));
            if attempt == 1 {
                Outcome::Retry
            } else {
                Outcome::Ack
            }
        },
    );
    let set_up = Queue::new(&queue)
        .key(KeySource::RoutingKey)
        .retry(Retry::fixed(2, DELAY));
    let app = bed.start_queue(set_up, handlers).await;
    bed.publish(&queue, Message::new("")).await;
    assert_eq!(handled.next_note().await, "1 \"\"");
    assert_eq!(handled.next_note().await, "2 \"\"");
    app.shut_down().await.unwrap();
}

pub(crate) async fn three_programs_make_as_many_attempts_as_one(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let attempts: &'static AtomicU32 = Box::leak(Box::default());
    let mut programs = Vec::new();
    for _ in 0..3 {
        let handlers = HandlerRegistry::new().register("work", move || async move {
            attempts.fetch_add(1, Ordering::SeqCst);
            Err::<(), _>(anyhow!("no"))
        });
        programs.push(
            bed.start_queue(queue_of(&queue, Retry::fixed(5, DELAY)), handlers)
                .await,
        );
    }
    for _ in 0..10 {
        bed.send(&queue, "work", "").await;
    }
    for _ in 0..10 {
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(dead_letter.headers["ploomby-attempts"], Value::I64(5));
    }
    assert_eq!(attempts.load(Ordering::SeqCst), 50);
    for program in programs {
        program.shut_down().await.unwrap();
    }
}

pub(crate) async fn a_retry_queue_with_other_arguments_is_an_error(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let retry_queue = format!("{queue}_retry_50ms");
    bed.declare(&retry_queue, &[]).await;
    let (handlers, _handled) = succeeds_at(2);
    let error = ploomby::App::new(bed.url())
        .handlers(handlers)
        .queue(queue_of(&queue, Retry::fixed(2, DELAY)))
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&retry_queue), "{error}");
    assert!(error.contains("delete it"), "{error}");
    assert!(error.contains("x-"), "{error}");
}

pub(crate) async fn a_deleted_retry_queue_is_declared_again(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let (handlers, mut handled) = succeeds_at(2);
    let app = bed
        .start_queue(queue_of(&queue, Retry::fixed(2, DELAY)), handlers)
        .await;
    bed.delete(&format!("{queue}_retry_50ms")).await;
    bed.send(&queue, "work", "1").await;
    assert_eq!(handled.next_note().await, "1");
    assert_eq!(handled.next_note().await, "2");
    app.shut_down().await.unwrap();
}

pub(crate) async fn what_has_no_room_for_the_count_is_not_tried_for_ever(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let (handlers, mut handled) = succeeds_at(u32::MAX);
    let app = bed
        .start_queue(queue_of(&queue, Retry::fixed(3, DELAY)), handlers)
        .await;
    let message = filled_up_to(0);
    bed.publish(&queue, message.clone()).await;
    assert_eq!(handled.next_note().await, "1");
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(
        dead_letter.headers.get("filling"),
        message.headers().get("filling").as_ref()
    );
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(handled.is_empty());
}

pub(crate) async fn what_has_no_room_for_its_deaths_is_not_tried_without_them(bed: Arc<Bed>) {
    let queue = queue_name(&bed);
    let (handlers, mut handled) = succeeds_at(u32::MAX);
    let app = bed
        .start_queue(queue_of(&queue, Retry::fixed(3, DELAY)), handlers)
        .await;
    let death = Value::Table(vec![("queue".into(), "elsewhere".into())]);
    let deaths = Value::Array(vec![death]);
    // they take 38 bytes, in the copy eight more, and the count takes 25
    let message = filled_up_to(50)
        .with_header("x-death", deaths.clone())
        .unwrap();
    bed.publish(&queue, message).await;
    assert_eq!(handled.next_note().await, "1");
    assert_eq!(bed.dead_letter(&queue).await.headers["x-death"], deaths);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(handled.is_empty());
}

/// A message whose properties and headers leave so much of a frame.
fn filled_up_to(room: usize) -> Message {
    // a frame less all properties, the header that names the handler, the name of this one and the id
    let filling = 131_052 - 16 - (KEY.len() + 10) - 14 - 2 - room;
    let id = Properties::new().with_message_id("1").unwrap();
    Message::new("1")
        .with_properties(id)
        .with_header(KEY, "work")
        .and_then(|message| message.with_header("filling", "x".repeat(filling)))
        .unwrap()
}
