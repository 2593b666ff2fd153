//! A broker inside the process: `memory://name`, for examples, for tests and for first steps.
//!
//! A program that is given `memory://shop` in place of `amqp://…` runs unchanged. Whoever holds a
//! [`MemoryBroker`] of the same name publishes to it and looks into its queues:
//!
//! ```
//! use ploomby::{
//!     HandlerRegistry, KeySource, Message, MessageConsumerRegistry,
//!     memory::{MemoryBroker, MemoryConsumerFactory, MemoryOptions},
//! };
//!
//! async fn greet(name: String) {
//!     println!("hello, {name}");
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let handlers = HandlerRegistry::new().register("greet", greet);
//! let factory = MemoryConsumerFactory::new("memory://greeter")?;
//! let mut consumers = MessageConsumerRegistry::new(handlers, factory);
//! let key = KeySource::header("task_name");
//! consumers.register("greetings", key, 1, MemoryOptions::new()).await?;
//!
//! let broker = MemoryBroker::named("greeter");
//! broker.publish("greetings", Message::new(r#""Ada""#).with_header("task_name", "greet")?)?;
//! while broker.ready_count("greetings") + broker.unacked_count("greetings") > 0 {
//!     tokio::task::yield_now().await;
//! }
//! consumers.disconnect_consumers().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is modelled
//!
//! It does what RabbitMQ does, or refuses: what works here works there.
//!
//! - The default exchange, `mandatory`: a message that reaches no queue is an error. `CC` and `BCC`
//!   headers name further queues.
//! - Direct, topic, fanout and headers exchanges, those that RabbitMQ has from its start (`amq.topic` and its like)
//!   among them; bindings of queues and of exchanges, `x-match` with `all`, `any`, `all-with-x` and `any-with-x`;
//!   alternate exchanges; exchanges that are deleted with their last binding.
//! - Queues in the order of publishing; competing consumers served in turn as far as their prefetch
//!   allows, those of a higher priority first; unacknowledged messages, requeued to their place and marked as redelivered.
//! - The two priorities of messages in a quorum queue, as RabbitMQ 4 has them: those above 4 come first, and after two of them
//!   one that is older. RabbitMQ 3 has none.
//! - The arguments `x-message-ttl`, `x-expires`, `x-max-length`, `x-max-length-bytes`, `x-overflow` (`drop-head`, `reject-publish`),
//!   `x-max-priority` (of classic queues), `x-single-active-consumer`, `x-dead-letter-exchange`, `x-dead-letter-routing-key`,
//!   `x-dead-letter-strategy` and `x-queue-type` (`classic`, `quorum`). Declaring a queue again with other ones is
//!   an error.
//! - The `expiration` of a message. As in classic queues, it takes effect at the head of the queue.
//! - Dead-lettering of what expires or is dropped for length, and RabbitMQ's end of its cycles: a
//!   message does not return to a queue that it expired in.
//! - A queue of the strategy `at-least-once`, as those in which messages wait for a retry or a delay, keeps what
//!   died until a queue takes it. Here that is as soon as one is there that has room; RabbitMQ looks again every three
//!   minutes, unless its `dead_letter_worker_publisher_confirm_timeout` says otherwise.
//! - Direct reply-to, for the calls of an [`RpcClient`](crate::RpcClient).
//! - Deleting and purging queues, also while they are consumed.
//! - RabbitMQ's limits: names of 255 bytes, properties and headers that fit one frame of
//!   131,072 bytes, bodies of 16 MiB (the [default of RabbitMQ 4]), a `user_id` that is the
//!   connection's own, which is `guest` here.
//!
//! # What is not modelled
//!
//! - Exchanges of a plugin's type: they are refused. Arguments of an exchange, other than `alternate-exchange`.
//! - `x-death` and the other headers that RabbitMQ adds when it dead-letters. The header `CC` of a dead letter stays,
//!   as in RabbitMQ 4; RabbitMQ 3 takes it off where the queue has an `x-dead-letter-routing-key`.
//! - Any other argument that starts with `x-`: it is refused. Others are ignored, as RabbitMQ does.
//! - Streams, and what else sets quorum queues apart: one that is declared behaves like a classic queue
//!   and has no delivery limit. A single active consumer of a quorum queue of RabbitMQ 4 makes room for one of a higher
//!   priority; here it stays the one that is served.
//! - Persistence, durable, exclusive and auto-delete queues, and queues named by the broker: a
//!   queue lives until it is deleted or the process ends.
//! - Connections, channels, heartbeats, virtual hosts, users, permissions, memory alarms and the
//!   acknowledgement timeout.
//!
//! # What differs
//!
//! Random programs run here and on RabbitMQ, and are compared. What stays different, beside what is not modelled:
//!
//! - A queue with `reject-publish` takes one or two messages more in RabbitMQ than its `x-max-length` says.
//! - A [`Publisher`](crate::Publisher) looks for the queue of each delayed message here. In RabbitMQ it does so for the
//!   first one of each delay: what is sent after the queue was deleted waits until the queue is there again.
//! - RabbitMQ 3 believes an `x-death` that a sender wrote, and drops a dead letter that died in its target before.
//!   RabbitMQ 4 and this broker do not.
//! - Declaring a queue with `x-expires` again is a use of it; in RabbitMQ that holds for classic queues alone.
//! - A quorum queue of RabbitMQ counts by itself how often a message came back (`x-delivery-count`), and delivers it
//!   again at once. Here ploomby counts with a copy, as in a classic queue.
//! - What is published to a quorum queue of RabbitMQ that was deleted and is declared again may be refused for a moment.
//!
//! # Time
//!
//! What expires is found by whoever uses the queue, and by one task, while messages that can expire
//! wait at the head of a queue. The task runs on the Tokio runtime, with its time enabled, that
//! published last or that a consumer connected on; a runtime's end leaves nothing stuck, since the
//! next use of the broker starts the task anew. `tokio::time::pause` works. The broker of a `testing::TestApp` has the
//! clock of its test instead.
//!
//! [default of RabbitMQ 4]: https://www.rabbitmq.com/docs/limits

pub(crate) use self::look::MemoryLook;
#[cfg(feature = "testing")]
pub(crate) use self::staged::Activity;
pub use self::{
    broker::MemoryBroker, consumer::MemoryConsumer, error::MemoryError,
    factory::MemoryConsumerFactory, options::MemoryOptions,
};

mod acknowledger;
mod arguments;
mod broker;
mod consumer;
mod error;
mod exchange;
mod factory;
mod look;
mod matching;
mod options;
mod queue;
mod replies;
#[cfg(feature = "testing")]
mod staged;
mod state;
mod stored;
mod subscription;
mod timer;
mod unacked;
mod wire;

#[cfg(test)]
mod tests;
