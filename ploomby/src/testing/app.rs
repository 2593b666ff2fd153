use std::{
    collections::HashMap,
    env, fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

pub(super) use self::broker::OwnBroker;
use self::broker::{Brokers, OwnRabbit, place};
use super::{
    director::{Consumed, Director},
    place::{Described, Place},
    running::TestRunning,
    simulation,
};
use crate::{
    app::{App, Queue},
    handler::{HandlerFunction, HandlerRegistry},
    memory::MemoryBroker,
    stage::Stage,
    topology::Exchange,
};

mod broker;

/// How long a run may take, in real time.
const LIMIT: Duration = Duration::from_secs(10);

/// An app that is to be tested, on a broker of its own.
///
/// ```
/// use ploomby::{HandlerRegistry, Reply, extract::State, testing::TestApp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # use ploomby::Queue;
/// let handlers = HandlerRegistry::new().register("rate", async |State(rate): State<u64>| Reply(rate));
/// let app = TestApp::with(handlers).state(7_u64).queue(Queue::new("rates")).start().await;
/// assert_eq!(app.call("rates", "rate", &()).await.reply::<u64>(), 7);
/// # }
/// ```
#[must_use = "nothing is tested before it is started"]
pub struct TestApp {
    app: App,
    handlers: HandlerRegistry,
    /// Those of an app of the user's own are all that it has.
    derives_queues: bool,
    queues: Vec<Queue>,
    stubbed: Vec<String>,
    foreign: Vec<Queue>,
    broker: OwnBroker,
    rabbit: Option<OwnRabbit>,
    director: Director,
    horizon: Option<Duration>,
    limit: Duration,
    /// How many programs run it.
    instances: usize,
    is_simulated: bool,
}

/// What a test has started is told by it.
pub(super) struct Settings {
    pub(super) app: App,
    pub(super) queues: Vec<Queue>,
    pub(super) place: Place,
    pub(super) director: Director,
    /// None unless the test says.
    pub(super) horizon: Option<Duration>,
    pub(super) limit: Duration,
    pub(super) instances: usize,
}

impl TestApp {
    /// All functions of the program that carry [`#[handler]`](macro@crate::handler), as
    /// [`HandlerRegistry::linked`] finds them.
    #[expect(
        clippy::new_without_default,
        reason = "what is linked is no default, and each has a broker of its own"
    )]
    pub fn new() -> Self {
        Self::with(HandlerRegistry::linked())
    }

    /// These handlers.
    pub fn with(handlers: HandlerRegistry) -> Self {
        let app = App::new("").handlers(handlers);
        Self {
            derives_queues: true,
            ..Self::of(app)
        }
    }

    /// An app as the program makes it, with its queues, state, layers and options. It is told the broker of the test, and
    /// connects to no other. Where it names no queue, its handlers do.
    pub fn of(app: App) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);

        let number = NUMBER.fetch_add(1, Relaxed);
        let director = Director::new();
        let stage = Stage::set(Arc::new(director.clone()));
        let broker = MemoryBroker::staged(&format!("ploomby-testing-{number}"), stage);
        let url = format!("memory://{}", broker.name());
        let (queues, handlers) = (app.consumed(), app.registry());
        let part = simulation::join(&director);
        let is_simulated = part.is_some();
        let test = Self {
            app: app.at(url),
            handlers,
            derives_queues: queues.is_empty(),
            queues,
            stubbed: Vec::new(),
            foreign: Vec::new(),
            broker: OwnBroker(broker),
            rabbit: None,
            director,
            horizon: None,
            limit: part.as_ref().and_then(|part| part.limit).unwrap_or(LIMIT),
            instances: part.map_or(1, |part| part.instances),
            is_simulated,
        };
        match env::var(broker::URL) {
            Ok(url) if !is_simulated && !url.is_empty() => test.on(&url),
            _ => test,
        }
    }

    /// Gives the handlers a value that they take as [`State`](crate::extract::State), as [`App::state`] does.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.app = self.app.state(state);
        self
    }

    /// A queue to consume, with options of its own. The queues that handlers name by their option `queue` need no other word.
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queues.retain(|known| known.name != queue.name);
        self.queues.push(queue);
        self
    }

    /// Leaves out the handlers of all queues but these, as [`HandlerRegistry::only`] does: for a test of a part of what is
    /// linked.
    pub fn only<Q: AsRef<str>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        let only: Vec<_> = queues.into_iter().collect();
        let is_kept = |queue: &Queue| only.iter().any(|name| name.as_ref() == queue.name);
        self.queues.retain(is_kept);
        self.handlers = self.handlers.only(only);
        self
    }

    /// A queue of another program: it is declared, with its bindings, and what comes there
    /// [waits](TestRunning::waiting).
    pub fn foreign_queue(mut self, queue: Queue) -> Self {
        self.foreign.push(queue);
        self
    }

    /// An exchange that the program sends through, and that no queue of the test is bound to, as [`App::exchange`].
    pub fn exchange(mut self, exchange: &Exchange) -> Self {
        self.app = self.app.exchange(exchange);
        self
    }

    /// Has a function handle the messages of a queue with this key: in place of the handler of the program, or as another
    /// program that is called would. The queue is consumed, with its own options if it is known. Options of the handler
    /// whose place it takes do not hold for it.
    ///
    /// ```
    /// use ploomby::{HandlerRegistry, Reply, RpcClient, extract::State, testing::TestApp};
    /// # use ploomby::Queue;
    ///
    /// async fn order(id: u64, State(client): State<RpcClient>) -> anyhow::Result<Reply<bool>> {
    ///     Ok(Reply(client.call("stock", "reserve", &id).await?))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// let app = TestApp::with(HandlerRegistry::new().register("order", order));
    /// # let app = app.queue(Queue::new("orders"));
    /// let client = RpcClient::connect(&app.url()).await?;
    /// let app = app
    ///     .state(client)
    ///     .stub("stock", "reserve", async |id: u64| Reply(id != 13))
    ///     .start()
    ///     .await;
    /// assert!(!app.call("orders", "order", &13).await.reply::<bool>());
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn stub<H, M>(mut self, queue: &str, key: &str, handler: H) -> Self
    where
        H: HandlerFunction<M>,
    {
        self.handlers.stub(queue, key, handler);
        self.stubbed.push(queue.to_owned());
        self
    }

    /// How far a run moves the clock for what waits for another attempt, or by a delay (default: 30 days). With
    /// `Duration::ZERO` such messages wait until the test [advances](TestRunning::advance) the clock.
    pub fn horizon(mut self, horizon: Duration) -> Self {
        self.horizon = Some(horizon);
        self
    }

    /// How long a run may take in real time before the test fails (default: 10 s).
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts it: the queues are there, and are consumed.
    ///
    /// # Panics
    ///
    /// With what keeps the app from starting, such as state that is missing, or what the embedded broker does not model.
    pub async fn start(mut self) -> TestRunning {
        let mut derived = self.stubbed;
        if self.derives_queues {
            derived.extend(self.handlers.queues());
        }
        for name in derived {
            if !self.queues.iter().any(|queue| queue.name == name) {
                self.queues.push(Queue::new(name));
            }
        }
        assert!(
            !self.queues.is_empty(),
            "no handler names its queue: name the queues of the test with `queue`, or those of the handlers with the \
             option `queue`"
        );
        self.director.knows(self.handlers.clone());
        self.director.consumes(consumed(&self.queues));
        let place = place(
            Brokers {
                own: self.broker,
                rabbit: self.rabbit,
            },
            Described {
                queues: &self.queues,
                foreign: &self.foreign,
                exchanges: self.app.own_exchanges(),
                consumed: consumed(&self.queues).into_keys().collect(),
                limit: self.limit,
            },
            &self.director,
        );
        let place = place.await;
        let app = self.app.with_queues(self.queues.clone(), self.handlers);
        let app = match app.with_state_made().await {
            Ok(app) => app,
            Err(error) => panic!("the app does not start: {error}"),
        };
        TestRunning::start(Settings {
            app,
            queues: self.queues,
            place,
            director: self.director,
            horizon: self.horizon,
            limit: self.limit,
            instances: self.instances,
        })
        .await
    }
}

/// What comes to these queues is handled or dead-lettered, unless the queue drops it before.
fn consumed(queues: &[Queue]) -> HashMap<String, Consumed> {
    let stays = |queue: &&Queue| {
        let mut arguments = queue.options.arguments.iter();
        !arguments.any(|(name, _)| name == "x-message-ttl" || name.starts_with("x-max-length"))
    };
    let is_consumed = |name: &str| queues.iter().any(|queue| queue.name == name);
    let consumed = queues.iter().filter(stays).map(|queue| {
        let companions = queue.options.companions(&queue.name).ok();
        let dead_letters = companions.and_then(|companions| companions.dead_letters);
        let dead_letters = dead_letters.map(|declared| declared.name);
        let dead_letters = dead_letters.filter(|name| !is_consumed(name));
        (queue.name.clone(), Consumed { dead_letters })
    });
    consumed.collect()
}

impl fmt::Debug for TestApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestApp")
            .field("queues", &self.queues)
            .field("horizon", &self.horizon)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
