use std::sync::Arc;

use super::Dispatcher;
use crate::{
    delivery::{Delivery, DeliveryTag},
    settle::Acknowledger,
};

impl Dispatcher {
    /// Moves a message to where it is handled alone, at once: it waits for no slot, since it must not come back as it
    /// is. If it cannot be moved, it is handled as any other.
    pub(crate) fn set_aside<A: Acknowledger>(
        &self,
        delivery: Delivery,
        tag: DeliveryTag,
        acknowledger: Arc<A>,
    ) {
        let dispatcher = self.clone();
        self.consumer.tasks.spawn(async move {
            let settling = &dispatcher.queue.settling;
            if settling.set_aside(&delivery, &*acknowledger).await {
                return acknowledger.ack(tag).await;
            }
            let again = DeliveryTag::new(tag.get());
            let dispatching = dispatcher.dispatch(delivery, tag, &acknowledger);
            if dispatcher.unless_stopped(dispatching).await.is_none() {
                acknowledger.give_back(again).await;
            }
        });
    }
}
