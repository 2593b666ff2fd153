use std::sync::Arc;

use tokio::sync::Notify;

use super::{
    queue::Redelivered,
    state::{QueueId, Shared, State},
};
use crate::delivery::{Delivery, DeliveryTag, Published, Recycler};

/// A consumer's hold on a queue. Dropped, what it has not settled goes back to the queue.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: QueueId,
    pub(super) consumer: u64,
    wake: Arc<Notify>,
}

/// A message that is delivered, and not copied yet.
#[derive(Debug)]
pub(super) struct Fetched {
    tag: u64,
    redelivered: Redelivered,
    published: Arc<Published>,
}

/// The queue was deleted, and with it the consumer.
#[derive(Debug)]
pub(super) struct Cancelled;

impl Subscription {
    pub(super) fn new(
        shared: &Arc<Shared>,
        state: &mut State,
        queue: QueueId,
        served: (usize, i32),
    ) -> Self {
        let wake = Arc::new(Notify::new());
        Self {
            shared: shared.clone(),
            queue,
            consumer: state.attach(queue, served, wake.clone()),
            wake,
        }
    }

    /// Fetches all deliveries that there are, at least one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped: what is fetched is added in the last step.
    pub(super) async fn fetch(&self, fetched: &mut Vec<Fetched>) -> Result<(), Cancelled> {
        loop {
            self.try_fetch(fetched)?;
            if !fetched.is_empty() {
                return Ok(());
            }
            self.wake.notified().await;
        }
    }

    /// Nothing more is delivered; what is delivered can still be settled.
    pub(super) fn cancel(&self) {
        let mut state = self.shared.lock();
        if let Some(queue) = state.get_mut(self.queue) {
            queue.cancel(self.consumer);
            // the next one of a queue that serves one at a time
            state.pump(self.queue);
        }
    }

    /// Delivers again after [`cancel`](Self::cancel).
    pub(super) fn resume(&self, prefetch: usize) {
        let mut state = self.shared.lock();
        if let Some(queue) = state.get_mut(self.queue) {
            queue.resume(self.consumer, prefetch);
            state.pump(self.queue);
        }
    }

    fn try_fetch(&self, fetched: &mut Vec<Fetched>) -> Result<(), Cancelled> {
        let mut state = self.shared.lock();
        let queue = state.get_mut(self.queue).ok_or(Cancelled)?;
        let consumer = queue.consumer(self.consumer).ok_or(Cancelled)?;
        fetched.extend(consumer.fetch().map(|(tag, entry)| Fetched {
            tag,
            redelivered: entry.redelivered,
            published: entry.stored.published.clone(),
        }));
        Ok(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Some(queue) = state.get_mut(self.queue) {
            queue.detach(self.consumer);
            state.pump(self.queue);
        }
        state.stage.changed();
    }
}

impl Fetched {
    pub(super) fn into_delivery(self, recycler: &mut Recycler) -> (&Delivery, DeliveryTag) {
        let redelivered = self.redelivered == Redelivered::Yes;
        let delivery = recycler.plain(self.published, redelivered);
        (delivery, DeliveryTag::new(self.tag))
    }
}
