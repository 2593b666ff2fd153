use std::fmt;

use thiserror::Error;

use crate::{memory::MemoryError, message::PropertyError, rabbit::RabbitPublishError};

/// What is behind a [`PublishError`].
type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a message is not known to be in its queue.
#[derive(Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The broker's URL cannot be used.
    #[error("{0}")]
    Url(Source),
    /// The message cannot be written: the payload does not encode, or a property is too long.
    #[error("the message cannot be sent: {0}")]
    Invalid(Source),
    /// There is no queue of this name.
    #[error("there is no queue `{0}`: declare it first, or start what consumes it")]
    Unroutable(String),
    /// No binding of the exchange takes it to a queue: nobody wants it. For messages that nobody has to want, there is
    /// [`Outgoing::allow_unroutable`](crate::Outgoing::allow_unroutable).
    #[error(
        "no binding of exchange `{exchange}` takes the message to a queue, with the routing key `{routing_key}`: bind \
         a queue for it, or say `allow_unroutable` where nobody has to want it"
    )]
    #[non_exhaustive]
    Unbound {
        /// The exchange.
        exchange: String,
        /// The routing key.
        routing_key: String,
    },
    /// The broker did not take it: the queue is full, the message too large, or not allowed.
    #[error("the broker did not take the message: {0}")]
    Refused(Source),
    /// An exchange cannot be declared: it has another type, or the user lacks a right.
    #[error("{0}")]
    Declare(Source),
    /// The broker did not say in time that it has the message, and may have it.
    #[error("the message may be in its queue or not: {0}")]
    Unconfirmed(Source),
    /// There is no connection to the broker, or it was closed.
    #[error("{0}")]
    Connect(Source),
}

impl PublishError {
    /// As metrics have it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Invalid(_) => "invalid",
            Self::Unroutable(_) => "unroutable",
            Self::Unbound { .. } => "unbound",
            Self::Refused(_) => "refused",
            Self::Declare(_) => "declare",
            Self::Unconfirmed(_) => "unconfirmed",
            Self::Connect(_) => "connect",
        }
    }
}

impl From<RabbitPublishError> for PublishError {
    fn from(error: RabbitPublishError) -> Self {
        match error {
            RabbitPublishError::Unroutable(queue) => Self::Unroutable(queue),
            RabbitPublishError::Unbound {
                exchange,
                routing_key,
            } => Self::Unbound {
                exchange,
                routing_key,
            },
            RabbitPublishError::Connect(error) => Self::Connect(error.into()),
            RabbitPublishError::Closed => Self::Connect(error.into()),
            RabbitPublishError::Property(error) => Self::Invalid(error.into()),
            error if error.is_out_of_reach() => Self::Connect(error.into()),
            RabbitPublishError::Lost(_)
            | RabbitPublishError::TimedOut
            | RabbitPublishError::Overdue { .. } => Self::Unconfirmed(error.into()),
            other => Self::Refused(other.into()),
        }
    }
}

impl From<MemoryError> for PublishError {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::Unroutable(queue) => Self::Unroutable(queue),
            MemoryError::Unbound {
                exchange,
                routing_key,
            } => Self::Unbound {
                exchange,
                routing_key,
            },
            #[cfg(feature = "testing")]
            MemoryError::Unconfirmed => Self::Unconfirmed(error.into()),
            other => Self::Refused(other.into()),
        }
    }
}

impl From<PropertyError> for PublishError {
    fn from(error: PropertyError) -> Self {
        Self::Invalid(error.into())
    }
}

/// Which messages of a [batch](crate::Publisher::send_all) are not known to be in their queues.
#[derive(Debug)]
pub struct PublishAllError {
    failed: Vec<(usize, PublishError)>,
}

impl PublishAllError {
    /// Each of them by its place in the batch, from 0, and why. There is at least one.
    pub fn failed(&self) -> &[(usize, PublishError)] {
        &self.failed
    }

    pub(super) fn at(place: usize, error: PublishError) -> Self {
        Self {
            failed: vec![(place, error)],
        }
    }

    /// `Ok` where there is none.
    pub(super) fn of(mut failed: Vec<(usize, PublishError)>) -> Result<(), Self> {
        failed.sort_by_key(|(at, _)| *at);
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Self { failed }),
        }
    }
}

impl fmt::Display for PublishAllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failed[..] {
            [] => f.write_str("no message failed"),
            [(at, error)] => write!(f, "message {at} of the batch: {error}"),
            [(at, error), rest @ ..] => {
                let more = rest.len();
                write!(f, "message {at} of the batch, and {more} more: {error}")
            }
        }
    }
}

/// The text tells the first error: it is no source beside that.
impl std::error::Error for PublishAllError {}

debug_is_text!(PublishError);
