//! What the arguments of a queue mean to its messages and its consumers.

use std::{collections::BTreeSet, sync::Arc};

use ploomby::{HandlerRegistry, KeySource, Message, PublishError, Publisher, Queue, Value};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, seen};

/// What is above the limit counts as the limit, and what says nothing as zero.
pub(crate) async fn messages_of_a_higher_priority_come_first_in_their_order(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.declare(&queue, &[("x-max-priority", Value::I32(5))])
        .await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let sent = [
        ("a", Some(1)),
        ("b", None),
        ("c", Some(9)),
        ("d", Some(5)),
        ("e", Some(1)),
        ("f", Some(0)),
    ];
    for (body, priority) in sent {
        let mut message = publisher.to(&queue).body(body);
        if let Some(priority) = priority {
            message = message.priority(priority);
        }
        message.send().await.unwrap();
    }
    assert_eq!(bodies(&bed, &queue).await, ["c", "d", "a", "e", "b", "f"]);
}

pub(crate) async fn without_a_limit_the_priority_changes_nothing(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    for (body, priority) in [("a", 1), ("b", 9)] {
        let message = publisher.to(&queue).body(body).priority(priority);
        message.send().await.unwrap();
    }
    assert_eq!(bodies(&bed, &queue).await, ["a", "b"]);
}

/// As RabbitMQ warns.
pub(crate) async fn what_is_too_much_is_dropped_from_the_highest_priority_on(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let arguments = [
        ("x-max-priority", Value::I32(5)),
        ("x-max-length", Value::I32(2)),
    ];
    bed.declare(&queue, &arguments).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    for (body, priority) in [("a", 5), ("b", 1), ("c", 0)] {
        let message = publisher.to(&queue).body(body).priority(priority);
        message.send().await.unwrap();
    }
    eventually(DEADLINE, async || bed.ready_count(&queue).await == 2).await;
    assert_eq!(bodies(&bed, &queue).await, ["b", "c"]);
}

pub(crate) async fn what_is_too_long_altogether_is_dead_lettered_from_the_head(bed: Arc<Bed>) {
    let (queue, dropped) = (bed.queue_name(), bed.queue_name());
    bed.declare(&dropped, &[]).await;
    let arguments = [
        ("x-max-length-bytes", Value::I32(10)),
        ("x-dead-letter-exchange", "".into()),
        ("x-dead-letter-routing-key", dropped.as_str().into()),
    ];
    bed.declare(&queue, &arguments).await;
    for body in ["aaaa", "bbbb", "cc", "d", "eeeeeeeeeee"] {
        bed.publish(&queue, Message::new(body)).await;
    }
    eventually(DEADLINE, async || bed.ready_count(&dropped).await == 5).await;
    assert_eq!(
        bodies(&bed, &dropped).await,
        ["aaaa", "bbbb", "cc", "d", "eeeeeeeeeee"]
    );
    for body in ["aaaa", "bbbb", "cc", "d"] {
        bed.publish(&queue, Message::new(body)).await;
    }
    eventually(DEADLINE, async || bed.ready_count(&dropped).await == 1).await;
    assert_eq!(bodies(&bed, &queue).await, ["bbbb", "cc", "d"]);
}

pub(crate) async fn a_queue_that_is_full_by_its_bytes_rejects(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let arguments = [
        ("x-max-length-bytes", Value::I32(50)),
        ("x-overflow", "reject-publish".into()),
    ];
    bed.declare(&queue, &arguments).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let mut refused = 0;
    for _ in 0..20 {
        match publisher.to(&queue).body("0123456789").send().await {
            Ok(()) => {}
            Err(PublishError::Refused(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    // RabbitMQ may take one or two more than it should
    let there = bed.take_all(&queue).await.len();
    assert_eq!(there + refused, 20);
    assert!((5..10).contains(&there), "{there}");
}

/// Two programs: the other one is served once the first has gone.
pub(crate) async fn one_consumer_at_a_time_is_served(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let start = async |name: &'static str| {
        let note = move |number: u32| async move { seen.note(format!("{name} {number}")) };
        let options = Queue::new(&queue).key(KeySource::header(KEY)).prefetch(2);
        let handlers = HandlerRegistry::new().register("note", note);
        bed.start_queue(options.single_active_consumer(), handlers)
            .await
    };
    let first = start("first").await;
    let second = start("second").await;
    eventually(DEADLINE, async || bed.consumer_count(&queue).await == 2).await;
    let mut notes = BTreeSet::new();
    bed.send_numbers(&queue, "note", 0..20).await;
    for _ in 0..20 {
        notes.insert(handled.next_note().await);
    }
    let of = |name: &str| (0..20).map(|number| format!("{name} {number}")).collect();
    assert_eq!(notes, of("first"));
    first.shut_down().await.unwrap();
    bed.send_numbers(&queue, "note", 0..20).await;
    notes.clear();
    for _ in 0..20 {
        notes.insert(handled.next_note().await);
    }
    assert_eq!(notes, of("second"));
    second.shut_down().await.unwrap();
}

pub(crate) async fn an_argument_that_means_nothing_is_refused(bed: Arc<Bed>) {
    let refused = [
        ("x-max-priority", Value::I32(256), false),
        ("x-max-priority", Value::I32(5), true),
        ("x-single-active-consumer", "true".into(), false),
        ("x-max-length-bytes", Value::I32(-1), false),
    ];
    for (name, value, is_quorum) in refused {
        let mut queue = Queue::new(bed.queue_name()).queue_argument(name, value);
        if is_quorum {
            queue = queue.quorum();
        }
        let error = bed.refused(queue).await;
        assert!(error.contains(name), "{error}");
    }
}

async fn bodies(bed: &Bed, queue: &str) -> Vec<String> {
    let taken = bed.take_all(queue).await.into_iter();
    let bodies = taken.map(|message| String::from_utf8(message.body.clone()).unwrap());
    bodies.collect()
}
