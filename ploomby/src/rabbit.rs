//! RabbitMQ as a source of messages. amqprs carries the frames and is used nowhere else.
//!
//! # Layout
//!
//! - `url`, `tls`: where the broker is, who asks, and how both prove it;
//! - `options`: what can be chosen for each queue;
//! - `connection`: one connection that several channels share, opened again when it is lost;
//! - `topology`: the queues that must be there;
//! - `consumer`, `session`: the life of a consumer, and that of one of its channels;
//! - `window`, `acknowledger`: which deliveries are settled, and telling the broker;
//! - `copies`: where messages go that failed;
//! - `publisher`: publishing with confirms;
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
//! amqprs reads nested headers without a limit on their depth: some thousand levels (500, without
//! optimization) overflow the stack of a thread, which ends the process. The next start looks at
//! what was delivered before and takes messages that are nested deeper than 128 levels to the
//! dead-letter queue, so such a message costs a restart of each process that consumes the queue. The
//! price is one more connection for each consumer at startup, and that a message that is ready then
//! counts as redelivered.
//!
//! Both need `basic.get`, which RabbitMQ refuses for a queue with an exclusive consumer, among
//! others: then the message stops its queue until it is taken out by hand. A message whose headers
//! fill a frame to the last byte may not be moved either.
//!
//! A channel that the broker closes keeps its number until the connection ends. Each missing queue
//! costs one such channel at startup, of the 2,047 that RabbitMQ allows by default.

pub use self::{
    consumer::{Connections, RabbitConsumer, RabbitConsumerFactory},
    options::{RabbitOptions, Reconnect},
    url::UrlError,
};
pub(crate) use self::{
    publisher::{ConfirmedPublisher, RabbitPublishError},
    url::RabbitUrl,
};

mod acknowledger;
mod connection;
mod consumer;
mod copies;
mod options;
mod publisher;
mod quarantine;
mod session;
#[cfg(feature = "tls")]
mod tls;
mod topology;
mod url;
mod window;
