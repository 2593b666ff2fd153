use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;
use crate::{
    HandlerRegistry, KeySource, MessageConsumerRegistry, Outcome,
    extract::{RawBody, Redelivered},
};

type Consumers = MessageConsumerRegistry<MemoryConsumerFactory>;

async fn consume(
    broker: &MemoryBroker,
    handlers: HandlerRegistry,
    consumers_count: usize,
    options: MemoryOptions,
) -> Consumers {
    let factory = MemoryConsumerFactory::new(&format!("memory://{}", broker.name())).unwrap();
    let mut consumers = MessageConsumerRegistry::new(handlers, factory);
    consumers
        .register("q", KeySource::RoutingKey, consumers_count, options)
        .await
        .unwrap();
    consumers
}

#[tokio::test]
async fn messages_reach_their_handler_and_are_acknowledged() {
    let broker = broker();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let handlers = HandlerRegistry::new().register("q", move || {
        counter.fetch_add(1, Ordering::Relaxed);
        async {}
    });
    let mut consumers = consume(&broker, handlers, 3, MemoryOptions::new()).await;
    assert_eq!(broker.consumer_count("q"), 3);
    for _ in 0..1000 {
        broker.publish("q", Message::new("")).unwrap();
    }
    eventually(|| count.load(Ordering::Relaxed) == 1000).await;
    eventually(|| broker.unacked_count("q") == 0).await;
    consumers.disconnect_consumers().await.unwrap();
    assert_eq!(broker.consumer_count("q"), 0);
}

#[tokio::test]
async fn a_queue_that_is_deleted_is_declared_again_and_consumed() {
    let broker = broker();
    let handlers = HandlerRegistry::new().register("q", async || {});
    let ttl = ("x-max-length".to_owned(), Value::from(10));
    let options = MemoryOptions::new().queue_argument(&ttl.0, ttl.1.clone());
    let mut consumers = consume(&broker, handlers, 1, options).await;
    broker.delete_queue("q");
    eventually(|| broker.consumer_count("q") == 1).await;
    broker.declare_queue("q", [ttl]).unwrap();
    broker.publish("q", Message::new("")).unwrap();
    eventually(|| broker.ready_count("q") + broker.unacked_count("q") == 0).await;
    consumers.disconnect_consumers().await.unwrap();
}

#[tokio::test]
async fn a_queue_that_exists_is_consumed_as_it_is() {
    let broker = broker();
    broker
        .declare_queue("q", arguments([("x-max-length", 5.into())]))
        .unwrap();
    let handlers = HandlerRegistry::new().register("q", async || {});
    let mut consumers = consume(&broker, handlers, 1, MemoryOptions::new()).await;
    assert_eq!(broker.consumer_count("q"), 1);
    consumers.disconnect_consumers().await.unwrap();
}

#[tokio::test]
async fn a_dead_letter_queue_with_arguments_is_a_startup_error() {
    let broker = broker();
    broker
        .declare_queue("q_dlq", arguments([("x-message-ttl", 1.into())]))
        .unwrap();
    let factory = MemoryConsumerFactory::new(&format!("memory://{}", broker.name())).unwrap();
    let handlers = HandlerRegistry::new().register("q", async || {});
    let mut consumers = MessageConsumerRegistry::new(handlers, factory);
    let error = consumers
        .register("q", KeySource::RoutingKey, 1, MemoryOptions::new())
        .await
        .unwrap_err()
        .to_string();
    for part in [
        "'q_dlq'",
        "x-message-ttl",
        "`dead_letter_queue`",
        "delete it",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!broker.queue_exists("q"));
}

#[tokio::test]
async fn a_message_that_cannot_be_handled_goes_to_the_dead_letter_queue() {
    let broker = broker();
    let handlers = HandlerRegistry::new().register("other", async || {});
    let options = MemoryOptions::new().dead_letter_queue("parked");
    let mut consumers = consume(&broker, handlers, 1, options).await;
    publish_all(&broker, "q", &["body"]);
    eventually(|| broker.ready_count("parked") == 1).await;
    consumers.disconnect_consumers().await.unwrap();
    let message = broker.get("parked").unwrap();
    assert_eq!(message.body(), "body");
    assert_eq!(
        message.headers().text("ploomby-reason"),
        Some("unknown-key")
    );
    assert_eq!(broker.ready_count("q") + broker.unacked_count("q"), 0);
}

#[tokio::test]
async fn a_requeued_message_comes_again_marked_as_redelivered() {
    let broker = broker();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let handler = move |RawBody(body): RawBody, Redelivered(again): Redelivered| {
        log.lock().unwrap().push((body, again));
        async move {
            if again {
                Outcome::Ack
            } else {
                Outcome::Requeue
            }
        }
    };
    let handlers = HandlerRegistry::new().register("q", handler);
    let mut consumers = consume(&broker, handlers, 1, MemoryOptions::new()).await;
    publish_all(&broker, "q", &["a"]);
    eventually(|| seen.lock().unwrap().len() == 2).await;
    consumers.disconnect_consumers().await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [("a".into(), false), ("a".into(), true)]
    );
    assert_eq!(broker.ready_count("q"), 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_gives_back_what_was_not_started_and_what_was_cut_off() {
    let broker = broker();
    let started = Arc::new(AtomicUsize::new(0));
    let counter = started.clone();
    let handlers = HandlerRegistry::new().register("q", move || {
        counter.fetch_add(1, Ordering::Relaxed);
        pending::<()>()
    });
    let options = MemoryOptions::new().prefetch(3).concurrency(1);
    let mut consumers = consume(&broker, handlers, 1, options).await;
    publish_all(&broker, "q", &["a", "b", "c", "d"]);
    eventually(|| started.load(Ordering::Relaxed) == 1).await;
    assert_eq!((broker.ready_count("q"), broker.unacked_count("q")), (1, 3));
    assert!(consumers.disconnect_consumers().await.is_err());
    assert_eq!((broker.ready_count("q"), broker.unacked_count("q")), (4, 0));
    assert_eq!(get(&broker, "q").as_deref(), Some("a"));
}
