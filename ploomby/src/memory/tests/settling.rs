use std::sync::Arc;

use super::*;
use crate::{
    consumer::options::QueueOptions,
    delivery::{Delivery, DeliveryTag, Recycler},
    memory::{acknowledger::MemoryAcknowledger, subscription::Subscription},
    settle::Acknowledger,
    stage::Stage,
};

/// A consumer that a test drives step by step.
struct Manual {
    subscription: Subscription,
    acknowledger: Arc<MemoryAcknowledger>,
}

impl Manual {
    fn attach(broker: &MemoryBroker, prefetch: usize) -> Self {
        let mut state = broker.shared.lock();
        let queue = state.find("q").unwrap();
        let subscription = Subscription::new(&broker.shared, &mut state, queue, (prefetch, 0));
        drop(state);
        let companions = QueueOptions::default().companions("q").unwrap();
        let companions = Arc::new(companions);
        Self {
            acknowledger: Arc::new(MemoryAcknowledger::new(
                &subscription,
                "q",
                &companions,
                &Stage::default(),
            )),
            subscription,
        }
    }

    async fn deliveries(&self) -> Vec<(Delivery, DeliveryTag)> {
        let mut fetched = Vec::new();
        self.subscription.fetch(&mut fetched).await.unwrap();
        let mut recycler = Recycler::default();
        let fetched = fetched.into_iter();
        fetched
            .map(|fetched| {
                let (delivery, tag) = fetched.into_delivery(&mut recycler);
                (delivery.clone(), tag)
            })
            .collect()
    }

    /// The bodies, a mark at those that are redelivered.
    async fn bodies(&self) -> Vec<String> {
        let deliveries = self.deliveries().await;
        deliveries
            .iter()
            .map(|(delivery, _)| {
                let mark = if delivery.is_redelivered() { "!" } else { "" };
                format!("{}{mark}", std::str::from_utf8(delivery.body()).unwrap())
            })
            .collect()
    }

    async fn ack(&self, tag: u64) {
        self.acknowledger.ack(DeliveryTag::new(tag)).await;
    }

    async fn requeue(&self, tag: u64) {
        self.acknowledger.requeue(DeliveryTag::new(tag)).await;
    }
}

fn with_messages(bodies: &[&'static str]) -> MemoryBroker {
    let broker = broker();
    broker.declare_queue("q", []).unwrap();
    publish_all(&broker, "q", bodies);
    broker
}

#[tokio::test]
async fn consumers_are_served_in_turn_as_far_as_their_prefetch_allows() {
    let broker = with_messages(&[]);
    let one = Manual::attach(&broker, 1);
    let three = Manual::attach(&broker, 3);
    publish_all(&broker, "q", &["a", "b", "c", "d", "e", "f"]);
    assert_eq!(one.bodies().await, ["a"]);
    assert_eq!(three.bodies().await, ["b", "c", "d"]);
    assert_eq!(broker.ready_count("q"), 2);
    assert_eq!(broker.unacked_count("q"), 4);
    one.ack(1).await;
    assert_eq!(one.bodies().await, ["e"]);
}

#[tokio::test]
async fn a_delivery_carries_its_routing_key_and_counts_up_its_tag() {
    let broker = with_messages(&["a", "b"]);
    let consumer = Manual::attach(&broker, 2);
    let deliveries = consumer.deliveries().await;
    for ((delivery, tag), expected) in deliveries.iter().zip(1..) {
        assert_eq!(*tag, DeliveryTag::new(expected));
        assert_eq!((delivery.exchange(), delivery.routing_key()), ("", "q"));
    }
}

#[tokio::test]
async fn a_requeued_message_goes_to_its_place_and_is_marked() {
    let broker = with_messages(&["a", "b", "c", "d"]);
    let consumer = Manual::attach(&broker, 3);
    assert_eq!(consumer.bodies().await, ["a", "b", "c"]);
    consumer.subscription.cancel();
    consumer.requeue(3).await;
    consumer.requeue(2).await;
    consumer.ack(1).await;
    let next = Manual::attach(&broker, 9);
    assert_eq!(next.bodies().await, ["b!", "c!", "d"]);
}

#[tokio::test]
async fn what_a_consumer_has_not_settled_is_requeued_in_order_when_it_goes() {
    let broker = with_messages(&["a", "b", "c", "d"]);
    let consumer = Manual::attach(&broker, 3);
    consumer.ack(2).await;
    assert_eq!(broker.consumer_count("q"), 1);
    drop(consumer);
    assert_eq!(broker.consumer_count("q"), 0);
    let next = Manual::attach(&broker, 9);
    assert_eq!(next.bodies().await, ["a!", "c!", "d!"]);
}

#[tokio::test]
async fn a_tag_settles_one_delivery_once_and_nothing_in_a_queue_that_was_deleted() {
    let broker = with_messages(&["a", "b"]);
    let consumer = Manual::attach(&broker, 1);
    consumer.ack(1).await;
    consumer.ack(1).await;
    consumer.requeue(7).await;
    assert_eq!(broker.unacked_count("q"), 1);

    broker.delete_queue("q");
    broker.declare_queue("q", []).unwrap();
    let next = Manual::attach(&broker, 1);
    publish_all(&broker, "q", &["c"]);
    consumer.ack(1).await;
    consumer.requeue(2).await;
    drop(consumer);
    assert_eq!(broker.unacked_count("q"), 1);
    assert_eq!(next.bodies().await, ["c"]);
}

#[tokio::test]
async fn a_cancelled_consumer_gets_nothing_more_and_can_settle_what_it_has() {
    let broker = with_messages(&["a", "b"]);
    let consumer = Manual::attach(&broker, 1);
    consumer.subscription.cancel();
    assert_eq!(broker.consumer_count("q"), 0);
    consumer.ack(1).await;
    assert_eq!((broker.ready_count("q"), broker.unacked_count("q")), (1, 0));
}

#[tokio::test]
async fn a_waiting_consumer_is_woken_by_a_message_and_by_the_end_of_its_queue() {
    let broker = with_messages(&[]);
    let consumer = Manual::attach(&broker, 1);
    let (bodies, ()) = tokio::join!(consumer.bodies(), async {
        tokio::task::yield_now().await;
        publish_all(&broker, "q", &["a"]);
    });
    assert_eq!(bodies, ["a"]);
    let mut fetched = Vec::new();
    let (ended, ()) = tokio::join!(consumer.subscription.fetch(&mut fetched), async {
        tokio::task::yield_now().await;
        broker.delete_queue("q");
    });
    assert!(ended.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_expires_at_once_still_reaches_a_consumer_that_has_room() {
    let broker = broker();
    broker
        .declare_queue("q", arguments([("x-message-ttl", 0.into())]))
        .unwrap();
    let consumer = Manual::attach(&broker, 1);
    publish_all(&broker, "q", &["a", "b"]);
    assert_eq!(consumer.bodies().await, ["a"]);
    assert_eq!(broker.ready_count("q"), 0);
    // requeued, its time is over
    consumer.requeue(1).await;
    assert_eq!((broker.ready_count("q"), broker.unacked_count("q")), (0, 0));
}

#[tokio::test]
async fn a_dead_letter_queue_that_is_gone_is_declared_again_and_a_full_one_is_an_error() {
    let broker = with_messages(&[]);
    let consumer = Manual::attach(&broker, 1);
    consumer
        .acknowledger
        .dead_letter(Message::new("kept"))
        .await
        .unwrap();
    assert_eq!(get(&broker, "q_dlq").as_deref(), Some("kept"));

    broker.delete_queue("q_dlq");
    let full = [
        ("x-max-length", 0.into()),
        ("x-overflow", "reject-publish".into()),
    ];
    broker.declare_queue("q_dlq", arguments(full)).unwrap();
    assert!(
        consumer
            .acknowledger
            .dead_letter(Message::new("lost"))
            .await
            .is_err()
    );
}
