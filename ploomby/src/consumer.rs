//! The contract between a source of messages and the rest: what [`rabbit`](crate::rabbit) and
//! [`memory`](crate::memory) implement, and what a source of your own does.

use std::{fmt, future::Future};

use crate::{codec::Decoding, delivery::DeliveryTag, dispatcher::Dispatcher, message::Message};

pub use self::registry::{MessageConsumerRegistry, RegisterError, RunError};

pub(crate) mod options;
mod registry;

/// Makes consumers of one kind, that share what they can, such as a connection.
pub trait MessageConsumerFactory: Send + Sync + 'static {
    /// What it makes.
    type Consumer: MessageConsumer;
    /// What can be chosen for each queue.
    type Options: Send + Sync + 'static;

    /// A consumer of `listen_for`, not connected yet.
    ///
    /// # Errors
    ///
    /// A name or an option that the source cannot serve.
    fn create(
        &self,
        listen_for: &str,
        options: &Self::Options,
    ) -> Result<Self::Consumer, ConsumerError>;

    /// How many handlers of one queue may run at the same time, all `consumers_count` consumers
    /// together.
    fn concurrency(&self, options: &Self::Options, consumers_count: usize) -> usize {
        let _ = (options, consumers_count);
        DEFAULT_CONCURRENCY
    }

    /// How the bodies of the queue are decoded.
    fn decoding(&self, options: &Self::Options) -> Decoding {
        let _ = options;
        Decoding::new()
    }

    /// Closes what the consumers shared, after the last of them has disconnected.
    fn close(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// How many handlers run at the same time where nothing else is said.
pub(crate) const DEFAULT_CONCURRENCY: usize = 64;

/// A source of messages.
///
/// [`MessageConsumerRegistry::register`] calls `connect`, then runs `consume` on a task of its
/// own. On shutdown it tells the dispatcher to stop, waits for the handlers in flight, drops the
/// future of `consume` and calls `disconnect`.
pub trait MessageConsumer: Send + 'static {
    /// Opens what the source needs, so that what is wrong shows at startup.
    ///
    /// # Errors
    ///
    /// Whatever keeps the source from delivering.
    fn connect(&mut self) -> impl Future<Output = Result<(), ConsumerError>> + Send;

    /// Gives each message to [`Dispatcher::dispatch`]; returns when there will be no more.
    ///
    /// A consumer that can tell its source to send nothing more does so once
    /// [`Dispatcher::stopped`] resolves, and goes on settling until it is dropped.
    ///
    /// # Errors
    ///
    /// What the consumer cannot recover from. The program ends with it.
    ///
    /// # Cancel safety
    ///
    /// It is dropped at any of its await points, once no handler is in flight.
    fn consume(
        &mut self,
        dispatcher: Dispatcher,
    ) -> impl Future<Output = Result<(), ConsumerError>> + Send;

    /// Sends what is still to be settled, gives unsettled messages back, and closes.
    fn disconnect(&mut self) -> impl Future<Output = ()> + Send;
}

/// Settles deliveries at their source. Only ploomby's own settlement calls it.
pub trait Acknowledger: Send + Sync + 'static {
    /// The message is done with. Acknowledgements may be held back and sent together.
    ///
    /// It is awaited between two deliveries: one that takes long belongs on a task of its own.
    fn ack(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send;

    /// The message goes back to where it came from, to be delivered again.
    fn requeue(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send;

    /// Keeps a copy of a message that cannot be handled. It resolves once the copy is safe: only
    /// then is the original acknowledged.
    ///
    /// # Errors
    ///
    /// The copy may not be safe. The original is then requeued after a pause.
    fn dead_letter(&self, copy: Message) -> impl Future<Output = Result<(), ConsumerError>> + Send;
}

/// What went wrong at a source of messages.
pub struct ConsumerError(Box<dyn std::error::Error + Send + Sync>);

impl ConsumerError {
    /// An error of your own, or a text.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for ConsumerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ConsumerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for ConsumerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<std::io::Error> for ConsumerError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}
