//! How much there was of everything: counted where it happens, and read by who asks.
//!
//! Without the feature `metrics` all of this is empty, and not one instruction is left of it in the way of a
//! delivery: what is there in its place is `silent`.
//!
//! - `meter`: what is counted of a queue and its handlers;
//! - `sent`: what is counted of messages that are sent;
//! - `histogram`: how long things took;
//! - `silent`: the same three, without the feature;
//! - `numbers`: all of it at one moment;
//! - `prometheus`: the same as text.

#[cfg(feature = "metrics")]
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[cfg(not(feature = "metrics"))]
pub(crate) use self::silent::{HandlerMeter, Meters, QueueMeter, Samples, Sending, Sent};
#[cfg(feature = "metrics")]
pub use self::{
    histogram::Distribution,
    numbers::{HandlerMetrics, QueueMetrics, SentMetrics},
};
#[cfg(feature = "metrics")]
pub(crate) use self::{
    meter::{HandlerMeter, QueueMeter, Samples},
    sent::{Sending, Sent},
};
#[cfg(feature = "metrics")]
use crate::health::Health;

#[cfg(feature = "metrics")]
mod histogram;
#[cfg(feature = "metrics")]
mod meter;
#[cfg(feature = "metrics")]
mod numbers;
#[cfg(feature = "metrics")]
mod prometheus;
#[cfg(feature = "metrics")]
mod sent;
#[cfg(not(feature = "metrics"))]
mod silent;

/// In place of a handler, for messages that have none.
#[cfg(feature = "metrics")]
const UNKNOWN: &str = "_unknown";

/// What a program has done since its start, by the feature `metrics`. Cheap to clone: all clones tell the same.
///
/// A handler is listed from its first message on. What is counted under `_unknown` had no handler: keys that no
/// handler has, and messages that were refused before one was looked for. So a sender cannot make the list grow.
///
/// ```
/// # use ploomby::{App, HandlerRegistry, Outcome, Queue};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// # let app = App::new("memory://metrics-example")
/// #     .handlers(HandlerRegistry::new().register("nothing", || async {}));
/// let running = app.queue(Queue::new("users")).start().await?;
/// let metrics = running.metrics();
/// for queue in metrics.queues() {
///     for handler in queue.handlers() {
///         let letters = handler.settled(Outcome::DeadLetter);
///         println!("{}: {} messages, {letters} dead letters", handler.handler(), handler.consumed());
///     }
/// }
/// // in a route that Prometheus asks
/// assert!(metrics.prometheus().contains("ploomby_consumer_up{"));
/// # running.shut_down().await?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "metrics")]
#[derive(Clone)]
pub struct Metrics(Arc<Known>);

#[cfg(feature = "metrics")]
struct Known {
    meters: Meters,
    health: Health,
    sent: Sent,
    is_blocked: Box<dyn Fn() -> bool + Send + Sync>,
}

#[cfg(feature = "metrics")]
impl Metrics {
    pub(crate) fn new(
        meters: Meters,
        health: Health,
        sent: Sent,
        is_blocked: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Known {
            meters,
            health,
            sent,
            is_blocked: Box::new(is_blocked),
        }))
    }

    /// Each queue as it is now, by name.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueMetrics> {
        let meters = self.0.meters.lock();
        let queues = self.0.health.queues().into_iter();
        let numbers = queues.filter_map(|health| {
            let meter = meters.get(health.queue())?;
            Some(QueueMetrics::new(meter, health))
        });
        numbers.collect()
    }

    /// What was sent to each destination: by the publisher that handlers take as an argument, by
    /// [`Running::publisher`](crate::Running::publisher), and by an [`RpcClient`](crate::RpcClient) beside one of them.
    /// A program that connects a [`Publisher`](crate::Publisher) of its own counts by itself.
    #[must_use]
    pub fn sent(&self) -> Vec<SentMetrics> {
        self.0.sent.numbers()
    }

    /// Whether the broker takes no messages at the moment, for it is short of memory or disk. A broker that the
    /// program has sent nothing to so far may not have said so.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        (self.0.is_blocked)()
    }

    /// All of it in the text format of Prometheus, as a route has it that Prometheus asks. The content type is
    /// `text/plain; version=0.0.4`.
    #[must_use]
    pub fn prometheus(&self) -> String {
        prometheus::text(&self.queues(), &self.sent(), self.is_blocked())
    }
}

#[cfg(feature = "metrics")]
impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.queues()).finish()
    }
}

/// What is counted of each queue of a program.
#[cfg(feature = "metrics")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Meters(Arc<Mutex<BTreeMap<String, QueueMeter>>>);

#[cfg(feature = "metrics")]
impl Meters {
    /// Takes the place of what was known of the queue.
    pub(crate) fn watch(&self, queue: &str, meter: &QueueMeter) {
        self.lock().insert(queue.to_owned(), meter.clone());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, QueueMeter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
