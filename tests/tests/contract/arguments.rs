//! What the arguments of a queue mean to its messages and its consumers.

use std::{collections::BTreeSet, sync::Arc};

use ploomby::{HandlerRegistry, KeySource, Message, PublishError, Publisher, Queue, Value};
use ploomby_tests::{Bed, DEADLINE, KEY, RawClient, eventually, rabbit, seen};
use tokio::{sync::Semaphore, task::spawn_blocking};

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

/// Neither publishing nor looking is a use, as both would be for a queue that somebody looks at to see whether it is there.
pub(crate) async fn a_queue_that_nobody_uses_expires_with_its_messages(bed: Arc<Bed>) {
    let (queue, dead) = (bed.queue_name(), bed.queue_name());
    bed.declare(&dead, &[]).await;
    let arguments = [
        ("x-expires", Value::I32(300)),
        ("x-dead-letter-exchange", "".into()),
        ("x-dead-letter-routing-key", dead.as_str().into()),
    ];
    bed.declare(&queue, &arguments).await;
    bed.publish(&queue, Message::new("gone")).await;
    until_expired(&bed, &queue).await;
    // they are no dead letters
    assert_eq!(bed.ready_count(&dead).await, 0);
}

pub(crate) async fn a_queue_that_is_consumed_does_not_expire(bed: Arc<Bed>) {
    let (queue, other) = (bed.queue_name(), bed.queue_name());
    let (seen, mut handled) = seen();
    let note = move |number: u32| async move { seen.note(number.to_string()) };
    let options = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .queue_argument("x-expires", 300);
    let handlers = HandlerRegistry::new().register("note", note);
    let app = bed.start_queue(options, handlers).await;
    // twice as long
    bed.declare(&other, &[("x-expires", Value::I32(600))]).await;
    until_expired(&bed, &other).await;
    bed.send(&queue, "note", "1").await;
    assert_eq!(handled.next_note().await, "1");
    app.shut_down().await.unwrap();
    until_expired(&bed, &queue).await;
}

async fn until_expired(bed: &Bed, queue: &str) {
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    eventually(DEADLINE, async || {
        let sent = publisher.to(queue).body("here?").send().await;
        matches!(sent, Err(PublishError::Unroutable(_)))
    })
    .await;
}

/// Those of a lower priority get what the others have no room for.
pub(crate) async fn consumers_of_a_higher_priority_are_served_first(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let start = async |name: &'static str, priority: Option<i32>| {
        let note = move |number: u32| async move {
            seen.note(format!("{name} {number}"));
            gate.acquire().await.unwrap().forget();
        };
        let mut options = Queue::new(&queue).key(KeySource::header(KEY)).prefetch(2);
        if let Some(priority) = priority {
            options = options.consumer_priority(priority);
        }
        let handlers = HandlerRegistry::new().register("note", note);
        bed.start_queue(options, handlers).await
    };
    let spare = start("spare", Some(-1)).await;
    let plain = start("plain", None).await;
    let first = start("first", Some(5)).await;
    eventually(DEADLINE, async || bed.consumer_count(&queue).await == 3).await;
    let mut notes = Vec::new();
    for number in 0..6 {
        bed.send(&queue, "note", number.to_string()).await;
        notes.push(handled.next_note().await);
    }
    let expected = [
        "first 0", "first 1", "plain 2", "plain 3", "spare 4", "spare 5",
    ];
    assert_eq!(notes, expected);
    gate.add_permits(1000);
    for app in [spare, plain, first] {
        app.shut_down().await.unwrap();
    }
}

/// The one that is served stays so, whoever comes later.
pub(crate) async fn the_next_single_active_consumer_is_that_of_the_highest_priority(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let start = async |name: &'static str, priority: i32| {
        let note = move |number: u32| async move { seen.note(format!("{name} {number}")) };
        let options = Queue::new(&queue).key(KeySource::header(KEY));
        let options = options.single_active_consumer().consumer_priority(priority);
        let handlers = HandlerRegistry::new().register("note", note);
        bed.start_queue(options, handlers).await
    };
    let first = start("first", 0).await;
    let second = start("second", 1).await;
    let third = start("third", 2).await;
    eventually(DEADLINE, async || bed.consumer_count(&queue).await == 3).await;
    bed.send(&queue, "note", "1").await;
    assert_eq!(handled.next_note().await, "first 1");
    first.shut_down().await.unwrap();
    bed.send(&queue, "note", "2").await;
    assert_eq!(handled.next_note().await, "third 2");
    third.shut_down().await.unwrap();
    bed.send(&queue, "note", "3").await;
    assert_eq!(handled.next_note().await, "second 3");
    second.shut_down().await.unwrap();
}

/// From RabbitMQ 4.0 on: one of normal priority comes after two of a high one, if it is older. Before, it means nothing.
pub(crate) async fn a_quorum_queue_has_two_priorities(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.declare(&queue, &[("x-queue-type", "quorum".into())])
        .await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let sent = [
        ("a", None),
        ("b", Some(4)),
        ("c", Some(5)),
        ("d", Some(9)),
        ("e", Some(5)),
        ("f", Some(255)),
        ("g", Some(6)),
    ];
    for (body, priority) in sent {
        let mut message = publisher.to(&queue).body(body);
        if let Some(priority) = priority {
            message = message.priority(priority);
        }
        message.send().await.unwrap();
    }
    let has_none = !bed.is_memory() && is_version_3().await;
    let expected = match has_none {
        true => ["a", "b", "c", "d", "e", "f", "g"],
        false => ["c", "d", "a", "e", "f", "b", "g"],
    };
    assert_eq!(bodies(&bed, &queue).await, expected);
}

pub(crate) async fn an_argument_that_means_nothing_is_refused(bed: Arc<Bed>) {
    let refused = [
        ("x-max-priority", Value::I32(256), false),
        ("x-max-priority", Value::I32(5), true),
        ("x-single-active-consumer", "true".into(), false),
        ("x-max-length-bytes", Value::I32(-1), false),
        ("x-expires", Value::I32(0), false),
        ("x-expires", Value::I32(-1), true),
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

async fn is_version_3() -> bool {
    let rabbit = rabbit().await;
    let asked = spawn_blocking(|| RawClient::connect(rabbit).is_version_3());
    asked.await.unwrap()
}

async fn bodies(bed: &Bed, queue: &str) -> Vec<String> {
    let taken = bed.take_all(queue).await.into_iter();
    let bodies = taken.map(|message| String::from_utf8(message.body.clone()).unwrap());
    bodies.collect()
}
