use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use futures_util::future::poll_immediate;
use tokio::sync::Semaphore;

use super::*;
use crate::{consumer::ConsumerError, key::KeySource, message::Message};

/// Its acknowledgements wait.
struct Slow {
    gate: Semaphore,
    acked: AtomicUsize,
}

impl Acknowledger for Slow {
    async fn ack(&self, _: DeliveryTag) {
        self.gate.acquire().await.unwrap().forget();
        self.acked.fetch_add(1, Relaxed);
    }

    async fn requeue(&self, _: DeliveryTag) {
        unreachable!("the handler takes the message")
    }

    async fn retry(&self, _: Message, _: Duration) -> Result<(), ConsumerError> {
        unreachable!("the handler takes the message")
    }

    async fn dead_letter(&self, _: Message) -> Result<(), ConsumerError> {
        unreachable!("the handler takes the message")
    }
}

#[tokio::test]
async fn a_shutdown_waits_for_an_acknowledger_that_waits() {
    let dispatcher = Dispatcher::new(
        "q",
        KeySource::RoutingKey.reader().unwrap(),
        &HandlerRegistry::new().register("work", async || {}),
        QueuePolicy::new(),
        Arc::default(),
    );
    let dispatcher = dispatcher.for_consumer();
    let acknowledger = Arc::new(Slow {
        gate: Semaphore::new(0),
        acked: AtomicUsize::new(0),
    });
    let delivery = Delivery::new(Message::default()).routed("", "work");
    let mut dispatching = pin!(dispatcher.dispatch(delivery, DeliveryTag::new(1), &acknowledger));
    assert!(poll_immediate(dispatching.as_mut()).await.is_none());
    dispatcher.stop();
    let mut drain = pin!(dispatcher.drain(Instant::now() + Duration::from_secs(60)));
    assert!(poll_immediate(drain.as_mut()).await.is_none());
    acknowledger.gate.add_permits(1);
    dispatching.await;
    assert!(drain.await.is_empty());
    assert_eq!(acknowledger.acked.load(Relaxed), 1);
}
