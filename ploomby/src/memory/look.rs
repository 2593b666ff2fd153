use super::{broker::MemoryBroker, subscription::Subscription};
use crate::message::Message;

/// Messages of a queue that are held to be looked at, one after another. Dropped, it gives them back to their places.
#[derive(Debug)]
pub(crate) struct MemoryLook(Subscription);

impl MemoryBroker {
    /// Begins to look at a queue. Says how many messages are ready; None if there is no such queue.
    pub(crate) fn look(&self, queue: &str) -> Option<(MemoryLook, usize)> {
        let mut state = self.shared.lock();
        state.expire();
        let id = state.find(queue)?;
        let ready = state.queue(id).ready_count();
        // a consumer without a prefetch gets nothing by itself
        let subscription = Subscription::new(&self.shared, &mut state, id, (0, 0));
        Some((MemoryLook(subscription), ready))
    }
}

impl MemoryLook {
    /// Takes hold of the next message.
    pub(crate) fn next(&self) -> Option<(u64, Message)> {
        let look = &self.0;
        let mut state = look.shared.lock();
        state.expire();
        let queue = state.get_mut(look.queue)?;
        queue.hold_next(look.consumer)?;
        let (tag, entry) = queue.consumer(look.consumer)?.fetch().next()?;
        Some((tag, entry.stored.published.message.clone()))
    }

    /// Takes a message that is held out of the queue.
    pub(crate) fn ack(&self, tag: u64) {
        let look = &self.0;
        let mut state = look.shared.lock();
        let queue = state.get_mut(look.queue);
        let settled = queue.and_then(|queue| queue.consumer(look.consumer)?.settle(tag));
        drop(state);
        drop(settled);
    }
}
