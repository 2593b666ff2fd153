use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::*;
use crate::{
    Acknowledger, Delivery, DeliveryTag, HandlerRegistry, KeySource, Message, Rate,
    extract::{Batch, Key},
};

/// A source of the user's own, without messages.
struct Own(QueuePolicy);

struct OwnConsumer;

impl MessageConsumerFactory for Own {
    type Consumer = OwnConsumer;
    type Options = ();

    fn create(&self, _: &str, (): &()) -> Result<OwnConsumer, ConsumerError> {
        Ok(OwnConsumer)
    }

    fn policy(&self, (): &(), _: usize) -> QueuePolicy {
        self.0.clone()
    }
}

impl MessageConsumer for OwnConsumer {
    async fn connect(&mut self, _: &Dispatcher) -> Result<(), ConsumerError> {
        Ok(())
    }

    async fn consume(&mut self, _: Dispatcher) -> Result<(), ConsumerError> {
        pending().await
    }

    async fn disconnect(&mut self) {}
}

mod broken;

#[tokio::test]
async fn a_policy_of_zero_is_refused_whatever_the_source() {
    async fn all_at_once(_: Batch<u32>) {}

    let refused = [
        (QueuePolicy::new().concurrency(0), "concurrency"),
        (QueuePolicy::new().handler_concurrency(0), "concurrency"),
        (QueuePolicy::new().rate(Rate::per_second(0)), "rate"),
        (QueuePolicy::new().batch_size(0), "batch size"),
        (QueuePolicy::new().timeout(Duration::ZERO), "timeout"),
    ];
    for (policy, word) in refused {
        let handlers = HandlerRegistry::new().register("all", all_at_once);
        let mut consumers = MessageConsumerRegistry::new(handlers, Own(policy));
        let registered = consumers.register("q", KeySource::RoutingKey, 1, ());
        let error = registered.await.expect_err(word).to_string();
        assert!(error.contains(&format!("a {word} of 0")), "{error}");
    }
    let handlers = HandlerRegistry::new().register("all", all_at_once);
    let mut consumers = MessageConsumerRegistry::new(handlers, Own(QueuePolicy::new()));
    let registered = consumers.register("q", KeySource::RoutingKey, 1, ());
    registered.await.expect("the defaults are served");
}

/// What the source was told, in order.
#[derive(Default)]
struct Told(Mutex<Vec<(&'static str, u64)>>);

impl Told {
    fn note(&self, what: &'static str, tag: &DeliveryTag) {
        self.0
            .lock()
            .expect("nothing panics")
            .push((what, tag.get()));
    }
}

impl Acknowledger for Told {
    async fn ack(&self, tag: DeliveryTag) {
        self.note("ack", &tag);
    }

    async fn requeue(&self, tag: DeliveryTag) {
        self.note("requeue", &tag);
    }

    async fn retry(&self, _: Message, _: Duration) -> Result<(), ConsumerError> {
        Err(ConsumerError::new("no copies"))
    }

    async fn dead_letter(&self, _: Message) -> Result<(), ConsumerError> {
        Err(ConsumerError::new("no copies"))
    }
}

#[tokio::test]
async fn a_consumer_of_ones_own_goes_the_way_of_ploombys() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = {
        let seen = seen.clone();
        move |Key(key): Key, delivery: Delivery| {
            let seen = seen.clone();
            async move {
                let exchange = delivery.exchange().to_owned();
                let note = (key, exchange, delivery.is_redelivered());
                seen.lock().expect("nothing panics").push(note);
            }
        }
    };
    let handlers = HandlerRegistry::new().register("one", note.clone());
    let handlers = handlers.register("two", note);
    let key = KeySource::RoutingKey.reader().expect("no header");
    let dispatcher = Dispatcher::new(
        "q",
        key,
        &handlers,
        QueuePolicy::new().max_deliveries(None),
        Arc::default(),
    );
    let told = Arc::new(Told::default());

    let mut recycler = dispatcher.recycler();
    let delivery = recycler.delivery(Message::new("1"));
    delivery.set_address("shop", "one");
    let dispatched = dispatcher.dispatch_in_consume(delivery, DeliveryTag::new(1), &told);
    dispatched.await;
    // one that no recycler of the queue made
    let delivery = Delivery::new(Message::new("2"))
        .routed("", "two")
        .redelivered();
    let dispatched = dispatcher.dispatch_in_consume(&delivery, DeliveryTag::new(2), &told);
    dispatched.await;
    // it came back, and what may have ended a process is begun by a task of its own
    while told.0.lock().expect("nothing panics").len() < 2 {
        tokio::task::yield_now().await;
    }
    // one that was not begun
    dispatcher.give_back(DeliveryTag::new(3), &told).await;

    let expected = [("one", "shop", false), ("two", "", true)];
    let expected =
        expected.map(|(key, exchange, came_back)| (key.to_owned(), exchange.to_owned(), came_back));
    assert_eq!(*seen.lock().expect("nothing panics"), expected);
    let told = told.0.lock().expect("nothing panics").clone();
    assert_eq!(told, [("ack", 1), ("ack", 2), ("requeue", 3)]);
}
