use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::future::join_all;
use http::Extensions;
use thiserror::Error;
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

use super::{
    MessageConsumer, MessageConsumerFactory,
    life::{ShutDown, run},
    signals::Signals,
};
use crate::{
    brake::{Brake, Checks},
    delivery::{KeySource, OwnQueues},
    dispatcher::{CutOff, Dispatcher},
    extract::Given,
    handler::{HandlerRegistry, InvalidHandlers, Queues},
    health::Health,
    layer::{HandlerLayer, Layers},
    message::PropertyError,
    metrics::Meters,
    settle::ConsumerError,
};

/// How long a shutdown may take: less than the 30 s of grace that a container has before it is killed.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(28);

/// The consumers of a program: each queue is registered once and consumed from then on.
///
/// Dropped, it stops at once: what is not settled is delivered again.
///
/// [`App`](crate::App) is built on it. By hand:
///
/// ```
/// use ploomby::{
///     HandlerRegistry, KeySource, MessageConsumerRegistry,
///     memory::{MemoryConsumerFactory, MemoryOptions},
/// };
///
/// async fn greet(name: String) {
///     println!("hello, {name}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let handlers = HandlerRegistry::new().register("greet", greet);
/// let factory = MemoryConsumerFactory::new("memory://registry-example")?;
/// let mut consumers = MessageConsumerRegistry::new(handlers, factory);
/// let key = KeySource::header("task_name");
/// consumers.register("greetings", key, 1, MemoryOptions::new()).await?;
/// consumers.disconnect_consumers().await?;
/// # Ok(())
/// # }
/// ```
pub struct MessageConsumerRegistry<F: MessageConsumerFactory> {
    handlers: Arc<HandlerRegistry>,
    factory: F,
    queues: BTreeMap<String, Dispatcher>,
    tasks: JoinSet<Result<(), RunError>>,
    deadline: Duration,
    health: Health,
    meters: Meters,
    state: Arc<Extensions>,
    layers: Layers,
    checks: Checks,
    /// Where neither queue nor handler says.
    brake: Option<Brake>,
    /// To which no reply goes.
    own_queues: Arc<OwnQueues>,
}

impl<F: MessageConsumerFactory> MessageConsumerRegistry<F> {
    /// A registry of consumers that `factory` makes, for these handlers.
    pub fn new(handlers: HandlerRegistry, factory: F) -> Self {
        Self {
            handlers: Arc::new(handlers),
            factory,
            queues: BTreeMap::new(),
            tasks: JoinSet::new(),
            deadline: DEFAULT_DEADLINE,
            health: Health::default(),
            meters: Meters::default(),
            state: Arc::default(),
            layers: Layers::default(),
            checks: Checks::default(),
            brake: None,
            own_queues: Arc::default(),
        }
    }

    /// Gives the handlers a value that they take as [`State`](crate::extract::State), one of each
    /// type. Queues that are registered before do not see it.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        Arc::make_mut(&mut self.state).insert(state);
        self
    }

    pub(crate) fn with_all_state(mut self, state: Extensions) -> Self {
        self.state = Arc::new(state);
        self
    }

    /// Puts a `tower::Layer` around the handlers of each queue that is registered from here on, and
    /// around the layers that are there already. A limit of the layer's counts for each queue;
    /// one for all together is a layer that shares it, such as
    /// `tower::limit::GlobalConcurrencyLimitLayer`.
    #[must_use]
    pub fn layer(mut self, layer: impl HandlerLayer) -> Self {
        self.layers.push(layer);
        self
    }

    pub(crate) fn with_all_layers(mut self, layers: Layers) -> Self {
        self.layers = layers;
        self
    }

    pub(crate) fn with_brakes(mut self, brake: Option<Brake>, checks: Checks) -> Self {
        self.health.watch_checks(checks.clone());
        (self.brake, self.checks) = (brake, checks);
        self
    }

    /// How long [`disconnect_consumers`](Self::disconnect_consumers) may take (default: 28 s). Its last 3 s, or its last
    /// quarter if that is less, are for closing: handlers that still run then are cut off. A shorter one than 2 s counts for
    /// handlers alone.
    #[must_use]
    pub fn shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Connects `consumers_count` consumers of `listen_for` and starts consuming at once.
    ///
    /// # Errors
    ///
    /// Handlers that cannot be started with, a queue that is registered already, no consumers at
    /// all, or a consumer that cannot connect. Nothing is consumed then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, consumers that had connected are closed by dropping them.
    pub async fn register(
        &mut self,
        listen_for: &str,
        key: KeySource,
        consumers_count: usize,
        options: F::Options,
    ) -> Result<(), RegisterError> {
        let queue = Registration {
            listen_for,
            key,
            consumers_count,
            options,
        };
        self.register_all([queue]).await
    }

    /// The same for several queues: none is consumed before all of them can be.
    pub(crate) async fn register_all(
        &mut self,
        queues: impl IntoIterator<Item = Registration<'_, F::Options>>,
    ) -> Result<(), RegisterError> {
        let mut prepared: Vec<Prepared<F::Consumer>> = Vec::new();
        for queue in queues {
            let listen_for = queue.listen_for;
            let is_registered = |other: &Prepared<_>| other.dispatcher.listen_for() == listen_for;
            if self.queues.contains_key(listen_for) || prepared.iter().any(is_registered) {
                return Err(RegisterError::AlreadyRegistered(listen_for.to_owned()));
            }
            prepared.push(self.prepare(queue)?);
        }
        self.connect(&mut prepared).await?;
        for Prepared {
            dispatcher,
            consumers,
        } in prepared
        {
            let listen_for = dispatcher.listen_for().to_owned();
            let (mut health, consumers_count) = (Vec::new(), consumers.len());
            for (consumer, dispatcher) in consumers {
                health.push(dispatcher.health());
                self.tasks.spawn(run(consumer, dispatcher, self.deadline));
            }
            self.health.watch(&listen_for, health);
            self.meters.watch(&listen_for, dispatcher.meter());
            info!(queue = listen_for, consumers_count, "consuming");
            self.queues.insert(listen_for, dispatcher);
        }
        Ok(())
    }

    /// Checks all that can be known without the broker.
    fn prepare(
        &self,
        queue: Registration<'_, F::Options>,
    ) -> Result<Prepared<F::Consumer>, RegisterError> {
        let Registration {
            listen_for,
            key,
            consumers_count,
            options,
        } = queue;
        self.handlers.check_for(
            Queues::Some(&[listen_for]),
            Some(Given {
                state: &self.state,
                promised: &[],
            }),
        )?;
        if consumers_count == 0 {
            return Err(RegisterError::NoConsumers(listen_for.to_owned()));
        }
        let mut policy = self.factory.policy(&options, consumers_count);
        policy
            .check()
            .map_err(|error| cannot_consume(listen_for, ConsumerError::new(error)))?;
        policy.layers.extend(&self.layers);
        policy.braking.checks = self.checks.clone();
        policy.braking.brake = policy.braking.brake.or(self.brake);
        self.own_queues.add(listen_for);
        if let Some(dead_letters) = &policy.dead_letter_queue {
            self.own_queues.add(dead_letters);
        }
        policy.reply.own = self.own_queues.clone();
        let key = key.reader()?;
        let state = self.state.clone();
        let dispatcher = Dispatcher::new(listen_for, key, &self.handlers, policy, state);
        check_dispatcher(&dispatcher, consumers_count)?;
        let consumers = (0..consumers_count).map(|_| {
            let consumer = self.factory.create(listen_for, &options);
            Ok((consumer?, dispatcher.for_consumer()))
        });
        let consumers = consumers.collect::<Result<_, _>>();
        Ok(Prepared {
            consumers: consumers.map_err(|error| cannot_consume(listen_for, error))?,
            dispatcher,
        })
    }

    /// Connects them all, side by side, or none.
    async fn connect(&self, queues: &mut [Prepared<F::Consumer>]) -> Result<(), RegisterError> {
        let consumers = queues.iter_mut().flat_map(|queue| &mut queue.consumers);
        let connecting = consumers.map(|(consumer, dispatcher)| async {
            let connected = consumer.connect(dispatcher).await;
            connected.map_err(|error| cannot_consume(dispatcher.listen_for(), error))
        });
        // all of them to the end: what is dropped halfway leaves the client in disorder
        let connected = join_all(connecting).await;
        let connected: Result<(), _> = connected.into_iter().collect();
        if connected.is_err() {
            let consumers = queues.iter_mut().flat_map(|queue| &mut queue.consumers);
            join_all(consumers.map(|(consumer, _)| consumer.disconnect())).await;
        }
        connected
    }

    /// Whether the queues are consumed, now and later.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// What the consumers have done since the start, by the feature `metrics`. What was sent is not known here.
    #[cfg(feature = "metrics")]
    pub fn metrics(&self) -> crate::metrics::Metrics {
        self.metrics_with(Default::default(), || false)
    }

    /// The same with what the program has sent, and whether the broker takes no messages.
    #[cfg(feature = "metrics")]
    pub(crate) fn metrics_with(
        &self,
        sent: crate::metrics::Sent,
        is_blocked: impl Fn() -> bool + Send + Sync + 'static,
    ) -> crate::metrics::Metrics {
        crate::metrics::Metrics::new(self.meters.clone(), self.health(), sent, is_blocked)
    }

    /// Lets no message of a queue go to its handler until [`resume`](Self::resume) is called. Handlers that run go on,
    /// and what has not begun goes back to the queue. [`Health`] tells who has paused it: `by` is for people to read. If
    /// the order of the queue is kept, the messages that are here already stay, in their order.
    ///
    /// Says whether the queue is consumed here.
    pub fn pause(&self, queue: &str, by: &str) -> bool {
        let paused = self.queues.get(queue).map(|queue| queue.pause(by));
        paused.is_some()
    }

    /// Ends a [pause](Self::pause). Says whether the queue was paused.
    pub fn resume(&self, queue: &str) -> bool {
        self.queues.get(queue).is_some_and(Dispatcher::resume)
    }

    /// Lets no message of a queue go to one handler until [`resume_handler`](Self::resume_handler) is called: the one that
    /// has this key, or else this name. Says whether there is one.
    pub fn pause_handler(&self, queue: &str, handler: &str, by: &str) -> bool {
        let queue = self.queues.get(queue);
        queue.is_some_and(|queue| queue.pause_handler(handler, by))
    }

    /// Ends a [pause](Self::pause_handler) of a handler. Says whether it was paused.
    pub fn resume_handler(&self, queue: &str, handler: &str) -> bool {
        let queue = self.queues.get(queue);
        queue.is_some_and(|queue| queue.resume_handler(handler))
    }

    /// Waits until a consumer fails, or until all have come to the end of their messages, which
    /// a queue never does.
    ///
    /// # Errors
    ///
    /// The first failure of a consumer.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub async fn wait(&mut self) -> Result<(), RunError> {
        while let Some(ended) = self.tasks.join_next().await {
            flatten(ended)?;
        }
        Ok(())
    }

    /// Stops consuming, waits for the handlers in flight, gives back what was not started, and
    /// disconnects.
    ///
    /// # Errors
    ///
    /// [`RunError::DeadlineExceeded`], if handlers were cut off, else the first failure of a
    /// consumer. All are disconnected all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the consumers go on shutting down; call it again to wait for
    /// them.
    pub async fn disconnect_consumers(&mut self) -> Result<(), RunError> {
        let end = self.end_of_a_shutdown();
        for dispatcher in self.queues.values() {
            dispatcher.stop();
        }
        let mut result = Ok(());
        let mut cut_off = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            match flatten(ended) {
                Err(RunError::DeadlineExceeded { handlers }) => cut_off.extend(handlers),
                ended => result = result.and(ended),
            }
        }
        self.queues.clear();
        if timeout_at(end, self.factory.close()).await.is_err() {
            warn!("what the consumers shared did not close within the deadline of the shutdown");
        }
        if cut_off.is_empty() {
            result
        } else {
            Err(RunError::DeadlineExceeded { handlers: cut_off })
        }
    }

    /// When a shutdown that begins now must be over.
    pub(crate) fn end_of_a_shutdown(&self) -> Instant {
        ShutDown::begins(self.deadline).end
    }

    /// Waits for SIGINT or SIGTERM, then [disconnects](Self::disconnect_consumers). A second signal ends it at once, unless
    /// it is the same within a second, as a wrapper sends it.
    ///
    /// # Errors
    ///
    /// The first failure of a consumer, handlers that were cut off, or the second signal.
    pub async fn until_signal(mut self) -> Result<(), RunError> {
        let mut signals = Signals::listen()?;
        let (ended, told) = match signals.unless_told(self.wait()).await {
            Ok(ended) => (ended, None),
            Err(told) => (Ok(()), Some(told)),
        };
        let disconnecting = self.disconnect_consumers();
        ended.and(signals.unless_told_again(told, disconnecting).await?)
    }
}

/// Handlers are dropped, and with them what keeps the source's connection open.
impl<F: MessageConsumerFactory> Drop for MessageConsumerRegistry<F> {
    fn drop(&mut self) {
        for dispatcher in self.queues.values() {
            dispatcher.abandon();
        }
    }
}

/// A queue that is to be consumed.
pub(crate) struct Registration<'a, O> {
    pub(crate) listen_for: &'a str,
    pub(crate) key: KeySource,
    pub(crate) consumers_count: usize,
    pub(crate) options: O,
}

/// A queue whose consumers are made, and consume nothing yet.
struct Prepared<C> {
    dispatcher: Dispatcher,
    consumers: Vec<(C, Dispatcher)>,
}

fn cannot_consume(queue: &str, error: ConsumerError) -> RegisterError {
    RegisterError::Connect {
        queue: queue.to_owned(),
        error,
    }
}

fn flatten(ended: Result<Result<(), RunError>, JoinError>) -> Result<(), RunError> {
    ended.unwrap_or_else(|panic| Err(RunError::Panicked(panic.to_string())))
}

impl<F: MessageConsumerFactory> fmt::Debug for MessageConsumerRegistry<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageConsumerRegistry")
            .field("queues", &self.queues.keys())
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}

/// Whether the handlers of a queue can be served as they ask for, with so many consumers.
///
/// # Errors
///
/// What cannot be served.
pub(crate) fn check_dispatcher(
    dispatcher: &Dispatcher,
    consumers_count: usize,
) -> Result<(), RegisterError> {
    let queue = || dispatcher.listen_for().to_owned();
    if consumers_count == 0 {
        return Err(RegisterError::NoConsumers(queue()));
    }
    if let Some((check, by)) = dispatcher.unknown_check() {
        return Err(RegisterError::UnknownCheck {
            queue: queue(),
            check,
            by,
        });
    }
    for order in dispatcher.orders() {
        order.check()?;
        if consumers_count > 1 {
            return Err(RegisterError::Overtaking(queue()));
        }
    }
    if let Some((handler, size, most)) = dispatcher.batch_that_never_fills() {
        return Err(RegisterError::Batch {
            queue: queue(),
            handler: handler.to_string(),
            size,
            most,
        });
    }
    Ok(())
}

/// Why a queue could not be registered.
#[derive(Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The handlers cannot be started with.
    #[error(transparent)]
    Handlers(#[from] InvalidHandlers),
    /// The header that names the handler, or that messages are ordered by, cannot exist.
    #[error(transparent)]
    Key(#[from] PropertyError),
    /// The queue is consumed already.
    #[error(
        "queue `{0}` is registered already: register it once, with the number of consumers it needs"
    )]
    AlreadyRegistered(String),
    /// No consumer was asked for.
    #[error("queue `{0}` would have no consumers: ask for at least one")]
    NoConsumers(String),
    /// Handlers take messages in order, and the queue has several consumers.
    #[error(
        "queue `{0}` has handlers with `ordered_by`, and several consumers, which would overtake each \
         other: ask for one consumer"
    )]
    Overtaking(String),
    /// A handler takes larger batches than there can be.
    #[error(
        "batches of {size} messages, which {handler} takes, cannot come together on queue `{queue}`: \
         {most} messages can be there, by the prefetch of all consumers and the concurrency; raise \
         these, or lower `batch_size`"
    )]
    #[non_exhaustive]
    Batch {
        /// The queue.
        queue: String,
        /// The function, and where it stands.
        handler: String,
        /// The batch size that was asked for.
        size: usize,
        /// How many messages can be with handlers in the same moment.
        most: usize,
    },
    /// A check is needed that the program does not have.
    #[error(
        "{by} needs the check `{check}`, which the program does not have (queue `{queue}`): add it by `App::check`, or \
         correct its name"
    )]
    #[non_exhaustive]
    UnknownCheck {
        /// The queue.
        queue: String,
        /// The name of the check.
        check: String,
        /// The function, and where it stands, or the queue.
        by: String,
    },
    /// A consumer could not be made or connected.
    #[error("cannot consume queue `{queue}`: {error}")]
    #[non_exhaustive]
    Connect {
        /// The queue.
        queue: String,
        /// What the consumer says.
        error: ConsumerError,
    },
}

/// Why consuming ended.
#[derive(Error)]
#[non_exhaustive]
pub enum RunError {
    /// A consumer failed and could not recover.
    #[error("consuming queue `{queue}` failed: {error}")]
    #[non_exhaustive]
    Consumer {
        /// The queue.
        queue: String,
        /// What the consumer says.
        error: ConsumerError,
    },
    /// Handlers were still running when the deadline of the shutdown was over. Their messages
    /// went back to the queue.
    #[error(
        "handlers were cut off when the deadline for shutting down was over: {}",
        .handlers.iter().map(CutOff::to_string).collect::<Vec<_>>().join(", ")
    )]
    #[non_exhaustive]
    DeadlineExceeded {
        /// The functions and their keys, one for each message.
        handlers: Vec<CutOff>,
    },
    /// A consumer panicked, or what it does to settle a message did, which is a defect. Its messages went back.
    #[error("a consumer panicked: {0}")]
    Panicked(String),
    /// The process cannot listen for signals.
    #[error("cannot listen for SIGINT and SIGTERM: {0}")]
    Signals(std::io::Error),
    /// A second signal came before the shutdown was done. The broker delivers again what was not
    /// settled.
    #[error("interrupted by a second signal before all handlers were done")]
    Interrupted,
}

debug_is_text!(RegisterError, RunError);
