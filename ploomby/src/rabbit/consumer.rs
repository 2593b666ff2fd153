use std::{fmt, sync::Arc, time::Duration};

use tracing::{error, info, warn};

use super::{
    connection::SharedConnection,
    options::{RabbitOptions, Reconnect},
    publisher::ConfirmedPublisher,
    session::{Lost, Session, Subscription},
    topology,
    url::{RabbitUrl, UrlError},
};
use crate::{
    consumer::{ConsumerError, MessageConsumer, MessageConsumerFactory},
    dispatcher::Dispatcher,
    message::Value,
};

/// The pauses between two tries to connect: the first is this long, at most.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// No pause is longer, so that a broker that is back is found soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Makes consumers of queues on a RabbitMQ, that share one connection.
///
/// ```no_run
/// use ploomby::{
///     HandlerRegistry, KeySource, MessageConsumerRegistry,
///     rabbit::{RabbitConsumerFactory, RabbitOptions},
/// };
///
/// # async fn example() -> anyhow::Result<()> {
/// let factory = RabbitConsumerFactory::new("amqp://guest:guest@localhost:5672")?;
/// let mut consumers = MessageConsumerRegistry::new(HandlerRegistry::linked(), factory);
/// let key = KeySource::header("task_name");
/// consumers.register("queue1", key, 1, RabbitOptions::new()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RabbitConsumerFactory {
    url: RabbitUrl,
    connection: Arc<SharedConnection>,
    dead_letters: Arc<ConfirmedPublisher>,
    reconnect: Reconnect,
    connections: Connections,
}

impl RabbitConsumerFactory {
    /// Consumers of the broker at `amqp://user:password@host1:5672,host2/vhost`.
    ///
    /// Left out, user and password are `guest`, the port is 5672 and the virtual host `/`. Several
    /// hosts are tried in turn. Parameters: `heartbeat` (seconds, default 20), `connection_name`,
    /// `connection_timeout` (milliseconds, default 10,000).
    ///
    /// # Errors
    ///
    /// A URL that cannot be used.
    pub fn new(url: &str) -> Result<Self, UrlError> {
        Ok(Self::from_url(RabbitUrl::parse(url)?))
    }

    pub(crate) fn from_url(url: RabbitUrl) -> Self {
        Self {
            connection: Arc::new(SharedConnection::new(url.clone(), "consumer")),
            dead_letters: Arc::new(ConfirmedPublisher::new(url.clone())),
            url,
            reconnect: Reconnect::forever(),
            connections: Connections::Shared,
        }
    }

    /// How often a lost connection is opened again (default: forever).
    #[must_use]
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Whether consumers share a connection (default) or have one each.
    #[must_use]
    pub fn connections(mut self, connections: Connections) -> Self {
        self.connections = connections;
        self
    }
}

/// How consumers come to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connections {
    /// All consumers of a factory share one, each with a channel of its own.
    Shared,
    /// Each has its own, for throughput that one socket does not carry.
    PerConsumer,
}

impl MessageConsumerFactory for RabbitConsumerFactory {
    type Consumer = RabbitConsumer;
    type Options = RabbitOptions;

    fn create(
        &self,
        listen_for: &str,
        options: &RabbitOptions,
    ) -> Result<RabbitConsumer, ConsumerError> {
        let dead_letter_queue = options
            .dead_letter_queue
            .clone()
            .unwrap_or_else(|| format!("{listen_for}_dlq"));
        for name in [listen_for, &dead_letter_queue] {
            if name.is_empty() || name.len() > 255 {
                return Err(ConsumerError::new(format!(
                    "`{name}` cannot name a queue: it takes 1 to 255 bytes"
                )));
            }
        }
        if options.prefetch == 0 {
            return Err(ConsumerError::new(
                "a prefetch of 0 would mean no limit: ask for 1 or more",
            ));
        }
        let connection = match self.connections {
            Connections::Shared => self.connection.clone(),
            Connections::PerConsumer => {
                Arc::new(SharedConnection::new(self.url.clone(), "consumer"))
            }
        };
        Ok(RabbitConsumer {
            connection,
            connections: self.connections,
            dead_letters: self.dead_letters.clone(),
            subscription: Subscription {
                queue: listen_for.to_owned(),
                prefetch: options.prefetch,
                dead_letter_queue,
            },
            queue_arguments: options.queue_arguments.clone(),
            reconnect: self.reconnect,
            session: None,
        })
    }

    fn concurrency(&self, options: &RabbitOptions, consumers_count: usize) -> usize {
        options
            .concurrency
            .unwrap_or(usize::from(options.prefetch) * consumers_count)
    }

    async fn close(&self) {
        self.dead_letters.close().await;
        self.connection.close().await;
    }
}

/// A consumer of one queue on a RabbitMQ. It survives the loss of its channel and its connection.
pub struct RabbitConsumer {
    connection: Arc<SharedConnection>,
    connections: Connections,
    dead_letters: Arc<ConfirmedPublisher>,
    subscription: Subscription,
    queue_arguments: Vec<(String, Value)>,
    reconnect: Reconnect,
    session: Option<Session>,
}

impl RabbitConsumer {
    async fn open(&self) -> Result<Session, topology::TopologyError> {
        topology::ensure(
            &self.connection,
            &self.subscription.queue,
            &self.queue_arguments,
            &self.subscription.dead_letter_queue,
        )
        .await?;
        Session::open(&self.connection, &self.subscription, &self.dead_letters).await
    }

    /// Opens a session again, however long the broker stays away, unless told otherwise.
    async fn reopen(&self) -> Result<Session, ConsumerError> {
        let queue = &self.subscription.queue;
        let mut attempt = 0;
        let mut longest = FIRST_PAUSE;
        loop {
            attempt += 1;
            if !self.reconnect.allows(attempt) {
                return Err(ConsumerError::new(format!(
                    "the connection was lost and not opened again in {} tries",
                    attempt - 1
                )));
            }
            tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
            longest = (longest * 2).min(LONGEST_PAUSE);
            match self.open().await {
                Ok(session) => {
                    info!(queue, attempt, "consuming again");
                    return Ok(session);
                }
                Err(error) if error.is_passing() => warn!(queue, attempt, %error, "not consuming"),
                Err(error) => error!(queue, attempt, %error, "not consuming"),
            }
        }
    }
}

impl MessageConsumer for RabbitConsumer {
    async fn connect(&mut self) -> Result<(), ConsumerError> {
        self.session = Some(self.open().await.map_err(ConsumerError::new)?);
        Ok(())
    }

    async fn consume(&mut self, dispatcher: Dispatcher) -> Result<(), ConsumerError> {
        loop {
            let session = match &mut self.session {
                Some(session) => session,
                None => {
                    let session = tokio::select! {
                        session = self.reopen() => session?,
                        // there is nothing to give back, and no reason to come back
                        () = dispatcher.stopped() => return Ok(()),
                    };
                    self.session.insert(session)
                }
            };
            let Lost(reason) = session.run(&dispatcher).await;
            error!(
                queue = self.subscription.queue,
                reason, "not consuming, opening the channel again"
            );
            if let Some(session) = self.session.take() {
                session.close().await;
            }
            if dispatcher.is_stopped() {
                return Ok(());
            }
        }
    }

    async fn disconnect(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
        if self.connections == Connections::PerConsumer {
            self.connection.close().await;
        }
    }
}

impl fmt::Debug for RabbitConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitConsumer")
            .field("subscription", &self.subscription)
            .field("consuming", &self.session.is_some())
            .finish_non_exhaustive()
    }
}
