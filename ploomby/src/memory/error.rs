use thiserror::Error;

use super::stored::{MAX_BODY, MAX_PROPERTIES};
use crate::message::PropertyError;

/// What the memory broker refuses, in most cases because RabbitMQ would.
#[derive(Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The URL is not `memory://name`. It is not repeated: other URLs carry passwords.
    #[error(
        "not the URL of a memory broker: write `memory://name`, with a name of letters, digits, \
         `-`, `_` and `.`"
    )]
    InvalidUrl,
    /// In a [simulation](crate::testing::simulate), the confirm of the message was lost: it is in its queue, or it is not.
    #[cfg(feature = "testing")]
    #[error("the confirm was lost, as the simulation would have it")]
    Unconfirmed,
    /// There is no such queue (RabbitMQ's 404).
    #[error("no queue `{0}`: declare it first")]
    NoSuchQueue(String),
    /// The message reaches no queue: RabbitMQ returns it, since it is `mandatory`.
    #[error("the message reaches no queue: declare queue `{0}` first")]
    Unroutable(String),
    /// No binding of the exchange takes the message to a queue: RabbitMQ returns it, since it is `mandatory`.
    #[error(
        "no binding of exchange `{exchange}` takes the routing key `{routing_key}`: bind a queue for it"
    )]
    #[non_exhaustive]
    Unbound {
        /// The exchange.
        exchange: String,
        /// The routing key.
        routing_key: String,
    },
    /// There is no such exchange (RabbitMQ's 404).
    #[error(
        "exchange `{0}`: it is not there: start what declares it, or describe it by `Exchange::topic` or its like"
    )]
    NoExchange(String),
    /// The exchange exists and is otherwise than described, or cannot be as it is described (RabbitMQ's 406).
    #[error("{0}")]
    OtherExchange(String),
    /// A name that RabbitMQ keeps for exchanges of its own (its 403).
    #[error(
        "an exchange cannot be named `{0}`: choose a name, one that does not start with `amq.`"
    )]
    ReservedExchange(String),
    /// An exchange of a type that RabbitMQ may have by a plugin.
    #[error(
        "exchange `{0}` cannot be of the type `{1}` in the memory broker, which has no plugins: use RabbitMQ"
    )]
    NoExchangeType(String, String),
    /// An `x-match` that says none of the ways to compare headers (RabbitMQ's 406).
    #[error(
        "invalid x-match for exchange `{0}`: it has to be `all`, `any`, `all-with-x` or `any-with-x`"
    )]
    InvalidMatch(String),
    /// The queue rejects what would make it longer than its `x-max-length` (a `basic.nack`).
    #[error("queue `{0}` is full and rejects the message: publish again once it is consumed")]
    QueueFull(String),
    /// The queue exists with other arguments (RabbitMQ's 406).
    #[error(
        "inequivalent arg '{argument}' for queue '{queue}': received {received} but current is \
         {current}; declare it with the same arguments, or delete it first"
    )]
    #[non_exhaustive]
    InequivalentArgument {
        /// The queue.
        queue: String,
        /// The first argument that differs.
        argument: &'static str,
        /// What was asked for.
        received: String,
        /// What the queue was declared with.
        current: String,
    },
    /// An argument with a value that RabbitMQ refuses (its 406).
    #[error("invalid arg '{argument}' for queue '{queue}': it {problem}")]
    #[non_exhaustive]
    InvalidArgument {
        /// The queue.
        queue: String,
        /// The argument.
        argument: String,
        /// What it has to be.
        problem: &'static str,
    },
    /// An argument that RabbitMQ may know, but the memory broker does not.
    #[error(
        "queue '{queue}' cannot have '{argument}' in the memory broker, which models {modelled}: \
         leave it out, or use RabbitMQ"
    )]
    #[non_exhaustive]
    NotModelled {
        /// The queue.
        queue: String,
        /// The argument.
        argument: String,
        /// What is modelled.
        modelled: &'static str,
    },
    /// A queue name that is empty, or kept by RabbitMQ for itself.
    #[error("a queue cannot be named `{0}`: choose a name, one that does not start with `amq.`")]
    InvalidName(String),
    /// A name that AMQP cannot carry, or a property.
    #[error(transparent)]
    TooLong(#[from] PropertyError),
    /// The body is larger than RabbitMQ takes (its 406).
    #[error("the body has {0} bytes: RabbitMQ takes at most {MAX_BODY}, so store it elsewhere")]
    BodyTooLarge(usize),
    /// The properties, the headers among them, do not fit one frame.
    #[error(
        "properties and headers have {0} bytes: at most {MAX_PROPERTIES} fit one frame, so move \
         what is large to the body"
    )]
    PropertiesTooLarge(usize),
    /// The `expiration` is no number that RabbitMQ takes (its 406).
    #[error(
        "invalid expiration: give whole milliseconds in decimal digits, from 0 to 315360000000"
    )]
    InvalidExpiration,
    /// The `user_id` is not the connection's own (RabbitMQ's 406).
    #[error("the user id is not the user of the connection: set `guest`, or leave it out")]
    UserId,
    /// A `CC` or `BCC` header that is not an array (RabbitMQ's 406).
    #[error("the header {0} is not an array: give an array of the names of queues")]
    NotAnArray(&'static str),
}

debug_is_text!(MemoryError);
