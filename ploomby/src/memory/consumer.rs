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
    consumer::{MessageConsumer, companions::Companions},
    dispatcher::Dispatcher,
    settle::ConsumerError,
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
    companions: Arc<Companions>,
    prefetch: usize,
    subscription: Option<Subscription>,
}

impl MemoryConsumer {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: &str,
        arguments: QueueArguments,
        companions: Companions,
        prefetch: usize,
    ) -> Self {
        Self {
            shared,
            queue: queue.to_owned(),
            arguments,
            companions: Arc::new(companions),
            prefetch,
            subscription: None,
        }
    }

    async fn deliver(&mut self, dispatcher: &Dispatcher) {
        let mut fetched = Vec::with_capacity(self.prefetch);
        let mut recycler = dispatcher.recycler();
        loop {
            let subscription = match self.subscription.take() {
                Some(subscription) => subscription,
                None => self.subscribe(&mut self.shared.lock()),
            };
            let subscription = self.subscription.insert(subscription);
            let acknowledger = MemoryAcknowledger::new(subscription, &self.queue, &self.companions);
            let acknowledger = Arc::new(acknowledger);
            while subscription.fetch(&mut fetched).await.is_ok() {
                for fetched in fetched.drain(..) {
                    let (delivery, tag) = fetched.into_delivery(&mut recycler);
                    dispatcher
                        .dispatch_in_consume(delivery, tag, &acknowledger)
                        .await;
                }
                recycler.clear();
            }
            acknowledger.lose();
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
    async fn connect(&mut self, dispatcher: &Dispatcher) -> Result<(), ConsumerError> {
        let delays = dispatcher.retry_delays();
        self.companions.check(&delays).map_err(ConsumerError::new)?;
        let beside = self.companions.declared(&delays);
        // an older subscription ends before the lock is taken that it needs for that
        self.subscription = None;
        let mut state = self.shared.lock();
        for declared in &beside {
            QueueArguments::of(declared)
                .and_then(|arguments| state.declare(&declared.name, &arguments))
                .map_err(|error| {
                    ConsumerError::new(UnsafeQueue {
                        queue: declared.name.clone(),
                        error,
                    })
                })?;
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
            .field("companions", &self.companions)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

/// A queue of ours is not as ploomby declares it.
#[derive(Debug, Error)]
#[error(
    "queue '{queue}', which keeps messages that failed, exists with arguments of its own and might \
     drop what it is given: delete it, or choose another dead-letter queue with \
     `dead_letter_queue`, or another delay with `retry` ({error})"
)]
struct UnsafeQueue {
    queue: String,
    #[source]
    error: MemoryError,
}
