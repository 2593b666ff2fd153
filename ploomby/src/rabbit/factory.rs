use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::{
    connection::SharedConnection,
    consumer::RabbitConsumer,
    copies::Copies,
    line::LineConnection,
    options::{RabbitOptions, Reconnect},
    publisher::ConfirmedPublisher,
    replies::ReplySender,
    suspects::Suspects,
    url::{RabbitUrl, UrlError},
};
use crate::{consumer::MessageConsumerFactory, handler::QueuePolicy, settle::ConsumerError};

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
    copies: Arc<ConfirmedPublisher>,
    replies: Arc<ReplySender>,
    reconnect: Reconnect,
    connections: Connections,
    /// Shared by the consumers of a queue.
    suspects: Mutex<HashMap<String, Weak<Suspects>>>,
}

impl RabbitConsumerFactory {
    /// Consumers of the broker at `amqp://user:password@host1:5672,host2/vhost`.
    ///
    /// Where both are left out, user and password are `guest`, which RabbitMQ lets in from its own machine alone;
    /// the port is 5672 and the virtual host `/`. All addresses of all hosts are tried, the next one before the present
    /// one has been waited for long; one that did not answer, at whatever step, comes last for a minute. The URL is read
    /// by the letter of RabbitMQ's [URI specification]: what cannot stand in one of its parts, such as a line break in
    /// the password, is an error, and can be written percent-encoded. Parameters: `heartbeat` (seconds, default 20), `connection_name`,
    /// `connection_timeout` (milliseconds, default 10,000), `password_file`, `wait_for_broker` (seconds that the first
    /// connection may be tried, default 0: see [`App::wait_for_broker`](crate::App::wait_for_broker)).
    ///
    /// `amqp://user@host?password_file=/run/secrets/rabbit` takes the password from a file, without white space at the
    /// file's end. The file is read at each connection, so that a password that was changed is used by the next one.
    ///
    /// `amqps://`, by the feature `tls`, has the port 5671 and the parameters of RabbitMQ's [URI
    /// query parameters]: `cacertfile`, the authorities to trust in place of the machine's;
    /// `certfile` and `keyfile`, the certificate to show; `server_name_indication`, the name in the
    /// broker's certificate where it is not the host. The files are in PEM format and read at each
    /// connection, so that renewed ones are used. What `cacertfile` names is trusted as it is, a certificate that signs
    /// for itself among it. With `auth_mechanism=external` the certificate says who connects, in the place of user and
    /// password.
    ///
    /// # Errors
    ///
    /// A URL that cannot be used, or a file that it names.
    ///
    /// [URI specification]: https://www.rabbitmq.com/docs/uri-spec
    /// [URI query parameters]: https://www.rabbitmq.com/docs/uri-query-parameters
    pub fn new(url: &str) -> Result<Self, UrlError> {
        Ok(Self::from_url(RabbitUrl::parse(url)?))
    }

    pub(crate) fn from_url(url: RabbitUrl) -> Self {
        Self {
            connection: Arc::new(SharedConnection::new(url.clone(), "consumer")),
            copies: Arc::new(ConfirmedPublisher::new(Arc::new(LineConnection::new(
                url.clone(),
                "publisher",
            )))),
            replies: Arc::new(ReplySender::new(url.clone())),
            url,
            reconnect: Reconnect::forever(),
            connections: Connections::Shared,
            suspects: Mutex::default(),
        }
    }

    /// Copies and replies go over this connection, which others publish over as well.
    pub(crate) fn publishing_over(mut self, connection: Arc<LineConnection>) -> Self {
        self.copies = Arc::new(ConfirmedPublisher::new(connection));
        self
    }

    /// How often a lost connection is opened again (default: forever).
    #[must_use]
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// The suspects of a queue, which its consumers share.
    fn suspects(&self, queue: &str, new: impl FnOnce() -> Suspects) -> Arc<Suspects> {
        let mut all = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, suspects| suspects.strong_count() > 0);
        let known = all.get(queue).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let suspects = Arc::new(new());
            all.insert(queue.to_owned(), Arc::downgrade(&suspects));
            suspects
        })
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
        let options = &options.options;
        let companions = options.companions(listen_for).map_err(ConsumerError::new)?;
        let wiring = options.wiring().map_err(ConsumerError::new)?;
        let connection = match self.connections {
            Connections::Shared => self.connection.clone(),
            Connections::PerConsumer => {
                Arc::new(SharedConnection::new(self.url.clone(), "consumer"))
            }
        };
        let copies = Arc::new(Copies::new(
            listen_for,
            companions,
            self.copies.clone(),
            self.replies.clone(),
            options.declare.unwrap_or_default(),
        ));
        let suspects = self.suspects(listen_for, || {
            let most_crashes = options.policy.most_crashes();
            Suspects::new(listen_for, connection.clone(), copies.clone(), most_crashes)
        });
        Ok(RabbitConsumer::new(
            (connection, self.connections),
            copies,
            suspects,
            (listen_for, options, wiring),
            self.reconnect,
        ))
    }

    fn policy(&self, options: &RabbitOptions, consumers_count: usize) -> QueuePolicy {
        options.options.policy(consumers_count)
    }

    async fn close(&self) {
        self.replies.close().await;
        self.copies.close().await;
        self.connection.close().await;
    }
}
