//! What the tests of ploomby share.
//!
//! - [`rabbit`]: the RabbitMQ broker that the tests of a process run against
//! - [`rabbit_with`]: one of a test's own, configured by it, and [`folder_for_a_broker`] for the files that it names
//! - [`OwnRabbit`]: one that a test may kill, freeze and start again
//! - [`Bed`]: a broker, embedded or RabbitMQ, and the queues that a test uses on it
//! - [`Proxy`]: cuts, stalls and throttles the connections to a broker
//! - [`Distance`]: has what goes to a broker and back take its time
//! - [`FakeBroker`]: speaks AMQP, and lies when it is told to
//! - [`RawClient`]: publishes and gets properties as bytes
//! - [`Logged`]: what a thread logs
//! - [`Dependency`]: what handlers need, and that may be away
//! - [`seen`]: what handlers note, and a test waits for
//! - [`eventually`], [`eventually_some`]: waiting for a condition, with a deadline
//! - [`http`]: asking a server
//! - [`unique_name`]: names that no other test uses

mod bed;
mod dependency;
mod fake_broker;
pub mod http;
mod linked;
mod logged;
mod name;
mod proxy;
mod rabbit;
mod raw;
mod received;
mod seen;
mod wait;

pub use bed::{Bed, DEADLINE, KEY};
pub use dependency::Dependency;
pub use fake_broker::{FakeBroker, Manner};
pub use linked::from_another_crate;
pub use logged::Logged;
pub use name::unique_name;
pub use proxy::{Cut, Direction, Distance, Method, Proxy};
pub use rabbit::{OwnRabbit, Rabbit, folder_for_a_broker, rabbit, rabbit_with};
pub use raw::{RawClient, RawMessage};
pub use received::Received;
pub use seen::{Handled, Seen, seen};
pub use wait::{eventually, eventually_some};
