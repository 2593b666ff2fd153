//! The contract between a source of messages and the rest: what [`rabbit`](crate::rabbit) and
//! [`memory`](crate::memory) implement, and what a source of your own does.

use std::{fmt, future::Future, time::Duration};

use crate::{delivery::DeliveryTag, dispatcher::Dispatcher, message::Message};

pub use self::{
    companions::DeadLetters,
    policy::QueuePolicy,
    registry::{MessageConsumerRegistry, RegisterError, RunError},
};

pub(crate) use self::registry::Registration;

pub(crate) mod companions;
pub(crate) mod options;
pub(crate) mod policy;
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

    /// How the deliveries of one queue are handled, all `consumers_count` consumers together.
    fn policy(&self, options: &Self::Options, consumers_count: usize) -> QueuePolicy {
        let _ = (options, consumers_count);
        QueuePolicy::new()
    }

    /// Closes what the consumers shared, after the last of them has disconnected.
    fn close(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A source of messages.
///
/// [`MessageConsumerRegistry::register`] calls `connect`, then runs `consume` on a task of its
/// own. On shutdown it tells the dispatcher to stop, waits for the handlers in flight, drops the
/// future of `consume` and calls `disconnect`.
pub trait MessageConsumer: Send + 'static {
    /// Opens what the source needs, so that what is wrong shows at startup. The dispatcher tells
    /// what the handlers will ask for, such as [`retry_delays`](Dispatcher::retry_delays).
    ///
    /// # Errors
    ///
    /// Whatever keeps the source from delivering.
    fn connect(
        &mut self,
        dispatcher: &Dispatcher,
    ) -> impl Future<Output = Result<(), ConsumerError>> + Send;

    /// Gives each message to [`Dispatcher::dispatch`]; returns when there will be no more.
    ///
    /// A consumer that can tell its source to send nothing more does so once
    /// [`Dispatcher::stopped`] resolves, and goes on settling until it is dropped. One that loses
    /// its source for a while says so by [`Dispatcher::not_consuming`]. One that wraps another awaits
    /// the other's `consume` in its own, and not on another task: shutdown would not wait for the
    /// handlers that compute there.
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

    /// Keeps a copy of a message that is to be delivered again after `delay`; none means at once, at
    /// the end of the queue. It resolves once the copy is safe: only then is the original
    /// acknowledged.
    ///
    /// The copy carries how often it was tried, so it has to come back with its headers.
    ///
    /// # Errors
    ///
    /// The copy may not be safe. The original is then requeued after a pause.
    fn retry(
        &self,
        copy: Message,
        delay: Duration,
    ) -> impl Future<Output = Result<(), ConsumerError>> + Send;

    /// Keeps a copy of a message that cannot be handled. It resolves once the copy is safe: only
    /// then is the original acknowledged.
    ///
    /// # Errors
    ///
    /// The copy may not be safe. The original is then requeued after a pause.
    fn dead_letter(&self, copy: Message) -> impl Future<Output = Result<(), ConsumerError>> + Send;

    /// Sends the reply to a message that was handled to who asked, at the address that its `reply-to`
    /// gave. It resolves once the reply is on its way, or when nobody waits for it any more: only
    /// then is the message acknowledged.
    ///
    /// # Errors
    ///
    /// The reply may not have been sent. The message is then requeued after a pause. A source that does
    /// not implement this sends no replies, and says so at debug level.
    fn reply(
        &self,
        reply_to: &str,
        reply: Message,
    ) -> impl Future<Output = Result<(), ConsumerError>> + Send {
        let _ = (reply_to, reply);
        tracing::debug!("the source sends no replies, and a message asks for one");
        std::future::ready(Ok(()))
    }

    /// The source itself keeps a message that cannot be handled. Asked for only where the queue's
    /// policy says so; a source that cannot requeues it.
    fn reject(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send {
        self.requeue(tag)
    }
}

/// What went wrong at a source of messages.
pub struct ConsumerError(Box<dyn std::error::Error + Send + Sync>);

impl ConsumerError {
    /// An error of your own, or a text.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }

    pub(crate) fn is<E: std::error::Error + 'static>(&self) -> bool {
        self.0.is::<E>()
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
