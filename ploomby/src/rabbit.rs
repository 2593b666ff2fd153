//! RabbitMQ as a source of messages. amqprs carries the frames and is used nowhere else.
//!
//! # Layout
//!
//! - `url`, `tls`: where the broker is, who asks, and how both prove it;
//! - `dial`: a stream to the broker;
//! - `options`: what can be chosen for each queue;
//! - `connection`: one connection that several channels share, opened again when it is lost;
//! - `topology`: the queues that must be there;
//! - `consumer`, `session`: the life of a consumer, and that of one of its channels;
//! - `window`, `acknowledger`: which deliveries are settled, and telling the broker;
//! - `copies`: where messages go that failed;
//! - `publisher`: publishing with confirms;
//! - `line`: publishing in order, whatever becomes of the connection;
//! - `replies`: what comes back to calls, and sending what handlers answer;
//! - `quarantine`: taking messages out of a queue that amqprs cannot read.
//!
//! # Limits
//!
//! RabbitMQ carries any bytes as text in headers, properties and routing keys. amqprs reads UTF-8
//! alone and closes the connection on anything else. A message with other text costs the consumers
//! that share the connection some seconds: after three connections that died young, ploomby takes
//! it to the dead-letter queue, byte for byte, with the reason `malformed`. Only a client of another
//! kind can read it there. Bytes belong in a header of type byte array, which ploomby reads like any
//! other.
//!
//! It needs `basic.get`, which RabbitMQ refuses for a queue with an exclusive consumer, among
//! others: then the message stops its queue until it is taken out by hand. A message whose headers
//! fill a frame to the last byte may not be moved either.
//!
//! amqprs reads nested headers without a limit on their depth: some 4,500 levels (500, without
//! optimization) overflow a stack of 2 MiB, which ends the process. The deepest nesting that a frame
//! of 128 KiB has room for takes less than 16 MiB of stack. Where programs publish that you do not
//! trust, run ploomby on threads that have as much:
//! `tokio::runtime::Builder::new_multi_thread().thread_stack_size(16 * 1024 * 1024)`. It is address
//! space, and becomes memory only where it is used.
//!
//! amqprs does not announce that it understands `connection.blocked`: a broker that is short of
//! memory or disk shows only in confirms that do not come, which the log tells after 5 seconds.
//!
//! A connection over which nothing comes any more is given up after two intervals of the parameter
//! `heartbeat`, 40 seconds unless told otherwise. What cannot be written to it stays with the
//! operating system until that gives the connection up, too.
//!
//! With a certificate alone, without a password (`EXTERNAL`), amqprs cannot log in.

pub use self::{
    consumer::{Connections, RabbitConsumer, RabbitConsumerFactory},
    options::{RabbitOptions, Reconnect},
    url::UrlError,
};
pub(crate) use self::{
    declarations::Declarations,
    line::{Line, LineConnection},
    publisher::{Confirm, RabbitPublishError},
    url::RabbitUrl,
};

mod acknowledger;
mod connection;
mod consumer;
mod copies;
mod declarations;
mod dial;
mod line;
mod options;
mod publisher;
mod quarantine;
mod replies;
mod session;
#[cfg(feature = "tls")]
mod tls;
mod topology;
mod url;
mod window;
