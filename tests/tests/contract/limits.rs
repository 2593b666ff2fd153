use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ploomby::extract::{Batch, Redelivered};
use ploomby::{
    App, DeadLetters, HandlerOptions, HandlerRegistry, KeySource, Message, Outcome, Queue, Rate,
    Reason, Value,
};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, seen};

fn queue_of(name: &str) -> Queue {
    Queue::new(name).key(KeySource::header(KEY))
}

pub(crate) async fn a_handler_past_its_timeout_is_dropped(bed: Arc<Bed>) {
    struct Dropped(&'static ploomby_tests::Seen);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.note("dropped");
        }
    }
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let options = HandlerOptions::new().timeout(Duration::from_millis(100));
    let handlers = HandlerRegistry::new().register_with("never", options, move || async move {
        let _dropped = Dropped(seen);
        std::future::pending::<()>().await;
    });
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "never", "1").await;
    assert_eq!(handled.next_note().await, "dropped");
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(dead_letter.text("ploomby-reason"), Reason::Timeout.as_str());
    assert!(dead_letter.text("ploomby-error").contains("100ms"));
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_panic_while_a_handler_is_dropped_is_one_failed_message(bed: Arc<Bed>) {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let queue = bed.queue_name();
    let handlers = HandlerRegistry::new().register("never", || async {
        let _panics = Panics;
        std::future::pending::<()>().await;
    });
    let set_up = queue_of(&queue).timeout(Duration::from_millis(50));
    let app = bed.start_queue(set_up, handlers).await;
    bed.send(&queue, "never", "1").await;
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(dead_letter.text("ploomby-reason"), Reason::Panic.as_str());
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_message_that_always_comes_back_is_dead_lettered(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register(
            "again",
            move |Redelivered(redelivered): Redelivered| async move {
                seen.note(format!("{redelivered}"));
                Outcome::Requeue
            },
        )
        .register("other", move || async move { seen.note("other") });
    let app = bed
        .start_queue(queue_of(&queue).max_deliveries(3), handlers)
        .await;
    bed.send(&queue, "again", "1").await;
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::TooManyDeliveries.as_str()
    );
    assert_eq!(dead_letter.headers["ploomby-attempts"], Value::I64(0));
    assert!(!dead_letter.headers.contains_key("ploomby-redeliveries"));
    for redelivered in ["false", "true", "true"] {
        assert_eq!(handled.next_note().await, redelivered);
    }
    bed.send(&queue, "other", "2").await;
    assert_eq!(handled.next_note().await, "other");
    app.shut_down().await.unwrap();
}

pub(crate) async fn one_at_a_time_keeps_the_order_of_what_comes_back(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let failed: &'static AtomicUsize = Box::leak(Box::default());
    let handlers = HandlerRegistry::new().register("in-order", move |number: usize| async move {
        if number == 1 && failed.fetch_add(1, Ordering::SeqCst) == 0 {
            return Outcome::Requeue;
        }
        seen.note(number.to_string());
        Outcome::Ack
    });
    let set_up = queue_of(&queue).concurrency(1).prefetch(1);
    let app = bed.start_queue(set_up, handlers).await;
    for number in 1..5 {
        bed.send(&queue, "in-order", number.to_string()).await;
    }
    for number in 1..5 {
        assert_eq!(handled.next_note().await, number.to_string());
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_body_over_the_limit_is_dead_lettered(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("text", move |text: String| async move {
        seen.note(text.len().to_string())
    });
    let app = bed
        .start_queue(queue_of(&queue).max_body(1000), handlers)
        .await;
    bed.send(&queue, "text", format!("\"{}\"", "x".repeat(998)))
        .await;
    assert_eq!(handled.next_note().await, "998");
    bed.send(&queue, "text", format!("\"{}\"", "x".repeat(999)))
        .await;
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::TooLarge.as_str()
    );
    assert_eq!(dead_letter.body.len(), 1001);
    app.shut_down().await.unwrap();
}

pub(crate) async fn handlers_hold_no_more_bytes_than_allowed(bed: Arc<Bed>) {
    static HELD: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("text", move |text: String| async move {
        let held = HELD.fetch_add(text.len(), Ordering::SeqCst) + text.len();
        MOST.fetch_max(held, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        HELD.fetch_sub(text.len(), Ordering::SeqCst);
        seen.note("done");
    });
    let app = bed
        .start_queue(queue_of(&queue).max_in_flight_bytes(100 * 1024), handlers)
        .await;
    // the last is larger than all that is allowed, and runs alone
    for kib in [30, 30, 30, 30, 30, 30, 300] {
        let body = format!("\"{}\"", "x".repeat(kib * 1024));
        bed.send(&queue, "text", body).await;
    }
    for _ in 0..7 {
        handled.next_note().await;
    }
    assert_eq!(MOST.load(Ordering::SeqCst), 300 * 1024);
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_handlers_own_limit_does_not_hold_up_others(bed: Arc<Bed>) {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &'static tokio::sync::Semaphore = Box::leak(Box::new(tokio::sync::Semaphore::new(0)));
    let options = HandlerOptions::new().concurrency(2);
    let handlers = HandlerRegistry::new()
        .register_with("slow", options, move || async move {
            MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            seen.note("slow");
        })
        .register("fast", move || async move { seen.note("fast") });
    let app = bed.start(&queue, handlers).await;
    for _ in 0..10 {
        bed.send(&queue, "slow", "").await;
    }
    bed.send(&queue, "fast", "").await;
    assert_eq!(handled.next_note().await, "fast");
    gate.add_permits(10);
    for _ in 0..10 {
        assert_eq!(handled.next_note().await, "slow");
    }
    assert_eq!(MOST.load(Ordering::SeqCst), 2);
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_queue_limits_each_of_its_handlers(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &'static tokio::sync::Semaphore = Box::leak(Box::new(tokio::sync::Semaphore::new(0)));
    let work = move |name: &'static str| {
        move || async move {
            seen.note(name);
            gate.acquire().await.unwrap().forget();
        }
    };
    let handlers = HandlerRegistry::new()
        .register("one", work("one"))
        .register("other", work("other"))
        .register_with("two", HandlerOptions::new().concurrency(2), work("two"))
        .register("batch", move |batch: Batch<String>| async move {
            seen.note(format!("batch of {}", batch.len()));
            gate.acquire().await.unwrap().forget();
        });
    let set_up = queue_of(&queue)
        .handler_concurrency(1)
        .batch_size(2)
        .batch_wait(DEADLINE * 2);
    let app = bed.start_queue(set_up, handlers).await;
    for key in ["one", "other", "two", "batch"] {
        for _ in 0..4 {
            bed.send(&queue, key, "\"\"").await;
        }
    }
    let mut begun = Vec::new();
    for _ in 0..5 {
        begun.push(handled.next_note().await);
    }
    begun.sort();
    assert_eq!(begun, ["batch of 2", "one", "other", "two", "two"]);
    assert!(handled.is_empty());
    gate.add_permits(14);
    for _ in 5..14 {
        handled.next_note().await;
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn what_waits_for_a_handlers_own_limit_goes_back_at_shutdown(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let options = HandlerOptions::new().concurrency(1);
    let handlers = HandlerRegistry::new().register_with("slow", options, move || async move {
        seen.note("begun");
        tokio::time::sleep(Duration::from_millis(300)).await;
    });
    let app = bed.start(&queue, handlers).await;
    for _ in 0..5 {
        bed.send(&queue, "slow", "").await;
    }
    assert_eq!(handled.next_note().await, "begun");
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
    for _ in 0..4 {
        assert!(bed.get(&queue).await.is_some());
    }
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_handler_of_one_queue_goes_before_that_of_all(bed: Arc<Bed>) {
    let (one, other) = (bed.queue_name(), bed.queue_name());
    let (seen, mut handled) = seen();
    let options = HandlerOptions::new().queue(&one);
    let handlers = HandlerRegistry::new()
        .register_with("work", options, move || async move { seen.note("its own") })
        .register("work", move || async move { seen.note("of all") });
    let app = App::new(bed.url())
        .handlers(handlers)
        .queue(queue_of(&one))
        .queue(queue_of(&other))
        .start()
        .await
        .unwrap();
    bed.send(&one, "work", "").await;
    assert_eq!(handled.next_note().await, "its own");
    bed.send(&other, "work", "").await;
    assert_eq!(handled.next_note().await, "of all");
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_handler_for_a_queue_that_nobody_consumes_is_an_error(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let options = HandlerOptions::new().queue("elsewhere");
    let handlers = HandlerRegistry::new()
        .register_with("work", options, || async {})
        .register("other", || async {});
    let error = App::new(bed.url())
        .handlers(handlers)
        .queue(queue_of(&queue))
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("queue `elsewhere`"), "{error}");
    assert!(error.contains("limits.rs"), "{error}");
}

pub(crate) async fn an_option_of_zero_is_an_error(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    for (options, name) in [
        (HandlerOptions::new().timeout(Duration::ZERO), "timeout"),
        (HandlerOptions::new().concurrency(0), "concurrency"),
        (HandlerOptions::new().rate(Rate::per_hour(0)), "rate"),
    ] {
        let handlers = HandlerRegistry::new().register_with("work", options, || async {});
        let error = App::new(bed.url())
            .handlers(handlers)
            .queue(queue_of(&queue))
            .start()
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
    }
}

pub(crate) async fn a_full_dead_letter_queue_keeps_what_it_has(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let dead_letters = format!("{queue}_dlq");
    let handlers =
        HandlerRegistry::new().register("fail", || async { Err::<(), _>(anyhow::anyhow!("no")) });
    let set_up = queue_of(&queue).dead_letters(DeadLetters::to(&dead_letters).max_length(1));
    let app = bed.start_queue(set_up, handlers).await;
    bed.send(&queue, "fail", "1").await;
    eventually(Duration::from_secs(10), async || {
        bed.ready_count(&dead_letters).await == 1
    })
    .await;
    bed.send(&queue, "fail", "2").await;
    eventually(DEADLINE, async || !app.health().is_healthy()).await;
    // the second was refused and waits for room, and comes once there is some
    assert_eq!(bed.next(&dead_letters).await.body, b"1");
    assert_eq!(bed.next(&dead_letters).await.body, b"2");
    app.shut_down().await.unwrap();
}

pub(crate) async fn dead_letters_can_be_left_to_the_broker(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let kept = format!("{queue}_kept");
    bed.remove_later(&kept);
    bed.declare(&kept, &[]).await;
    let handlers =
        HandlerRegistry::new().register("fail", || async { Err::<(), _>(anyhow::anyhow!("no")) });
    let set_up = queue_of(&queue)
        .queue_argument("x-dead-letter-exchange", "")
        .queue_argument("x-dead-letter-routing-key", kept.as_str())
        .dead_letters(DeadLetters::by_broker());
    let app = bed.start_queue(set_up, handlers).await;
    bed.publish(&queue, Message::new("1").with_header(KEY, "fail").unwrap())
        .await;
    let dead_letter = bed.next(&kept).await;
    assert_eq!(dead_letter.body, b"1");
    assert!(!dead_letter.headers.contains_key("ploomby-reason"));
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

/// For each queue: how many run, how many ran at the same time at most, how many are done.
static RUNS: Mutex<BTreeMap<String, [usize; 3]>> = Mutex::new(BTreeMap::new());

#[ploomby::handler("one-limit", "one-limit-too", concurrency = 1)]
async fn one_at_a_time(queue: String) {
    let change = |change: fn(&mut [usize; 3])| {
        change(RUNS.lock().unwrap().entry(queue.clone()).or_default());
    };
    change(|[running, most, _]| {
        *running += 1;
        *most = (*most).max(*running);
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    change(|[running, _, done]| {
        *running -= 1;
        *done += 1;
    });
}

pub(crate) async fn a_handler_of_several_keys_has_one_limit(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = bed.start(&queue, HandlerRegistry::linked()).await;
    for _ in 0..10 {
        for key in ["one-limit", "one-limit-too"] {
            bed.send(&queue, key, format!("\"{queue}\"")).await;
        }
    }
    let runs = || RUNS.lock().unwrap().get(&queue).copied();
    eventually(DEADLINE, async || {
        runs().is_some_and(|[_, _, done]| done == 20)
    })
    .await;
    assert_eq!(runs(), Some([0, 1, 20]));
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_handler_that_blocks_is_named_until_it_yields(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let handlers = HandlerRegistry::new().register("block", move |_: u32| {
        blocked.lock().unwrap().recv().unwrap();
        async {}
    });
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "block", "1").await;
    let blocking = || app.health().queues()[0].blocking().to_vec();
    eventually(DEADLINE, async || blocking().len() == 1).await;
    let reason = blocking()[0].reason().to_owned();
    assert!(reason.contains("has not yielded"), "{reason}");
    let health = app.health();
    assert!(health.to_string().contains(&reason), "{health}");
    assert!(health.is_healthy(), "{health}");
    release.send(()).unwrap();
    eventually(DEADLINE, async || blocking().is_empty()).await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

/// Each handler that waits for its own limit would take a place of the queue's, and the others would have none.
pub(crate) async fn a_handlers_own_limit_holds_up_no_other_handler(bed: Arc<Bed>) {
    const SLOW: usize = 8;

    let queue = bed.queue_name();
    let gate: &'static tokio::sync::Semaphore = Box::leak(Box::new(tokio::sync::Semaphore::new(0)));
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register_with(
            "slow",
            HandlerOptions::new().concurrency(1),
            move || async move {
                gate.acquire().await.unwrap().forget();
                seen.note("slow");
            },
        )
        .register("fast", move || async move { seen.note("fast") });
    let app = bed
        .start_queue(queue_of(&queue).concurrency(4), handlers)
        .await;
    for _ in 0..SLOW {
        bed.send(&queue, "slow", "1").await;
    }
    bed.send(&queue, "fast", "1").await;
    assert_eq!(handled.next_note().await, "fast");
    gate.add_permits(SLOW);
    for _ in 0..SLOW {
        assert_eq!(handled.next_note().await, "slow");
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

/// What waits here is not handled elsewhere.
pub(crate) async fn no_more_is_held_than_can_be_worked_at(bed: Arc<Bed>) {
    const MESSAGES: u32 = 20;

    let queue = bed.queue_name();
    let gate: &'static tokio::sync::Semaphore = Box::leak(Box::new(tokio::sync::Semaphore::new(0)));
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("work", move || async move {
        seen.note("begun");
        gate.acquire().await.unwrap().forget();
    });
    let app = bed
        .start_queue(queue_of(&queue).concurrency(2), handlers)
        .await;
    for _ in 0..MESSAGES {
        bed.send(&queue, "work", "1").await;
    }
    for _ in 0..2 {
        assert_eq!(handled.next_note().await, "begun");
    }
    // two are worked at, and two more at hand
    eventually(DEADLINE, async || {
        bed.ready_count(&queue).await == MESSAGES - 4
    })
    .await;
    gate.add_permits(MESSAGES as usize);
    app.shut_down().await.unwrap();
}
