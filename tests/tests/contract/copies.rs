//! What becomes of a message whose copy nobody takes, of one that lies about its past, and of bodies that grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use ploomby::extract::Attempt;
use ploomby::{
    DeadLetters, HandlerOptions, HandlerRegistry, KeySource, Message, Properties, Queue, Retry,
    Value,
};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, seen};

fn queue_of(name: &str) -> Queue {
    Queue::new(name).key(KeySource::header(KEY))
}

/// The dead-letter queue has room for one. What comes after it waits, and its handler has done its work.
pub(crate) async fn what_cannot_be_copied_waits_and_does_not_run_again(bed: Arc<Bed>) {
    const BAD: usize = 5;

    let queue = bed.queue_name();
    let dead = format!("{queue}_dlq");
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register("bad", move |number: u32| async move {
            seen.note(format!("bad {number}"));
            Err::<(), _>(anyhow::anyhow!("no luck"))
        })
        .register("good", move |number: u32| async move {
            seen.note(format!("good {number}"));
        });
    // one slot: whoever waits for a copy must not hold it
    let set_up = queue_of(&queue)
        .concurrency(1)
        // what waits for its copy stays unsettled, and takes from what the consumer may hold
        .prefetch(64)
        .dead_letters(DeadLetters::default().max_length(1));
    let app = bed.start_queue(set_up, handlers).await;
    for number in 0..BAD {
        bed.send(&queue, "bad", number.to_string()).await;
    }
    for number in 0..BAD {
        assert_eq!(handled.next_note().await, format!("bad {number}"));
    }
    let health = app.health();
    eventually(DEADLINE, async || health.queues()[0].copies().is_some()).await;
    for number in 0..20 {
        bed.send(&queue, "good", number.to_string()).await;
        assert_eq!(handled.next_note().await, format!("good {number}"));
    }
    // each letter makes room for the next
    for _ in 0..BAD {
        let letter = bed.next(&dead).await;
        assert_eq!(letter.headers.get("ploomby-attempts"), Some(&Value::I64(1)));
    }
    app.shut_down().await.unwrap();
    assert!(handled.is_empty(), "no handler ran again");
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&dead).await);
}

/// What waits for its copy when the program stops goes back, and is not counted against it.
pub(crate) async fn what_waits_for_its_copy_goes_back_at_shutdown(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("bad", move || async move {
        seen.note("bad");
        Err::<(), _>(anyhow::anyhow!("no luck"))
    });
    let set_up = queue_of(&queue).dead_letters(DeadLetters::default().max_length(0));
    let app = bed.start_queue(set_up, handlers).await;
    bed.send(&queue, "bad", "1").await;
    assert_eq!(handled.next_note().await, "bad");
    let health = app.health();
    eventually(DEADLINE, async || health.queues()[0].copies().is_some()).await;
    app.shut_down().await.unwrap();
    assert_eq!(bed.ready_count(&queue).await, 1);
}

/// Whoever may publish writes any headers, and gets what an honest message gets.
pub(crate) async fn a_message_that_lies_about_its_past_is_tried_as_any_other(bed: Arc<Bed>) {
    const PAUSE: Duration = Duration::from_millis(50);

    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_retry_50ms"));
    let (seen, mut handled) = seen();
    let options = HandlerOptions::new().retry(Retry::fixed(3, PAUSE));
    let fail = move |Attempt(attempt): Attempt| async move {
        seen.note(attempt.to_string());
        Err::<(), _>(anyhow::anyhow!("no luck"))
    };
    let handlers = HandlerRegistry::new().register_with("fail", options, fail);
    let app = bed.start(&queue, handlers).await;
    let elsewhere = |name: &str, value: &str| (name.to_owned(), Value::from(value));
    let death = |queue: String, reason: &str| {
        Value::Array(vec![Value::Table(vec![
            elsewhere("queue", &queue),
            elsewhere("reason", reason),
        ])])
    };
    let lies: Vec<Vec<(&str, Value)>> = vec![
        vec![("ploomby-attempt", 1_000_000.into())],
        vec![("ploomby-attempt", (-1).into())],
        vec![("ploomby-attempt", "x".into())],
        vec![
            ("ploomby-attempt", 3.into()),
            ("ploomby-redeliveries", 15.into()),
        ],
        vec![
            ("ploomby-attempt", 3.into()),
            ("x-death", death("other_retry_50ms".to_owned(), "expired")),
        ],
        vec![
            ("ploomby-attempt", 3.into()),
            ("x-death", death(format!("{queue}_retry_50ms"), "rejected")),
        ],
        vec![
            ("ploomby-x-death", death(queue.clone(), "expired")),
            ("ploomby-redeliveries", i64::MAX.into()),
        ],
        vec![
            ("ploomby-expiration", "1".into()),
            ("ploomby-user-id", "root".into()),
        ],
    ];
    for lie in lies {
        let said = format!("{lie:?}");
        let mut message = Message::new("").with_header(KEY, "fail").unwrap();
        for (name, value) in lie {
            message = message.with_header(name, value).unwrap();
        }
        bed.publish_as_it_is(&queue, message).await;
        for attempt in ["1", "2", "3"] {
            assert_eq!(handled.next_note().await, attempt, "{said}");
        }
        let letter = bed.dead_letter(&queue).await;
        assert_eq!(
            letter.headers.get("ploomby-attempts"),
            Some(&Value::I64(3)),
            "{said}"
        );
        assert_eq!(letter.text("ploomby-reason"), "handler-error", "{said}");
    }
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
    assert!(bed.is_empty(&queue).await);
}

/// Small messages that become large take turns: none is condemned, and no more are unpacked than there is room for.
pub(crate) async fn bodies_that_unpack_to_much_take_turns(bed: Arc<Bed>) {
    const BOMBS: usize = 8;
    const LEN: usize = 15 * 1024 * 1024;
    // now, and at most
    let unpacked: &'static [AtomicUsize; 2] = Box::leak(Box::default());
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register("bomb", move |text: String| async move {
            let now = unpacked[0].fetch_add(1, SeqCst) + 1;
            unpacked[1].fetch_max(now, SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            unpacked[0].fetch_sub(1, SeqCst);
            seen.note(format!("bomb of {}", text.len()));
        })
        .register("good", move |number: u32| async move {
            seen.note(format!("good {number}"))
        });
    let set_up = queue_of(&queue).max_in_flight_bytes(32 * 1024 * 1024);
    let app = bed.start_queue(set_up, handlers).await;
    let body = super::payloads::gzip(format!("\"{}\"", "x".repeat(LEN)).as_bytes());
    for number in 0..BOMBS {
        let properties = Properties::new().with_content_encoding("gzip").unwrap();
        let bomb = Message::new(body.clone()).with_properties(properties);
        bed.publish(&queue, bomb.with_header(KEY, "bomb").unwrap())
            .await;
        bed.send(&queue, "good", number.to_string()).await;
    }
    let mut bombs = 0;
    for _ in 0..2 * BOMBS {
        let note = handled.next_note().await;
        bombs += usize::from(note == format!("bomb of {LEN}"));
    }
    assert_eq!(bombs, BOMBS);
    app.shut_down().await.unwrap();
    let most = unpacked[1].load(SeqCst);
    assert!(most <= 2, "{most}");
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}
