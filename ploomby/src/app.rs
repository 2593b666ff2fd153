//! From settings to a running program.

use std::{any::TypeId, fmt, pin::pin, sync::Arc, time::Duration};

use http::Extensions;
use tracing::{error, info, warn};

#[cfg(feature = "admin")]
pub(crate) use self::attendant::{Attend, Attendant, Controls, Described, Life};
pub use self::{error::Error, queue::Queue, running::Running};
use self::{given::LazyState, running::Consumers};
use crate::{
    brake::{Brake, Check, Checks},
    consumer::{
        Declare, MessageConsumerFactory, MessageConsumerRegistry, RegisterError, Registration,
        Signals, options::QueueOptions,
    },
    delivery::KeySource,
    extract::Given,
    handler::{HandlerRegistry, Queues},
    layer::Layers,
    memory::MemoryConsumerFactory,
    metrics::Sent,
    publisher::{BrokerUrl, Destination, Publisher},
    rabbit::{Ask, Credentials, RabbitConsumerFactory, Reconnect},
    stage::Stage,
    topology::Exchange,
    trace::Trace,
};

#[cfg(feature = "admin")]
mod attendant;
mod error;
mod given;
mod parts;
mod queue;
mod running;
#[cfg(feature = "testing")]
mod staged;
mod topology;

/// Handles the messages of one queue until the program is told to stop; `key_header` is the header
/// that names the handler of each message. A message without it is named by its property `type`, which a
/// [`Publisher`] writes by default.
///
/// It is a shortcut for [`App`] with its defaults: the handlers are those that carry
/// [`#[handler]`](macro@crate::handler), 64 messages are prefetched, a lost connection is opened
/// again for ever, and on SIGINT or SIGTERM running handlers have 25 s to finish.
///
/// ```no_run
/// # async fn example() -> anyhow::Result<()> {
/// ploomby::run("amqp://guest:guest@localhost:5672", "queue1", "task_name").await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// At once, what keeps the program from starting: a URL that cannot be used, a broker that is not
/// there or does not let it in, no handler, two handlers for one key. Later, what it cannot recover
/// from.
pub async fn run(url: &str, queue: &str, key_header: &str) -> Result<(), Error> {
    let key = KeySource::header(key_header).or(KeySource::MessageType);
    App::new(url).queue(Queue::new(queue).key(key)).run().await
}

/// A program that handles messages of one or several queues.
///
/// It needs a tokio runtime with time and I/O, as `#[tokio::main]` and `Builder::enable_all` make it: one without
/// panics at the start. Handlers run on that runtime, each in a task that may move to another thread: what needs a
/// `LocalSet`, such as `tokio::task::spawn_local` and `actix_rt::spawn`, panics in them.
///
/// ```standalone_crate
/// use ploomby::{App, KeySource, Queue};
///
/// #[ploomby::handler("create_user")]
/// async fn create_user(name: String) {
///     println!("welcome, {name}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let running = App::new("memory://app-example")
///     .queue(Queue::new("users").key(KeySource::header("task_name")).consumers(3))
///     .queue(Queue::new("billing").key(KeySource::RoutingKey).prefetch(16))
///     .start()
///     .await?;
/// running.shut_down().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "an app does nothing until it is run"]
pub struct App {
    url: String,
    queues: Vec<Queue>,
    handlers: Option<HandlerRegistry>,
    deadline: Option<Duration>,
    reconnect: Reconnect,
    state: Extensions,
    lazy_state: Vec<LazyState>,
    name: Option<Arc<str>>,
    layers: Layers,
    only: Option<Vec<String>>,
    declare: Declare,
    exchanges: Vec<Exchange>,
    wait_for_broker: Option<Duration>,
    credentials: Option<Ask>,
    brake: Option<Brake>,
    checks: Vec<Arc<Check>>,
    trace: Option<Trace>,
    /// Where its messages are handled.
    stage: Stage,
    /// Who stands beside it, and what is said to them.
    #[cfg(feature = "admin")]
    pub(crate) attend: Option<Attend>,
    #[cfg(feature = "admin")]
    pub(crate) said: Extensions,
}

impl App {
    /// An app on the broker at `amqp://user:password@host:5672/vhost`, or on the one inside of
    /// the process that `memory://name` names. What else a URL can say stands at
    /// [`RabbitConsumerFactory::new`].
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            queues: Vec::new(),
            handlers: None,
            deadline: None,
            reconnect: Reconnect::forever(),
            state: Extensions::new(),
            lazy_state: Vec::new(),
            name: None,
            layers: Layers::default(),
            only: None,
            declare: Declare::default(),
            exchanges: Vec::new(),
            wait_for_broker: None,
            credentials: None,
            brake: None,
            checks: Vec::new(),
            trace: None,
            stage: Stage::default(),
            #[cfg(feature = "admin")]
            attend: None,
            #[cfg(feature = "admin")]
            said: Extensions::new(),
        }
    }

    /// Adds a queue to consume.
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queues.push(queue);
        self
    }

    /// Consumes only these of its queues. The handlers of all others are left out, and are no error: for programs
    /// that share a library of handlers, or that run a part of their queues each.
    ///
    /// ```standalone_crate
    /// use ploomby::{App, Queue};
    ///
    /// #[ploomby::handler("charge", queue = "billing")]
    /// async fn charge(cents: u64) {
    ///     println!("{cents} charged");
    /// }
    ///
    /// #[ploomby::handler("welcome", queue = "mail")]
    /// async fn welcome(name: String) {
    ///     println!("welcome, {name}");
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// let running = App::new("memory://only-example")
    ///     .queue(Queue::new("billing"))
    ///     .queue(Queue::new("mail"))
    ///     .only(["mail"])
    ///     .start()
    ///     .await?;
    /// running.shut_down().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn only<Q: Into<String>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        self.only = Some(queues.into_iter().map(Into::into).collect());
        self
    }

    /// Asks who logs in, and with what, instead of reading it in the URL: at each connect, and before the credentials
    /// end if they say [for how long they are valid](Credentials::valid_for). A program has up to three connections, each
    /// of which asks. An answer may take as long as a connection (`connection_timeout` of the URL). An error counts as a
    /// broker that is away, and shows in [`Health`](crate::Health). A `memory://` URL asks nobody. For a password in a
    /// file, the URL has `password_file`.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ploomby::{App, Queue, rabbit::Credentials};
    ///
    /// async fn token() -> anyhow::Result<Credentials> {
    ///     let token = "what the identity provider gives".to_owned();
    ///     Ok(Credentials::new("", token).valid_for(Duration::from_secs(300)))
    /// }
    ///
    /// # async fn example() -> anyhow::Result<()> {
    /// App::new("amqps://rabbit.example").credentials(token).queue(Queue::new("users")).run().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn credentials<Fut, E>(mut self, ask: impl Fn() -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.credentials = Some(Ask::new(ask));
        self
    }

    /// Looks after something that handlers need, such as a database: handlers and queues that
    /// [need it](Queue::needs) get no message while the check fails, and their messages wait in the broker. The next
    /// success lets the messages come again, step by step. [`Health`](crate::Health) tells what the check says.
    ///
    /// It is made once before anything is consumed, then `every` so often, at most ten times a second. One that takes
    /// longer than ten seconds fails.
    ///
    /// ```standalone_crate
    /// use std::time::Duration;
    /// use ploomby::{App, Queue};
    /// use tokio::net::TcpStream;
    ///
    /// #[ploomby::handler("charge", needs = "payment api")]
    /// async fn charge(cents: u64) {
    ///     println!("{cents} charged");
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// let running = App::new("memory://check-example")
    ///     .check("payment api", Duration::from_secs(5), || TcpStream::connect("127.0.0.1:1"))
    ///     .queue(Queue::new("billing"))
    ///     .start()
    ///     .await?;
    /// assert!(!running.health().checks()[0].is_passing());
    /// # running.shut_down().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn check<Fut, T, E>(
        mut self,
        name: impl Into<String>,
        every: Duration,
        check: impl Fn() -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let check = Check::new(name.into(), every, check);
        self.checks.push(Arc::new(check));
        self
    }

    /// After how many failures in a row a handler gets one message a second until one succeeds, if neither its queue
    /// nor the handler itself says (default: [`Brake::none`]).
    pub fn brake(mut self, brake: impl Into<Brake>) -> Self {
        self.brake = Some(brake.into());
        self
    }

    /// Handlers that were registered by hand, instead of those that carry
    /// [`#[handler]`](macro@crate::handler).
    pub fn handlers(mut self, handlers: HandlerRegistry) -> Self {
        self.handlers = Some(handlers);
        self
    }

    /// How long the program may take to end once it is told to stop (default: 28 s, which is below the 30 s that a
    /// container usually has before it is killed). Its last 3 s, or its last quarter if that is less, are for closing:
    /// handlers that still run then are cut off. A shorter one than 2 s counts for
    /// handlers alone.
    pub fn shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How often a lost connection is opened again (default: forever).
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Consumes until the process receives SIGINT or SIGTERM, then shuts down in order. A second
    /// signal ends it at once, and so does the first one before anything is consumed.
    ///
    /// # Errors
    ///
    /// What keeps it from starting, at once; what it cannot recover from; handlers that were cut
    /// off by the deadline of the shutdown.
    pub async fn run(self) -> Result<(), Error> {
        let mut signals = Signals::listen()?;
        // cancel safety: nothing is consumed before the start is done
        let running = tokio::select! {
            biased;
            started = self.start() => started?,
            _ = signals.next() => {
                info!("told to stop before anything was consumed");
                return Ok(());
            }
        };
        running.until(signals).await
    }

    /// Consumes until `stop` is ready, then shuts down in order: for a program that ends by something else than
    /// a signal. Ready before anything is consumed, it ends the start.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ploomby::{App, HandlerRegistry, Queue};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// # let app = App::new("memory://run-until-example")
    /// #     .handlers(HandlerRegistry::new().register("nothing", || async {}));
    /// app.queue(Queue::new("nightly"))
    ///     .run_until(tokio::time::sleep(Duration::from_millis(10)))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As those of [`run`](Self::run).
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let mut stop = pin!(stop);
        // cancel safety: nothing is consumed before the start is done
        let mut running = tokio::select! {
            biased;
            started = self.start() => started?,
            () = &mut stop => {
                info!("told to stop before anything was consumed");
                return Ok(());
            }
        };
        // cancel safety: `wait` can be dropped, and is not needed any more then
        let ended = tokio::select! {
            ended = running.wait() => ended,
            () = stop => Ok(()),
        };
        ended.and(running.shut_down().await)
    }

    /// Starts consuming and returns: the queues are there, and messages are handled from here on.
    ///
    /// # Errors
    ///
    /// What keeps it from starting.
    pub async fn start(mut self) -> Result<Running, Error> {
        #[cfg(feature = "admin")]
        let described = self.described()?;
        #[cfg(feature = "admin")]
        let attending = attendant::Attending::begin(&mut self).await?;
        let url = self.broker_of_start()?;
        let mut handlers = self.handlers.take().unwrap_or_else(HandlerRegistry::linked);
        if let Some(only) = self.only.take() {
            let is_there = |name: &&String| self.queues.iter().any(|queue| queue.name == **name);
            if let Some(unknown) = only.iter().find(|name| !is_there(name)) {
                return Err(Error::UnknownQueue(unknown.clone()));
            }
            self.queues.retain(|queue| only.contains(&queue.name));
            handlers = handlers.only(only);
        }
        if self.queues.is_empty() {
            return Err(Error::NoQueue);
        }
        self.check_handlers(&handlers)?;
        handlers.log(self.queues.len());
        if cfg!(panic = "abort") {
            warn!("built with `panic = \"abort\"`: a handler that panics ends the process");
        }
        self.set_up_queues();
        self.make_state().await?;
        let checks = Checks::new(std::mem::take(&mut self.checks));
        let checking = checks.start().await;
        let destination = Destination::new(url.clone(), "publisher");
        let sent = Sent::default();
        let publisher = self.publisher_for(&handlers, &destination, &sent).await?;
        let consumers = match url {
            BrokerUrl::Rabbit(url) => {
                let mut factory = RabbitConsumerFactory::from_url(url).reconnect(self.reconnect);
                if let Destination::Rabbit(connection) = &destination {
                    factory = factory.publishing_over(connection.clone());
                }
                Consumers::Rabbit(Box::new(self.consume(factory, handlers, checks).await?))
            }
            BrokerUrl::Memory(broker) => {
                let factory = MemoryConsumerFactory::of(broker);
                Consumers::Memory(self.consume(factory, handlers, checks).await?)
            }
        };
        info!("started");
        Ok(Running::new(
            consumers,
            destination,
            publisher,
            self.name,
            sent,
            checking,
            #[cfg(feature = "admin")]
            (described, attending),
        ))
    }

    /// Reports all that is wrong with the handlers, before anything is connected.
    fn check_handlers(&self, handlers: &HandlerRegistry) -> Result<(), Error> {
        let queues = self.queues.iter().map(|queue| queue.name.as_str());
        self.check_handlers_of(&queues.collect::<Vec<_>>(), handlers)
    }

    fn check_handlers_of(&self, queues: &[&str], handlers: &HandlerRegistry) -> Result<(), Error> {
        let lazy = self.lazy_state.iter().map(LazyState::type_id);
        let promised: Vec<_> = lazy.chain([TypeId::of::<Publisher>()]).collect();
        let given = Given {
            state: &self.state,
            promised: &promised,
        };
        handlers
            .check_for(Queues::All(queues), Some(given))
            .map_err(RegisterError::from)?;
        Ok(())
    }

    /// What the handlers send with, where one takes it and the program gave none.
    async fn publisher_for(
        &mut self,
        handlers: &HandlerRegistry,
        destination: &Destination,
        sent: &Sent,
    ) -> Result<Option<Publisher>, Error> {
        if let Some(own) = self.state.remove::<Publisher>() {
            self.state.insert(own.counted(sent));
            return Ok(None);
        }
        if !handlers.takes::<Publisher>() {
            return Ok(None);
        }
        let publisher = Publisher::to_destination(destination.clone()).await?;
        let publisher = publisher.of_app(self.name.clone()).counted(sent);
        self.state.insert(publisher.clone());
        Ok(Some(publisher))
    }

    async fn consume<F>(
        &mut self,
        factory: F,
        handlers: HandlerRegistry,
        checks: Checks,
    ) -> Result<MessageConsumerRegistry<F>, Error>
    where
        F: MessageConsumerFactory<Options: From<QueueOptions>>,
    {
        let mut consumers = MessageConsumerRegistry::new(handlers, factory)
            .with_all_state(std::mem::take(&mut self.state))
            .with_all_layers(std::mem::take(&mut self.layers))
            .with_brakes(self.brake, checks);
        if let Some(deadline) = self.deadline {
            consumers = consumers.shutdown_deadline(deadline);
        }
        let queues = self.queues.iter().map(|queue| Registration {
            listen_for: &queue.name,
            key: queue.key.clone(),
            consumers_count: queue.consumers,
            options: queue.options.clone().into(),
        });
        if let Err(error) = consumers.register_all(queues).await {
            // closes what is connected
            if let Err(error) = consumers.disconnect_consumers().await {
                error!(%error, "shutting down after a failed start");
            }
            return Err(error.into());
        }
        Ok(consumers)
    }
}

/// The URL holds a password.
impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("queues", &self.queues)
            .field("reconnect", &self.reconnect)
            .finish_non_exhaustive()
    }
}
