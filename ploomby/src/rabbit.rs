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
//! - `publisher`: publishing with confirms.
//!
//! # Limits
//!
//! amqprs reads text in message headers and properties as UTF-8 and closes the connection on
//! anything else. A message with such text, which RabbitMQ itself accepts, cannot be consumed: it
//! is redelivered after each reconnect, with growing pauses, until it is taken from the queue by
//! hand. Bytes belong in a header of type byte array, which ploomby reads like any other.
//!
//! amqprs reads nested headers without a limit on their depth: some thousand levels overflow the
//! stack of a thread, which ends the process.
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
mod session;
#[cfg(feature = "tls")]
mod tls;
mod topology;
mod url;
mod window;
