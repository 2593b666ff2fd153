use std::{future::ready, sync::Arc};

use super::{
    arguments::QueueArguments,
    queue::{Entry, Queue},
    state::{QueueId, Shared},
    stored::Stored,
    subscription::Subscription,
};
use crate::{
    consumer::{Acknowledger, ConsumerError},
    delivery::DeliveryTag,
    message::Message,
};

/// Settles the deliveries of one subscription. Once that has ended, its tags mean nothing any more.
#[derive(Debug)]
pub(super) struct MemoryAcknowledger {
    shared: Arc<Shared>,
    queue: QueueId,
    consumer: u64,
    dead_letter_queue: String,
}

impl MemoryAcknowledger {
    pub(super) fn new(subscription: &Subscription, dead_letter_queue: &str) -> Self {
        Self {
            shared: subscription.shared.clone(),
            queue: subscription.queue,
            consumer: subscription.consumer,
            dead_letter_queue: dead_letter_queue.to_owned(),
        }
    }

    /// Takes a delivery from the consumer, which has room for another then.
    fn settle(&self, tag: u64, then: impl FnOnce(&mut Queue, Entry) -> Option<Entry>) {
        let mut state = self.shared.lock();
        let Some(queue) = state.get_mut(self.queue) else {
            return;
        };
        let settled = queue
            .consumer(self.consumer)
            .and_then(|consumer| consumer.settle(tag));
        let done = settled.and_then(|entry| then(queue, entry));
        if queue.ready_count() > 0 {
            state.pump(self.queue);
        }
        // a message is taken apart without the others waiting
        drop(state);
        drop(done);
    }
}

impl Acknowledger for MemoryAcknowledger {
    fn ack(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send {
        self.settle(tag.get(), |_, entry| Some(entry));
        ready(())
    }

    fn requeue(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send {
        self.settle(tag.get(), |queue, entry| {
            queue.requeue(entry);
            None
        });
        ready(())
    }

    async fn dead_letter(&self, copy: Message) -> Result<(), ConsumerError> {
        let stored = Stored::new(&self.dead_letter_queue, copy).map_err(ConsumerError::new)?;
        let mut state = self.shared.lock();
        state.declare_if_missing(&self.dead_letter_queue, &QueueArguments::default());
        state.publish(stored).map_err(ConsumerError::new)
    }
}
