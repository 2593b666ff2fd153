//! Delivers a message to the handlers of this program, and tells how it was settled.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ploomby::{
    Acknowledger, ConsumerError, Delivery, DeliveryTag, Dispatcher, HandlerRegistry, KeySource,
    Message, MessageConsumer, MessageConsumerFactory, MessageConsumerRegistry,
};

/// What a source was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The handler was called and is done.
    Acked,
    /// The message is delivered again.
    Requeued,
    /// The message is delivered again after a while.
    Retried(Duration),
    /// Why the message was not handled.
    DeadLettered(String),
}

/// Delivers a message with this key and this body.
#[must_use]
pub(crate) fn deliver(key: &str, body: &str) -> Settled {
    let message = Message::new(body.to_owned())
        .with_header("task_name", key)
        .expect("a short name");
    let settled = Arc::default();
    let once = Once {
        message,
        settled: Arc::clone(&settled),
    };
    let mut consumers = MessageConsumerRegistry::new(HandlerRegistry::linked(), once)
        // for handlers that take it
        .state(7_u32);
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(async {
            let key = KeySource::header("task_name");
            consumers
                .register("queue", key, 1, ())
                .await
                .expect("handlers");
            consumers.wait().await.expect("a consumer that cannot fail");
        });
    let settled = settled.lock().expect("no panic").clone();
    settled.expect("settled once the consumer is done")
}

/// A source of one message.
#[derive(Clone)]
struct Once {
    message: Message,
    settled: Arc<Mutex<Option<Settled>>>,
}

impl Once {
    fn settle(&self, how: Settled) {
        self.settled.lock().expect("no panic").get_or_insert(how);
    }
}

impl MessageConsumerFactory for Once {
    type Consumer = Self;
    type Options = ();

    fn create(&self, _: &str, (): &()) -> Result<Self, ConsumerError> {
        Ok(self.clone())
    }
}

impl MessageConsumer for Once {
    async fn connect(&mut self, _: &Dispatcher) -> Result<(), ConsumerError> {
        Ok(())
    }

    async fn consume(&mut self, dispatcher: Dispatcher) -> Result<(), ConsumerError> {
        let delivery = Delivery::new(self.message.clone());
        let acknowledger = Arc::new(self.clone());
        dispatcher
            .dispatch(delivery, DeliveryTag::new(1), &acknowledger)
            .await;
        Ok(())
    }

    async fn disconnect(&mut self) {}
}

impl Acknowledger for Once {
    async fn ack(&self, _: DeliveryTag) {
        self.settle(Settled::Acked);
    }

    async fn requeue(&self, _: DeliveryTag) {
        self.settle(Settled::Requeued);
    }

    async fn retry(&self, _: Message, delay: Duration) -> Result<(), ConsumerError> {
        self.settle(Settled::Retried(delay));
        Ok(())
    }

    async fn dead_letter(&self, copy: Message) -> Result<(), ConsumerError> {
        let header = |name| copy.headers().text(name).unwrap_or_default().to_owned();
        let (reason, error) = (header("ploomby-reason"), header("ploomby-error"));
        self.settle(Settled::DeadLettered(format!("{reason}: {error}")));
        Ok(())
    }
}
