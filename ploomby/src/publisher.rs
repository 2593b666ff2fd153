//! Sending messages to queues.

use std::{fmt, sync::Arc};

use thiserror::Error;

use crate::{
    app::broker_url::BrokerUrl,
    memory::{MemoryBroker, MemoryError},
    message::Message,
    rabbit::{ConfirmedPublisher, RabbitPublishError},
};

/// Sends messages to queues of a broker. Cheap to clone: all clones share a connection.
///
/// ```standalone_crate
/// use ploomby::{App, KeySource, Message, Publisher, Queue};
///
/// #[ploomby::handler("greet")]
/// async fn greet(name: String) {
///     println!("hello, {name}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let url = "memory://publisher-example";
/// let running = App::new(url)
///     .queue(Queue::new("greetings").key(KeySource::header("task_name")))
///     .start()
///     .await?;
/// let publisher = Publisher::connect(url).await?;
/// let message = Message::new(r#""Ada""#).with_header("task_name", "greet")?;
/// publisher.publish("greetings", message).await?;
/// running.shut_down().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Publisher(Broker);

#[derive(Clone)]
enum Broker {
    Rabbit(Arc<ConfirmedPublisher>),
    Memory(MemoryBroker),
}

impl Publisher {
    /// Connects to the broker at `amqp://…` or `memory://name`.
    ///
    /// # Errors
    ///
    /// A URL that cannot be used, or a broker that is not there or does not let the program in.
    pub async fn connect(url: &str) -> Result<Self, PublishError> {
        Ok(Self(
            match BrokerUrl::parse(url).map_err(|error| PublishError::Url(error.into()))? {
                BrokerUrl::Rabbit(url) => {
                    let publisher = ConfirmedPublisher::new(url);
                    publisher.connect().await?;
                    Broker::Rabbit(Arc::new(publisher))
                }
                BrokerUrl::Memory(broker) => Broker::Memory(broker),
            },
        ))
    }

    /// Publishes to a queue, through the default exchange and `mandatory`, and waits until the
    /// broker has confirmed that the message is there. It is persistent, unless its properties
    /// say [`transient`](crate::Properties::transient).
    ///
    /// A connection that was lost is opened again by the next call.
    ///
    /// # Errors
    ///
    /// The message is not in the queue; after [`PublishError::Unconfirmed`] it may be.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the message may be in the queue or not.
    pub async fn publish(&self, queue: &str, message: Message) -> Result<(), PublishError> {
        let (properties, body) = message.into_parts();
        let message = Message::new(body).with_properties(properties.persistent_by_default());
        match &self.0 {
            Broker::Rabbit(publisher) => publisher.publish(queue, message).await?,
            Broker::Memory(broker) => broker.publish(queue, message)?,
        }
        Ok(())
    }

    /// Closes the connection, of all clones, in order.
    pub async fn close(self) {
        if let Broker::Rabbit(publisher) = self.0 {
            publisher.close().await;
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

/// What is behind a [`PublishError`].
type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a message is not known to be in its queue.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The broker's URL cannot be used.
    #[error("{0}")]
    Url(Source),
    /// There is no such queue.
    #[error("there is no queue `{0}`: declare it first, or start what consumes it")]
    Unroutable(String),
    /// The broker did not take it: the queue is full, the message too large, or not allowed.
    #[error("the broker did not take the message: {0}")]
    Refused(Source),
    /// The broker did not say in time that it has the message, and may have it.
    #[error("the broker did not confirm the message: {0}")]
    Unconfirmed(Source),
    /// There is no connection to the broker.
    #[error("{0}")]
    Connect(Source),
}

impl From<RabbitPublishError> for PublishError {
    fn from(error: RabbitPublishError) -> Self {
        match error {
            RabbitPublishError::Unroutable(queue) => Self::Unroutable(queue),
            RabbitPublishError::Connect(error) => Self::Connect(error.into()),
            RabbitPublishError::Lost(_) | RabbitPublishError::TimedOut => {
                Self::Unconfirmed(error.into())
            }
            other => Self::Refused(other.into()),
        }
    }
}

impl From<MemoryError> for PublishError {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::Unroutable(queue) => Self::Unroutable(queue),
            other => Self::Refused(other.into()),
        }
    }
}
