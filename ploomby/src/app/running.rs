use std::{fmt, sync::Arc};

use tokio::{
    sync::OnceCell,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::info;

use super::error::Error;
use crate::{
    consumer::{MessageConsumerRegistry, RunError, Signals},
    health::Health,
    memory::MemoryConsumerFactory,
    metrics::Sent,
    publisher::{Destination, PublishError, Publisher},
    rabbit::RabbitConsumerFactory,
};

/// An [`App`](crate::App) that consumes.
///
/// Dropped, it stops at once: what is not settled is delivered again.
#[derive(Debug)]
#[must_use = "dropped, it stops at once"]
pub struct Running {
    consumers: Consumers,
    destination: Destination,
    /// What its handlers send with, or the program does.
    publisher: OnceCell<Publisher>,
    /// Name and version of the program.
    name: Option<Arc<str>>,
    /// What is counted of what it sends.
    sent: Sent,
    /// The program's own checks: they end with it.
    checking: JoinSet<()>,
    #[cfg(feature = "admin")]
    described: super::Described,
    /// Who stands beside it.
    #[cfg(feature = "admin")]
    attending: super::attendant::Attending,
}

pub(super) enum Consumers {
    Rabbit(Box<MessageConsumerRegistry<RabbitConsumerFactory>>),
    Memory(MessageConsumerRegistry<MemoryConsumerFactory>),
}

impl Running {
    pub(super) fn new(
        consumers: Consumers,
        destination: Destination,
        publisher: Option<Publisher>,
        name: Option<Arc<str>>,
        sent: Sent,
        checking: JoinSet<()>,
        #[cfg(feature = "admin")] (described, attending): (
            super::Described,
            super::attendant::Attending,
        ),
    ) -> Self {
        let running = Self {
            consumers,
            destination,
            publisher: OnceCell::new_with(publisher),
            name,
            sent,
            checking,
            #[cfg(feature = "admin")]
            described,
            #[cfg(feature = "admin")]
            attending,
        };
        #[cfg(feature = "admin")]
        running.attending.running(super::Controls {
            health: running.health(),
            metrics: running.metrics(),
        });
        running
    }

    /// What it is, without what it does.
    #[cfg(feature = "admin")]
    pub(crate) fn described(&self) -> &super::Described {
        &self.described
    }

    /// Where who stands beside it can be found.
    #[cfg(feature = "admin")]
    pub(crate) fn attendant_address(&self) -> Option<std::net::SocketAddr> {
        self.attending.address
    }

    /// How far it is, now and later.
    #[cfg(feature = "admin")]
    pub(crate) fn life(&self) -> tokio::sync::watch::Receiver<super::Life> {
        self.attending.subscribe()
    }

    /// Sends to the broker of the app: the publisher that its handlers take, or else one that is connected
    /// by the first call. [`shut_down`](Self::shut_down) closes it.
    ///
    /// # Errors
    ///
    /// A broker that is not there or does not let the program in.
    pub async fn publisher(&self) -> Result<Publisher, PublishError> {
        let connect = async || {
            let publisher = Publisher::to_destination(self.destination.clone()).await?;
            let publisher = publisher.of_app(self.name.clone());
            Ok::<_, PublishError>(publisher.counted(&self.sent))
        };
        Ok(self.publisher.get_or_try_init(connect).await?.clone())
    }

    /// Waits until a consumer fails for good: a program that does other work beside its queues ends with it.
    /// [`shut_down`](Self::shut_down) is still to be called, for the others.
    ///
    /// # Errors
    ///
    /// Why the consumer failed.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub async fn wait(&mut self) -> Result<(), Error> {
        Ok(self.consumers.wait().await?)
    }

    /// Whether the queues are consumed, now and later: for a health route, or whoever else asks.
    pub fn health(&self) -> Health {
        match &self.consumers {
            Consumers::Rabbit(consumers) => consumers.health(),
            Consumers::Memory(consumers) => consumers.health(),
        }
    }

    /// What the program has done so far, now and later: for Prometheus, or whoever else asks. By the feature `metrics`.
    #[cfg(feature = "metrics")]
    pub fn metrics(&self) -> crate::metrics::Metrics {
        let (sent, is_blocked) = (self.sent.clone(), self.destination.watch_blocked());
        match &self.consumers {
            Consumers::Rabbit(consumers) => consumers.metrics_with(sent, is_blocked),
            Consumers::Memory(consumers) => consumers.metrics_with(sent, is_blocked),
        }
    }

    /// Lets no message of a queue go to its handler until [`resume`](Self::resume) is called. Handlers that run go on,
    /// and what has not begun goes back to the queue. [`Health`] tells who has paused it: `by` is for people to read. If
    /// the order of the queue is kept, the messages that are here already stay, in their order.
    ///
    /// It holds for this program alone, and until it ends. Says whether the app has the queue.
    ///
    /// ```
    /// # use ploomby::{App, HandlerRegistry, Queue};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// # let app = App::new("memory://pause-example")
    /// #     .handlers(HandlerRegistry::new().register("nothing", || async {}));
    /// let running = app.queue(Queue::new("billing")).start().await?;
    /// assert!(running.pause("billing", "the night shift"));
    /// assert_eq!(running.health().queues()[0].paused_by(), Some("the night shift"));
    /// assert!(running.resume("billing"));
    /// # running.shut_down().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn pause(&self, queue: &str, by: &str) -> bool {
        match &self.consumers {
            Consumers::Rabbit(consumers) => consumers.pause(queue, by),
            Consumers::Memory(consumers) => consumers.pause(queue, by),
        }
    }

    /// Ends a [pause](Self::pause). Says whether the queue was paused.
    pub fn resume(&self, queue: &str) -> bool {
        match &self.consumers {
            Consumers::Rabbit(consumers) => consumers.resume(queue),
            Consumers::Memory(consumers) => consumers.resume(queue),
        }
    }

    /// Lets no message of a queue go to one handler until [`resume_handler`](Self::resume_handler) is called. `handler` is
    /// one of its keys, or the name of its function, with its path if others are called so: all keys of that function
    /// wait. What runs goes on. The other handlers work as ever, and the messages of this one wait
    /// in a retry queue, or, once all handlers of the queue wait, in their queue; if the order is kept, they stay here.
    /// [`QueueHealth::brakes`](crate::QueueHealth::brakes) tells who has paused it.
    ///
    /// It holds for this program alone, and until it ends. It is apart from a pause of the queue: the handler works again
    /// when both are over. Says whether the queue has such a handler.
    ///
    /// ```
    /// # use ploomby::{App, HandlerRegistry, Queue};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// # let app = App::new("memory://pause-handler-example")
    /// #     .handlers(HandlerRegistry::new().register("charge", || async {}));
    /// let running = app.queue(Queue::new("billing")).start().await?;
    /// assert!(running.pause_handler("billing", "charge", "the night shift"));
    /// let health = running.health();
    /// assert_eq!(health.queues()[0].brakes()[0].reason(), "paused by the night shift");
    /// assert!(running.resume_handler("billing", "charge"));
    /// # running.shut_down().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn pause_handler(&self, queue: &str, handler: &str, by: &str) -> bool {
        match &self.consumers {
            Consumers::Rabbit(consumers) => consumers.pause_handler(queue, handler, by),
            Consumers::Memory(consumers) => consumers.pause_handler(queue, handler, by),
        }
    }

    /// Ends a [pause](Self::pause_handler) of a handler. Says whether the handler was paused.
    pub fn resume_handler(&self, queue: &str, handler: &str) -> bool {
        match &self.consumers {
            Consumers::Rabbit(consumers) => consumers.resume_handler(queue, handler),
            Consumers::Memory(consumers) => consumers.resume_handler(queue, handler),
        }
    }

    /// Stops consuming, waits for running handlers, sends what is still to be acknowledged, gives
    /// back what was not started, and closes the connection.
    ///
    /// # Errors
    ///
    /// Handlers that were cut off by the deadline, or a consumer that had failed before.
    pub async fn shut_down(mut self) -> Result<(), Error> {
        Ok(self.disconnect().await?)
    }

    async fn disconnect(&mut self) -> Result<(), RunError> {
        let end = self.consumers.end_of_a_shutdown();
        #[cfg(feature = "admin")]
        self.attending.draining();
        let disconnected = self.consumers.disconnect().await;
        self.checking.shutdown().await;
        if let Some(publisher) = self.publisher.take() {
            // a connection may be frozen
            let _ = timeout_at(end, publisher.close()).await;
        }
        #[cfg(feature = "admin")]
        self.attending.end(end).await;
        disconnected
    }

    /// Waits for SIGINT or SIGTERM, then [shuts down](Self::shut_down). A second signal ends it at
    /// once, unless it is the same within a second, as a wrapper sends it.
    ///
    /// # Errors
    ///
    /// What the app cannot recover from, handlers that were cut off, or the second signal.
    pub async fn until_signal(self) -> Result<(), Error> {
        self.until(Signals::listen()?).await
    }

    pub(super) async fn until(mut self, mut signals: Signals) -> Result<(), Error> {
        let (ended, told) = match signals.unless_told(self.consumers.wait()).await {
            Ok(ended) => (ended, None),
            Err(told) => (Ok(()), Some(told)),
        };
        let disconnected = signals.unless_told_again(told, self.disconnect()).await?;
        ended.and(disconnected)?;
        info!("stopped");
        Ok(())
    }
}

impl Consumers {
    async fn wait(&mut self) -> Result<(), RunError> {
        match self {
            Self::Rabbit(consumers) => consumers.wait().await,
            Self::Memory(consumers) => consumers.wait().await,
        }
    }

    /// When one that begins now must be over.
    fn end_of_a_shutdown(&self) -> Instant {
        match self {
            Self::Rabbit(consumers) => consumers.end_of_a_shutdown(),
            Self::Memory(consumers) => consumers.end_of_a_shutdown(),
        }
    }

    async fn disconnect(&mut self) -> Result<(), RunError> {
        match self {
            Self::Rabbit(consumers) => consumers.disconnect_consumers().await,
            Self::Memory(consumers) => consumers.disconnect_consumers().await,
        }
    }
}

impl fmt::Debug for Consumers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rabbit(consumers) => consumers.fmt(f),
            Self::Memory(consumers) => consumers.fmt(f),
        }
    }
}
