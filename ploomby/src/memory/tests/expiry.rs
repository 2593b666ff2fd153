use std::time::Duration;

use tokio::{
    runtime::{Builder, Runtime},
    time::sleep,
};

use super::*;
use crate::message::Properties;

fn expiring(body: &'static str, after: Duration) -> Message {
    Message::new(body).with_properties(Properties::new().with_expiration(after))
}

fn with_retry_queue(ttl: i32) -> MemoryBroker {
    let broker = broker();
    broker.declare_queue("q", []).unwrap();
    let retry = arguments([
        ("x-message-ttl", ttl.into()),
        ("x-dead-letter-exchange", "".into()),
        ("x-dead-letter-routing-key", "q".into()),
    ]);
    broker.declare_queue("q_retry", retry).unwrap();
    broker
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

/// Looks at a queue as no user can: without making anything expire.
fn ready_untouched(broker: &MemoryBroker, queue: &str) -> usize {
    let state = broker.shared.lock();
    state.queue(state.find(queue).unwrap()).ready_count()
}

#[tokio::test(start_paused = true)]
async fn a_retry_queue_that_nobody_uses_gives_its_messages_back_in_time() {
    let broker = with_retry_queue(1000);
    publish_all(&broker, "q_retry", &["a", "b"]);
    sleep(Duration::from_millis(999)).await;
    assert_eq!(ready_untouched(&broker, "q"), 0);
    sleep(Duration::from_millis(2)).await;
    assert_eq!(ready_untouched(&broker, "q"), 2);
    assert_eq!(get(&broker, "q").as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn the_shorter_of_two_ttls_counts_and_the_expiration_is_gone_afterwards() {
    let broker = with_retry_queue(1000);
    let message = expiring("a", Duration::from_millis(10))
        .with_header("kept", "yes")
        .unwrap();
    broker.publish("q_retry", message).unwrap();
    sleep(Duration::from_millis(11)).await;
    let message = broker.get("q").unwrap();
    assert_eq!(message.properties().expiration(), None);
    assert_eq!(message.headers().text("kept"), Some("yes"));
}

#[tokio::test(start_paused = true)]
async fn a_message_expires_only_at_the_head_of_its_queue() {
    let broker = broker();
    broker.declare_queue("q", []).unwrap();
    broker
        .publish("q", expiring("long", Duration::from_secs(10)))
        .unwrap();
    broker
        .publish("q", expiring("short", Duration::from_secs(1)))
        .unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(broker.ready_count("q"), 2);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(broker.ready_count("q"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_dead_letter_exchange_vanishes_when_it_expires() {
    let broker = broker();
    broker
        .declare_queue("q", arguments([("x-message-ttl", 0.into())]))
        .unwrap();
    publish_all(&broker, "q", &["a"]);
    assert_eq!(get(&broker, "q"), None);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_keep_their_routing_key_where_no_other_is_given_and_never_go_round() {
    let broker = broker();
    let ttl = [
        ("x-message-ttl", 1.into()),
        ("x-dead-letter-exchange", "".into()),
    ];
    broker.declare_queue("q", arguments(ttl)).unwrap();
    publish_all(&broker, "q", &["a"]);
    sleep(Duration::from_millis(5)).await;
    assert_eq!(broker.ready_count("q"), 0);

    let back = |to: &str| {
        arguments([
            ("x-message-ttl", 1.into()),
            ("x-dead-letter-exchange", "".into()),
            ("x-dead-letter-routing-key", to.into()),
        ])
    };
    broker.declare_queue("ping", back("pong")).unwrap();
    broker.declare_queue("pong", back("ping")).unwrap();
    publish_all(&broker, "ping", &["a"]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(broker.ready_count("pong"), 1);
    sleep(Duration::from_millis(5)).await;
    assert_eq!(broker.ready_count("ping") + broker.ready_count("pong"), 0);
}

#[test]
fn a_runtime_that_ended_leaves_nothing_stuck() {
    let broker = with_retry_queue(100);
    let ended = runtime();
    ended.block_on(async { publish_all(&broker, "q_retry", &["a"]) });
    drop(ended);
    runtime().block_on(async {
        publish_all(&broker, "q_retry", &["b"]);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(ready_untouched(&broker, "q"), 2);
    });
}

#[test]
fn what_was_published_outside_of_a_runtime_expires_when_somebody_looks() {
    let broker = with_retry_queue(1);
    publish_all(&broker, "q_retry", &["a"]);
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(broker.ready_count("q"), 1);
}

#[test]
fn the_timer_ends_when_nothing_can_expire_any_more() {
    let runtime = runtime();
    let broker = with_retry_queue(1000);
    runtime.block_on(async {
        let tasks = || runtime.metrics().num_alive_tasks();
        publish_all(&broker, "q_retry", &["a"]);
        assert_eq!(tasks(), 1);
        assert_eq!(get(&broker, "q_retry").as_deref(), Some("a"));
        tokio::task::yield_now().await;
        assert_eq!(tasks(), 0);

        publish_all(&broker, "q_retry", &["b"]);
        assert_eq!(tasks(), 1);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(tasks(), 0);
        assert_eq!(ready_untouched(&broker, "q"), 1);

        publish_all(&broker, "q_retry", &["c"]);
        broker.delete_queue("q_retry");
        tokio::task::yield_now().await;
        assert_eq!(tasks(), 0);
    });
}

#[tokio::test(start_paused = true)]
async fn a_shorter_wait_is_not_held_up_by_a_longer_one_in_another_queue() {
    let broker = broker();
    broker
        .declare_queue("slow", arguments([("x-message-ttl", 60_000.into())]))
        .unwrap();
    broker
        .declare_queue("quick", arguments([("x-message-ttl", 1_000.into())]))
        .unwrap();
    publish_all(&broker, "slow", &["a"]);
    publish_all(&broker, "quick", &["b"]);
    sleep(Duration::from_millis(1_001)).await;
    assert_eq!(ready_untouched(&broker, "quick"), 0);
    assert_eq!(ready_untouched(&broker, "slow"), 1);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(ready_untouched(&broker, "slow"), 0);
}

/// A queue in which messages wait for another one, which keeps what that one does not take.
fn declare_waiting(broker: &MemoryBroker, queue: &str) {
    let waiting = arguments([
        ("x-queue-type", "quorum".into()),
        ("x-message-ttl", 10.into()),
        ("x-dead-letter-exchange", "".into()),
        ("x-dead-letter-routing-key", queue.into()),
        ("x-dead-letter-strategy", "at-least-once".into()),
        ("x-overflow", "reject-publish".into()),
    ]);
    broker.declare_queue("waiting", waiting).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_a_queue_that_is_gone_is_kept_until_it_is_there() {
    let broker = broker();
    declare_waiting(&broker, "q");
    publish_all(&broker, "waiting", &["a", "b"]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(broker.ready_count("waiting"), 0);
    broker.declare_queue("other", []).unwrap();
    broker.declare_queue("q", []).unwrap();
    assert_eq!(get(&broker, "q").as_deref(), Some("a"));
    assert_eq!(get(&broker, "q").as_deref(), Some("b"));
    assert_eq!(get(&broker, "q"), None);
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_a_queue_that_is_full_is_kept_until_there_is_room() {
    let broker = broker();
    declare_waiting(&broker, "q");
    let full = arguments([
        ("x-max-length", 1.into()),
        ("x-overflow", "reject-publish".into()),
    ]);
    broker.declare_queue("q", full).unwrap();
    publish_all(&broker, "q", &["first"]);
    publish_all(&broker, "waiting", &["a", "b"]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    for body in ["first", "a", "b"] {
        assert_eq!(get(&broker, "q").as_deref(), Some(body));
    }
    assert_eq!(get(&broker, "q"), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_deleted_queue_kept_is_gone_with_it() {
    let broker = broker();
    declare_waiting(&broker, "q");
    publish_all(&broker, "waiting", &["a"]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    broker.delete_queue("waiting");
    broker.declare_queue("q", []).unwrap();
    assert_eq!(get(&broker, "q"), None);
}
