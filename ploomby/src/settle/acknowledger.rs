use std::{fmt, future::Future, time::Duration};

use crate::{
    delivery::{Delivery, DeliveryTag},
    message::Message,
};

/// Settles deliveries at their source. Only ploomby's own settlement calls it.
pub trait Acknowledger: Send + Sync + 'static {
    /// The message is done with. Acknowledgements may be held back and sent together.
    ///
    /// It is awaited between two deliveries: one that takes long belongs on a task of its own.
    fn ack(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send;

    /// The message goes back to where it came from, to be delivered again.
    fn requeue(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send;

    /// The message goes back since shutdown, or a rest of the queue, began before its handler did. A source may wait
    /// with that until it delivers nothing more, so that the message does not come here again.
    fn give_back(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send {
        self.requeue(tag)
    }

    /// Whether the source delivers nothing while the queue is [at rest](crate::Dispatcher::is_resting). Messages that
    /// wait for their handler are then [given back](Self::give_back). Else they stay here, within the prefetch
    /// (default).
    fn rests(&self) -> bool {
        false
    }

    /// Whether a message that came back may be what ended the process again and again. It is then
    /// [set aside](Self::set_aside). `is_ordered` says that it would lose its place among others.
    ///
    /// It is asked before the handler runs, so it must not take long where nothing is known.
    fn is_suspect(
        &self,
        delivery: &Delivery,
        is_ordered: bool,
    ) -> impl Future<Output = bool> + Send {
        let _ = (delivery, is_ordered);
        std::future::ready(false)
    }

    /// The handler of a message is done that came back, and the process lives. Each call of
    /// [`is_suspect`](Self::is_suspect) is followed by one of this.
    fn outlived(&self) {}

    /// Keeps a copy of a suspect where it is handled alone. It resolves once the copy is safe: only then is the
    /// original acknowledged.
    ///
    /// # Errors
    ///
    /// The copy may not be safe. The handler then runs.
    fn set_aside(&self, copy: Message) -> impl Future<Output = Result<(), ConsumerError>> + Send {
        drop(copy);
        std::future::ready(Err(ConsumerError::new(
            "the source has no place for suspects",
        )))
    }

    /// Keeps a copy of a message that is to be delivered again after `delay`; none means at once, at
    /// the end of the queue. It resolves once the copy is safe: only then is the original
    /// acknowledged.
    ///
    /// The copy carries how often it was tried, so it has to come back with its headers.
    ///
    /// # Errors
    ///
    /// The copy may not be safe. It is tried again, with growing pauses, as long as the original can be settled.
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
    /// The copy may not be safe. It is tried again, with growing pauses, as long as the original can be settled.
    fn dead_letter(&self, copy: Message) -> impl Future<Output = Result<(), ConsumerError>> + Send;

    /// Sends the reply to a message that was handled to who asked, at the address that its `reply-to`
    /// gave, if a reply may go there. It resolves once the reply is on its way, or when nobody waits for it any
    /// more. It is tried once, and dropped after [`reply_within`](crate::Queue::reply_within); then the message is
    /// acknowledged.
    ///
    /// # Errors
    ///
    /// The reply may not have been sent, which is counted. A source that does not implement this sends no
    /// replies, and says so at debug level.
    fn reply(
        &self,
        reply_to: &str,
        reply: Message,
    ) -> impl Future<Output = Result<(), ConsumerError>> + Send {
        let _ = (reply_to, reply);
        tracing::debug!("the source sends no replies, and a message asks for one");
        std::future::ready(Ok(()))
    }

    /// The same, through an exchange, for an address that
    /// [`reply_addresses`](crate::Queue::reply_addresses) allows.
    ///
    /// # Errors
    ///
    /// As those of [`reply`](Self::reply), and that the source knows no exchanges.
    fn reply_through(
        &self,
        exchange: &str,
        routing_key: &str,
        reply: Message,
    ) -> impl Future<Output = Result<(), ConsumerError>> + Send {
        let _ = (routing_key, reply);
        let error = format!("the source has no exchange `{exchange}` for replies");
        std::future::ready(Err(ConsumerError::new(error)))
    }

    /// Resolves when deliveries cannot be settled any more, since the source has given them back: a copy that is
    /// still to be kept then would be one too many. By default it never does.
    ///
    /// # Cancel safety
    ///
    /// It is dropped and called again.
    fn lost(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// The source itself keeps a message that cannot be handled. Asked for only where the queue's
    /// policy says so; a source that cannot requeues it.
    fn reject(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send {
        self.requeue(tag)
    }
}

/// A reply that no queue took.
#[derive(Debug, thiserror::Error)]
#[error("there is no such queue")]
pub(crate) struct NobodyThere;

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
