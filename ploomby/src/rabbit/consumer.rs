use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use tokio::{task::JoinHandle, time::timeout};
use tracing::{error, warn};

use super::{
    connection::{CLOSE_TIMEOUT, SharedConnection},
    copies::Copies,
    line::LineConnection,
    options::{RabbitOptions, Reconnect},
    publisher::ConfirmedPublisher,
    replies::ReplySender,
    session::{Lost, Session, Subscription, is_refusal_to_tell},
    suspects::Suspects,
    topology::{self, Asker, TopologyError},
    url::{RabbitUrl, UrlError},
};
use crate::{
    consumer::{Declare, MessageConsumer, MessageConsumerFactory},
    dispatcher::Dispatcher,
    handler::QueuePolicy,
    message::Value,
    settle::ConsumerError,
};

/// A channel that lived as long counts as a success: the pauses and the tries start anew.
const GOOD_LIFE: Duration = Duration::from_secs(30);

/// How many questions about queues go over one channel at a start.
const QUESTIONS: usize = 2;

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
    /// the port is 5672 and the virtual host `/`. Several hosts are tried in turn. The URL is read by the letter of
    /// RabbitMQ's [URI specification]: what cannot stand in one of its parts, such as a line break in the password, is
    /// an error, and can be written percent-encoded. Parameters: `heartbeat` (seconds, default 20), `connection_name`,
    /// `connection_timeout` (milliseconds, default 10,000), `password_file`.
    ///
    /// `amqp://user@host?password_file=/run/secrets/rabbit` takes the password from a file, without white space at the
    /// file's end. The file is read at each connection, so that a password that was changed is used by the next one.
    ///
    /// `amqps://`, by the feature `tls`, has the port 5671 and the parameters of RabbitMQ's [URI
    /// query parameters]: `cacertfile`, the authorities to trust in place of the machine's;
    /// `certfile` and `keyfile`, the certificate to show; `server_name_indication`, the name in the
    /// broker's certificate where it is not the host. The files are in PEM format and read at each
    /// connection, so that renewed ones are used. The certificate does not replace user and
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
        let connection = match self.connections {
            Connections::Shared => self.connection.clone(),
            Connections::PerConsumer => {
                Arc::new(SharedConnection::new(self.url.clone(), "consumer"))
            }
        };
        let queue_arguments = companions.queue_arguments(&options.arguments);
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
        Ok(RabbitConsumer {
            connection,
            connections: self.connections,
            queue_arguments,
            copies,
            suspects,
            looking_after: None,
            cuts: 0,
            is_prefetch_chosen: options.is_prefetch_chosen,
            has_single_active: options.has_single_active(),
            retry_delays: Vec::new(),
            subscription: Subscription {
                queue: listen_for.to_owned(),
                prefetch: options.prefetch,
                is_ordered: false,
                is_told: true,
            },
            reconnect: self.reconnect,
            attempt: 0,
            session: None,
        })
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

/// A consumer of one queue on a RabbitMQ. It survives the loss of its channel and its connection.
pub struct RabbitConsumer {
    connection: Arc<SharedConnection>,
    connections: Connections,
    copies: Arc<Copies>,
    /// The retry queues that have to be there.
    retry_delays: Vec<Duration>,
    subscription: Subscription,
    queue_arguments: Vec<(String, Value)>,
    reconnect: Reconnect,
    suspects: Arc<Suspects>,
    looking_after: Option<JoinHandle<()>>,
    /// Channels that were lost, and this process lived on.
    cuts: u32,
    is_prefetch_chosen: bool,
    /// The program asks for a queue of which one consumer at a time is served.
    has_single_active: bool,
    /// Tries to connect since the last channel that lived for a while.
    attempt: u32,
    session: Option<Session>,
}

impl RabbitConsumer {
    /// Makes sure that all queues are there, and subscribes.
    async fn start(&mut self) -> Result<Session, TopologyError> {
        let connection = self.connection.clone();
        let mut asker = Asker::new(&connection);
        let beside = self.copies.companions().declared(&self.retry_delays);
        let beside = match self.copies.declare() {
            Declare::Never => Vec::new(),
            _ => beside,
        };
        // few at a time over each channel, so that a distant broker does not take a round trip for each
        let mut others: Vec<_> = beside
            .chunks(QUESTIONS)
            .map(|beside| (Asker::new(&connection), beside))
            .collect();
        let queue = (&*self.subscription.queue, self.copies.declare());
        let ensured = topology::ensure(&mut asker, queue, &self.queue_arguments, &mut others).await;
        let closing = join_all(others.into_iter().map(|(asker, _)| asker.close()));
        if let Err(error) = ensured {
            join(closing, asker.close()).await;
            return Err(error);
        }
        self.copies.declared(&beside);
        let (_, opened) = join(closing, self.open(asker)).await;
        opened
    }

    /// Subscribes again. The queue is mostly there still, and those beside it are declared when something is to go
    /// there and they are gone, so that a lost connection takes no longer to mend than it must.
    async fn start_again(&mut self) -> Result<Session, TopologyError> {
        let connection = self.connection.clone();
        match self.open(Asker::new(&connection)).await {
            Err(error) if error.is_missing_queue() => {}
            opened => return opened,
        }
        // somebody has deleted it, or the broker has lost what it had
        self.start().await
    }

    async fn open(&mut self, asker: Asker<'_>) -> Result<Session, TopologyError> {
        let suspects = (self.suspects.clone(), self.cuts);
        match Session::open(asker, &self.subscription, &self.copies, suspects.clone()).await {
            Err(error) if self.subscription.is_told && is_refusal_to_tell(&error) => {
                self.subscription.is_told = false;
                let connection = self.connection.clone();
                let asker = Asker::new(&connection);
                Session::open(asker, &self.subscription, &self.copies, suspects).await
            }
            opened => opened,
        }
    }

    /// Puts a new session in the place of one that the broker may have lost in silence. Where that does not
    /// succeed there is none.
    async fn renew(&mut self) -> Result<(), TopologyError> {
        // first, since two at the same time would overtake each other
        let Some(old) = self.session.take() else {
            return Ok(());
        };
        let stale = old.next_stale();
        old.close().await;
        let connection = self.connection.clone();
        let opened = self.open(Asker::new(&connection)).await?;
        self.session = Some(opened.stale_after(stale));
        Ok(())
    }

    /// Opens a session again, however long the broker stays away, unless told otherwise.
    ///
    /// The tries are counted from the last channel that lived for a while: a connection that is lost as soon as
    /// it is there must not make the broker's log and the other queues suffer without a pause.
    async fn reopen(&mut self, dispatcher: &Dispatcher) -> Result<Option<Session>, ConsumerError> {
        loop {
            self.attempt += 1;
            let attempt = self.attempt;
            if !self.reconnect.allows(attempt) {
                return Err(ConsumerError::new(format!(
                    "the connection was lost and not kept open again in {} tries",
                    attempt - 1
                )));
            }
            let pause = self.reconnect.pause(attempt);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // there is nothing to give back, and no reason to come back
                () = dispatcher.stopped() => return Ok(None),
            }
            let opened = self.start_again().await;
            if matches!(opened, Err(TopologyError::Missing(_))) {
                // it is waited for, however long that takes
                self.attempt = self.attempt.min(1);
            }
            let queue = &self.subscription.queue;
            match opened {
                Ok(session) => {
                    dispatcher.consuming();
                    self.suspects.look();
                    return Ok(Some(session));
                }
                Err(error) => {
                    dispatcher.not_consuming(&error);
                    if error.is_passing() {
                        warn!(queue, attempt, %error, "not consuming");
                    } else {
                        error!(queue, attempt, %error, "not consuming");
                    }
                }
            }
        }
    }
}

impl MessageConsumer for RabbitConsumer {
    async fn connect(&mut self, dispatcher: &Dispatcher) -> Result<(), ConsumerError> {
        self.retry_delays = dispatcher.retry_delays();
        let companions = self.copies.companions();
        companions
            .check(&self.retry_delays)
            .map_err(ConsumerError::new)?;
        self.subscription.is_ordered = self.has_single_active || dispatcher.is_ordered();
        if !self.is_prefetch_chosen {
            self.subscription.prefetch = dispatcher.window(self.subscription.prefetch);
        }
        self.session = match self.start().await {
            Err(error @ TopologyError::Missing(_)) => {
                dispatcher.not_consuming(&error);
                None
            }
            started => Some(started.map_err(ConsumerError::new)?),
        };
        Ok(())
    }

    async fn consume(&mut self, dispatcher: Dispatcher) -> Result<(), ConsumerError> {
        let suspects = self.suspects.clone().look_after(dispatcher.clone());
        self.looking_after = Some(tokio::spawn(suspects));
        let mut opened = Instant::now();
        loop {
            if self.session.is_none() {
                match self.reopen(&dispatcher).await? {
                    Some(session) => self.session = Some(session),
                    None => return Ok(()),
                }
                opened = Instant::now();
            }
            let session = self.session.as_mut().expect("there is one");
            let Err(Lost(mut reason)) = session.run(&dispatcher).await else {
                if let Err(error) = self.renew().await {
                    dispatcher.not_consuming(&error);
                }
                continue;
            };
            if opened.elapsed() >= GOOD_LIFE {
                self.attempt = 0;
            }
            self.cuts = self.cuts.saturating_add(1);
            if is_held_too_long(&reason) {
                reason.push_str(&remedy_for_holding(dispatcher.longest()));
            }
            dispatcher.not_consuming(&reason);
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
        if let Some(mut looking_after) = self.looking_after.take() {
            // no handler runs any more
            if timeout(CLOSE_TIMEOUT, &mut looking_after).await.is_err() {
                looking_after.abort();
            }
        }
        self.suspects.close().await;
        if self.connections == Connections::PerConsumer {
            self.connection.close().await;
        }
    }
}

/// Whether the broker closed a channel that held a message for longer than it allows.
///
/// Source: [acknowledgement timeout](https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout).
fn is_held_too_long(reason: &str) -> bool {
    reason.contains("delivery acknowledgement") && reason.contains("timed out")
}

fn remedy_for_holding(longest: Option<(&'static str, Duration)>) -> String {
    let holder = match longest {
        Some((handler, held)) => format!("`{handler}` has held its message for {held:.1?}"),
        None => "messages waited here for a handler".to_owned(),
    };
    format!(
        "; {holder}: raise `consumer_timeout` of the broker above what the handler takes, set a `timeout` for it, or \
         lower the prefetch, so that no message waits here"
    )
}

impl fmt::Debug for RabbitConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitConsumer")
            .field("subscription", &self.subscription)
            .field("consuming", &self.session.is_some())
            .finish_non_exhaustive()
    }
}
