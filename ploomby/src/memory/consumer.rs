use std::{fmt, future::pending, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::time::sleep;
use tracing::warn;

use super::{
    acknowledger::MemoryAcknowledger,
    arguments::QueueArguments,
    error::MemoryError,
    state::{Shared, State},
    subscription::Subscription,
};
use crate::{
    consumer::{Declare, MessageConsumer, companions::Companions, options::QueueOptions},
    dispatcher::Dispatcher,
    settle::ConsumerError,
    stage::Present,
    topology::Wiring,
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
    wiring: Wiring,
    prefetch: u16,
    /// The program says how many: then it is not fitted to the concurrency.
    is_prefetch_chosen: bool,
    /// Among the consumers of the queue.
    priority: i32,
    declare: Declare,
    subscription: Option<Subscription>,
    /// As long as it may have a subscription.
    present: Option<Present>,
}

impl MemoryConsumer {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: &str,
        arguments: QueueArguments,
        (companions, wiring): (Companions, Wiring),
        options: &QueueOptions,
    ) -> Self {
        Self {
            shared,
            queue: queue.to_owned(),
            arguments,
            companions: Arc::new(companions),
            wiring,
            prefetch: options.prefetch,
            is_prefetch_chosen: options.is_prefetch_chosen,
            priority: options.consumer_priority.unwrap_or_default(),
            declare: options.declare.unwrap_or_default(),
            subscription: None,
            present: None,
        }
    }

    async fn deliver(&mut self, dispatcher: &Dispatcher) {
        let mut fetched = Vec::with_capacity(self.prefetch.into());
        let mut recycler = dispatcher.recycler();
        let mut lost = None;
        loop {
            let subscription = match self.subscription.take() {
                Some(subscription) => subscription,
                None => self.when_it_is_there(dispatcher).await,
            };
            let subscription = self.subscription.insert(subscription);
            let stage = dispatcher.stage();
            let acknowledger =
                MemoryAcknowledger::new(subscription, &self.queue, &self.companions, stage);
            let acknowledger = Arc::new(acknowledger);
            drop(lost.take());
            let mut rests = false;
            loop {
                // cancel safety: what is fetched is added in the last step
                tokio::select! {
                    biased;
                    () = dispatcher.rest_changed(rests) => {
                        rests = !rests;
                        if rests {
                            subscription.cancel();
                        } else {
                            subscription.resume(self.prefetch.into());
                        }
                        continue;
                    }
                    is_there = subscription.fetch(&mut fetched) => {
                        if is_there.is_err() {
                            break;
                        }
                    }
                }
                let _at_work = stage.at_work();
                for fetched in fetched.drain(..) {
                    let (delivery, tag) = fetched.into_delivery(&mut recycler);
                    dispatcher
                        .dispatch_in_consume(delivery, tag, &acknowledger)
                        .await;
                }
                recycler.clear();
            }
            acknowledger.lose();
            lost = acknowledger.cut_off();
            if lost.is_none() {
                warn!(
                    queue = self.queue,
                    "the queue was deleted: declaring it again"
                );
            }
            self.subscription = None;
        }
    }

    /// Subscribes, once the queue is there or may be declared.
    async fn when_it_is_there(&self, dispatcher: &Dispatcher) -> Subscription {
        /// How often it is looked for.
        const LOOK: Duration = Duration::from_millis(100);

        while self.is_waited_for(&self.shared.lock()) {
            dispatcher.not_consuming(MISSING);
            sleep(LOOK).await;
        }
        loop {
            let subscribed = self.subscribe(&mut self.shared.lock());
            match subscribed {
                Ok(subscription) => {
                    dispatcher.consuming();
                    return subscription;
                }
                // somebody has made an exchange of another type, or deleted one that is not ours
                Err(error) => dispatcher.not_consuming(&error),
            }
            sleep(LOOK).await;
        }
    }

    /// Whether the queue is missing, and is not to be declared.
    fn is_waited_for(&self, state: &State) -> bool {
        self.declare == Declare::Never && state.find(&self.queue).is_none()
    }

    fn subscribe(&self, state: &mut State) -> Result<Subscription, MemoryError> {
        let is_declaring = self.declare != Declare::Never;
        if is_declaring {
            state.wire(&self.wiring, self.declare)?;
        }
        let queue = match self.declare {
            Declare::All => state.declare(&self.queue, &self.arguments)?,
            _ => state.declare_if_missing(&self.queue, &self.arguments),
        };
        if is_declaring {
            state.bind(&self.queue, &self.wiring)?;
        }
        let served = (self.prefetch.into(), self.priority);
        Ok(Subscription::new(&self.shared, state, queue, served))
    }
}

impl MessageConsumer for MemoryConsumer {
    async fn connect(&mut self, dispatcher: &Dispatcher) -> Result<(), ConsumerError> {
        let delays = dispatcher.retry_delays();
        self.companions.check(&delays).map_err(ConsumerError::new)?;
        self.present = Some(dispatcher.stage().present());
        if !self.is_prefetch_chosen {
            self.prefetch = dispatcher.window(self.prefetch);
        }
        let beside = self.companions.declared(&delays);
        // an older subscription ends before the lock is taken that it needs for that
        self.subscription = None;
        let mut state = self.shared.lock();
        let beside = match self.declare {
            Declare::Never => Vec::new(),
            _ => beside,
        };
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
        if self.is_waited_for(&state) {
            drop(state);
            dispatcher.not_consuming(MISSING);
            return Ok(());
        }
        let subscribed = self.subscribe(&mut state);
        self.subscription = Some(subscribed.map_err(ConsumerError::new)?);
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

const MISSING: &str = "the queue is not there, and is not to be declared: waiting for it";

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
