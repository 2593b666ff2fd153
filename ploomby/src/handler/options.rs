use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{OrderBy, QueuePolicy, Rate};
use crate::{
    brake::{Brake, Settings},
    layer::{HandlerLayer, Layers},
    settle::Retry,
};

pub(super) mod values;

/// How one handler is run, where it differs from what its queue says.
///
/// The attribute takes the same: `#[handler("charge", retry = 5, timeout = "10s")]`.
///
/// ```
/// use std::time::Duration;
/// use ploomby::{HandlerOptions, HandlerRegistry, Retry};
///
/// async fn charge(cents: u64) {
///     println!("{cents} charged");
/// }
///
/// let options = HandlerOptions::new()
///     .retry(Retry::exponential(5))
///     .timeout(Duration::from_secs(10));
/// let handlers = HandlerRegistry::new().register_with("charge", options, charge);
/// ```
#[derive(Clone, Debug, Default)]
pub struct HandlerOptions {
    pub(crate) queue: Option<String>,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) braking: Settings,
    pub(crate) concurrency: Option<usize>,
    pub(crate) rate: Option<Rate>,
    pub(crate) ordered_by: Option<OrderBy>,
    pub(crate) batch_size: Option<usize>,
    pub(crate) batch_wait: Option<Duration>,
    pub(crate) layers: Layers,
    #[cfg(feature = "asyncapi")]
    pub(crate) schema: Option<crate::schema::SchemaOf>,
    #[cfg(feature = "asyncapi")]
    pub(crate) reply_schema: Option<crate::schema::SchemaOf>,
}

impl HandlerOptions {
    /// As the queue says.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Handles the messages of this queue alone (default: of all queues).
    ///
    /// It goes before a handler for the same key that is for all queues.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// How often, and after which pauses, a message is tried that failed. A number means so many
    /// attempts in all, with exponential delays.
    #[must_use]
    pub fn retry(mut self, retry: impl Into<Retry>) -> Self {
        self.retry = Some(retry.into());
        self
    }

    /// How long the handler may take. One that is not done by then is dropped where it waits, and
    /// its message is retried or dead-lettered.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Which of the handler's errors say that something it needs is away, beside those that are marked as
    /// [`Unavailable`](crate::Unavailable).
    #[must_use]
    pub fn unavailable_if(
        mut self,
        is_unavailable: impl Fn(&anyhow::Error) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.braking.is_unavailable = Some(Arc::new(is_unavailable));
        self
    }

    /// After how many failures in a row the handler gets one message a second until one succeeds. A number means
    /// [`Brake::after`] so many.
    #[must_use]
    pub fn brake(mut self, brake: impl Into<Brake>) -> Self {
        self.braking.brake = Some(brake.into());
        self
    }

    /// Needs what a check of the program looks after: while it fails, the handler gets no message. See
    /// [`App::check`](crate::App::check). Each call adds one, beside those of the queue.
    #[must_use]
    pub fn needs(mut self, check: impl Into<String>) -> Self {
        self.braking.needs.push(check.into());
        self
    }

    /// How many messages of each queue the handler may work at in the same moment, in this program;
    /// for a handler of a [`Batch`](crate::extract::Batch), how many batches. What waits for it takes
    /// places of the prefetch.
    #[must_use]
    pub fn concurrency(mut self, messages: usize) -> Self {
        self.concurrency = Some(messages);
        self
    }

    /// How many messages of each queue the handler begins within a time, in this program; for a handler of a
    /// [`Batch`](crate::extract::Batch), how many batches. It is apart from the rate of its queue. See [`Rate`].
    #[must_use]
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Runs the handler's messages with the same value here one after another, and takes it out of
    /// the order of its queue. A queue that it handles must have one consumer in this program: more are an error at
    /// startup.
    #[must_use]
    pub fn ordered_by(mut self, value: OrderBy) -> Self {
        self.ordered_by = Some(value);
        self
    }

    /// How many messages a handler of a [`Batch`](crate::extract::Batch) takes at once, at most.
    #[must_use]
    pub fn batch_size(mut self, messages: usize) -> Self {
        self.batch_size = Some(messages);
        self
    }

    /// The contract describes the payload as this type, by the feature `asyncapi`. Where a handler carries the attribute, it
    /// is known already if the payload's type is `schemars::JsonSchema`.
    #[cfg(feature = "asyncapi")]
    #[must_use]
    pub fn payload_schema<T: schemars::JsonSchema + ?Sized>(mut self) -> Self {
        self.schema = Some(crate::schema::SchemaOf::of::<T>());
        self
    }

    /// The same of what the handler replies with.
    #[cfg(feature = "asyncapi")]
    #[must_use]
    pub fn reply_schema<T: schemars::JsonSchema + ?Sized>(mut self) -> Self {
        self.reply_schema = Some(crate::schema::SchemaOf::of::<T>());
        self
    }

    /// How long the first message of a [`Batch`](crate::extract::Batch) waits for others, at most.
    #[must_use]
    pub fn batch_wait(mut self, wait: Duration) -> Self {
        self.batch_wait = Some(wait);
        self
    }

    /// A permit for each run of the handler that there may be at the same time.
    pub(crate) fn slots(&self, policy: &QueuePolicy) -> Option<Arc<Semaphore>> {
        let most = self.concurrency.or(policy.handler_concurrency)?;
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Some(Arc::new(Semaphore::new(most)))
    }

    /// Puts a `tower::Layer` around the handler, and around those layers that are there already.
    #[must_use]
    pub fn layer(mut self, layer: impl HandlerLayer) -> Self {
        self.layers.push(layer);
        self
    }
}
