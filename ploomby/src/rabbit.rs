//! RabbitMQ as a source of messages. amqprs carries the frames and is used nowhere else.
//!
//! # Layout
//!
//! - `url`, `credentials`, `tls`: where the broker is, who asks, and how both prove it;
//! - `connector`: which address of which host is tried when, and what to say of it;
//! - `dial`: a stream to the broker;
//! - `traffic`: what is on its way, for whoever waits for an answer;
//! - `io_thread`: the thread that all connections live on;
//! - `guard`: what stands between amqprs and the broker;
//! - `options`: what can be chosen for each queue;
//! - `connection`: one connection that several channels share, opened again when it is lost;
//! - `topology`: the queues that must be there;
//! - `factory`: what consumers of one broker share;
//! - `consumer`, `session`: the life of a consumer, and that of one of its channels;
//! - `window`, `acknowledger`: which deliveries are settled, and telling the broker;
//! - `copies`: where messages go that failed;
//! - `suspects`: which message ends the process;
//! - `publisher`: publishing with confirms;
//! - `line`: publishing in order, whatever becomes of the connection;
//! - `looking`: messages that are looked at and given back;
//! - `replies`: what comes back to calls, and sending what handlers answer.
//!
//! # Limits
//!
//! RabbitMQ carries any bytes as text, and tables inside of each other to any depth; amqprs reads UTF-8 alone, and
//! overflows its stack. So what is not UTF-8 is escaped before amqprs sees it, and becomes what it was in whatever
//! is sent on: a copy, a reply, its address. A program reads a header that is no text, or that is nested more than
//! 32 levels deep, as bytes. In a routing key, an id or another property, each byte that belongs to no character
//! reads as one character of the block `U+10FE80` to `U+10FEFF`, and no two texts become the same. One that has
//! no room for that, of more than 60 such bytes, reads as a text that is made of it.
//!
//! A broker that sends what is no AMQP, or what nobody asked for, loses that connection alone. The log says what
//! it was.
//!
//! A connection over which nothing comes any more is given up after two intervals of the parameter `heartbeat`,
//! 40 seconds unless told otherwise. Bytes count, not frames: a large message on a slow line keeps it. What cannot
//! be written stays with the operating system until that gives the connection up, too.
//!
//! All connections live on a thread of their own, `ploomby-io`, which starts with the first. amqprs reaches the
//! broker through a port on the loopback interface that lets nobody else in; a program needs that interface. A
//! program that is built with `panic = "abort"` ends with a panic of amqprs, too, where others lose the connection
//! that it was about.
//!
//! Who waits for an answer waits for as long as bytes that had to wait leave, and then for a time that grows with what
//! may still be on its way: what is given up could arrive all the same. So a publish to a queue that does not confirm
//! fails late while others use all that the line carries. A broker closes a channel that holds a message for longer
//! than its `consumer_timeout`, 30 minutes unless told otherwise; a message whose copy takes longer to send is handled
//! again then.

#[cfg(fuzzing)]
#[doc(hidden)]
pub use self::guard::fuzzing;
#[cfg(feature = "testing")]
pub(crate) use self::topology::RabbitGround;
pub use self::{
    consumer::RabbitConsumer,
    credentials::Credentials,
    factory::{Connections, RabbitConsumerFactory},
    options::{RabbitOptions, Reconnect},
    url::UrlError,
};
pub(crate) use self::{
    credentials::Ask,
    declarations::Declarations,
    line::{Line, LineConnection},
    looking::{RabbitLook, RabbitLooker},
    publisher::{Confirm, RabbitPublishError},
    topology::Compared,
    url::RabbitUrl,
};

mod acknowledger;
mod connection;
mod connector;
mod consumer;
mod copies;
mod credentials;
mod declarations;
mod dial;
mod factory;
mod guard;
mod io_thread;
mod line;
mod looking;
mod options;
mod publisher;
mod replies;
mod rewiring;
mod session;
mod suspects;
#[cfg(feature = "tls")]
mod tls;
mod topology;
mod traffic;
mod url;
mod window;
