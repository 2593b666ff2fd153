use std::{fmt, future::pending, sync::Arc};

use thiserror::Error;
use tracing::warn;

use super::{
    acknowledger::MemoryAcknowledger,
    arguments::QueueArguments,
    error::MemoryError,
    state::{Shared, State},
    subscription::Subscription,
};
use crate::{
    consumer::{ConsumerError, MessageConsumer},
    delivery::Delivery,
    dispatcher::Dispatcher,
};

/// Consumes a queue of the memory broker; [`MemoryConsumerFactory`] makes it.
///
/// A queue that exists is consumed as it is. One that is deleted meanwhile is declared again, as
/// with RabbitMQ.
///
/// [`MemoryConsumerFactory`]: super::MemoryConsumerFactory
pub struct MemoryConsumer {
    shared: Arc<Shared>,
    queue: String,
    arguments: QueueArguments,
    dead_letter_queue: String,
    prefetch: usize,
    subscription: Option<Subscription>,
}

impl MemoryConsumer {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: &str,
        arguments: QueueArguments,
        dead_letter_queue: String,
        prefetch: usize,
    ) -> Self {
        Self {
            shared,
            queue: queue.to_owned(),
            arguments,
            dead_letter_queue,
            prefetch,
            subscription: None,
        }
    }

    async fn deliver(&mut self, dispatcher: &Dispatcher) {
        let mut fetched = Vec::with_capacity(self.prefetch);
        loop {
            let subscription = match self.subscription.take() {
                Some(subscription) => subscription,
                None => self.subscribe(&mut self.shared.lock()),
            };
            let subscription = self.subscription.insert(subscription);
            let acknowledger = MemoryAcknowledger::new(subscription, &self.dead_letter_queue);
            let acknowledger = Arc::new(acknowledger);
            while subscription.fetch(&mut fetched).await.is_ok() {
                for fetched in fetched.drain(..) {
                    dispatcher
                        .dispatch(Delivery::from(fetched), &acknowledger)
                        .await;
                }
            }
            warn!(
                queue = self.queue,
                "the queue was deleted: declaring it again"
            );
            self.subscription = None;
        }
    }

    fn subscribe(&self, state: &mut State) -> Subscription {
        let queue = state.declare_if_missing(&self.queue, &self.arguments);
        Subscription::new(&self.shared, state, queue, self.prefetch)
    }
}

impl MessageConsumer for MemoryConsumer {
    async fn connect(&mut self) -> Result<(), ConsumerError> {
        // an older subscription ends before the lock is taken that it needs for that
        self.subscription = None;
        let mut state = self.shared.lock();
        let arguments = QueueArguments::default();
        if let Err(error) = state.declare(&self.dead_letter_queue, &arguments) {
            return Err(ConsumerError::new(UnsafeDeadLetterQueue {
                queue: self.dead_letter_queue.clone(),
                error,
            }));
        }
        self.subscription = Some(self.subscribe(&mut state));
        Ok(())
    }

    async fn consume(&mut self, dispatcher: Dispatcher) -> Result<(), ConsumerError> {
        // cancel safety: a delivery that is dropped before its handler runs stays unsettled, and
        // `disconnect` requeues it
        tokio::select! {
            biased;
            () = dispatcher.stopped() => {}
            () = self.deliver(&dispatcher) => {}
        }
        if let Some(subscription) = &self.subscription {
            subscription.cancel();
        }
        pending().await
    }

    async fn disconnect(&mut self) {
        self.subscription = None;
    }
}

impl fmt::Debug for MemoryConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConsumer")
            .field("queue", &self.queue)
            .field("dead_letter_queue", &self.dead_letter_queue)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

/// The dead-letter queue is not as ploomby declares it.
#[derive(Debug, Error)]
#[error(
    "dead-letter queue '{queue}' exists with arguments of its own and might drop what it is given: \
     delete it, or choose another with `dead_letter_queue` ({error})"
)]
struct UnsafeDeadLetterQueue {
    queue: String,
    #[source]
    error: MemoryError,
}
