//! Sending messages.
//!
//! - `outgoing`, `draft`: the message that is written, and where it goes;
//! - `history`: what a message that is sent on leaves behind;
//! - `argument`: the publisher that a handler takes;
//! - `broker`: which broker a URL means;
//! - `replying`: answers to requests;
//! - `sending`: a message on its way, as metrics and traces have it;
//! - `recorder`: what a handler sends that is only tried;
//! - `declare`: exchanges to send through;
//! - `delays`: messages that wait in the broker first;
//! - `error`: why a message is not known to be in its queue.

use std::{fmt, future::ready, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, TryFutureExt,
    future::{Either, lazy},
};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

pub(crate) use self::{
    broker::{BrokerUrl, BrokerUrlError},
    draft::{Draft, Settings, draft_setters},
    recorder::{Recorder, Unsent},
    sending::Sending,
};
pub use self::{
    error::{PublishAllError, PublishError},
    outgoing::Outgoing,
};
use crate::{
    codec::Codec,
    delivery::KeySource,
    handler::Receives,
    memory::MemoryBroker,
    message::{Addressed, Message},
    metrics::Sent,
    rabbit::{Declarations, Line, LineConnection},
    trace,
};

mod argument;
mod broker;
mod bulk;
mod declare;
mod delays;
mod draft;
mod error;
mod history;
mod outgoing;
mod recorder;
mod replying;
mod sending;

/// What is counted apart from calls.
const SEND: &str = "send";

/// How long a message may take, unless the program says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends messages. Cheap to clone: all clones share a connection.
///
/// ```standalone_crate
/// use std::time::Duration;
/// use ploomby::{App, Publisher, Queue};
///
/// #[ploomby::handler("greet")]
/// async fn greet(name: String) {
///     println!("hello, {name}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let url = "memory://publisher-example";
/// let running = App::new(url).queue(Queue::new("greetings")).start().await?;
/// let publisher = Publisher::connect(url).await?;
/// publisher.send("greetings", "greet", "Ada").await?;
///
/// // with more to say about the message
/// publisher
///     .to("greetings")
///     .key("greet")
///     .payload("Grace")
///     .header("tenant", "acme")
///     .delay(Duration::from_millis(10))
///     .send()
///     .await?;
/// # running.shut_down().await?;
/// # Ok(())
/// # }
/// ```
///
/// # As an argument of a handler
///
/// A handler takes one like any other argument: it sends to the broker that the message came from, and writes the
/// key where the consumed queue has its keys, whatever [`key`](Self::key) said.
///
/// ```
/// use ploomby::Publisher;
///
/// #[ploomby::handler("order_placed")]
/// async fn order_placed(order: u64, publisher: Publisher) -> anyhow::Result<()> {
///     publisher.send("parcels", "pack", &order).await?;
///     Ok(())
/// }
/// ```
///
/// [`App`](crate::App) connects it when a handler takes one; a program that builds its own consumers gives one by
/// [`state`](crate::MessageConsumerRegistry::state). Any program may give its own, such as to another
/// broker, as state.
///
/// A handler that awaits what it sends, and returns its error, is acknowledged once the broker has confirmed all of
/// it: a crash in between handles the message again and sends it twice, and never loses it.
///
/// # What `Ok` means
///
/// The broker has taken responsibility: the message was in a queue, in each one that it was routed
/// to. A persistent message, as all are by default, in a durable queue is on disk then, that in a
/// quorum queue with a majority of its nodes.
///
/// Source: [publisher confirms](https://www.rabbitmq.com/docs/confirms#when-publishes-are-confirmed).
///
/// # What an error means
///
/// The broker did not say so, and nothing more is sent. The message **may be in its queue or not**:
/// surely not after [`PublishError::Invalid`], and after [`PublishError::Unroutable`],
/// [`PublishError::Unbound`] and [`PublishError::Refused`] only if the connection was lost in between. Sending again may make a
/// second message of it; the message id, if the program sets it, tells.
///
/// # Lost connections
///
/// They are opened again, at the next host, and what the broker had not confirmed is sent once
/// more, before all that came later: messages reach a queue for the first time in the order in which
/// they were sent, whether each is awaited before the next, up to 1,024 are at once, or they go as one
/// [`send_all`](Self::send_all). One that was there already is there twice then, with the same message
/// id. After [`timeout`](Self::timeout), 30 seconds unless told otherwise, the sender hears
/// [`PublishError::Unconfirmed`]. On a slow line the time counts from when it last took something that had to wait, and
/// grows with what is on its way.
///
/// # Each message
///
/// - is `mandatory`: where no queue takes it, that is [`PublishError::Unroutable`], or [`PublishError::Unbound`]
///   behind an exchange;
/// - is persistent, unless [`Outgoing::transient`] or its properties say otherwise;
/// - has a message id: a UUID of version 7, unless its properties have another.
#[derive(Clone)]
pub struct Publisher {
    broker: Broker,
    settings: Arc<Settings>,
    timeout: Duration,
}

#[derive(Clone)]
enum Broker {
    Rabbit {
        line: Line,
        /// The queues of delayed messages.
        delays: Arc<Declarations>,
    },
    Memory(MemoryBroker),
    /// None: the handler that sends is only tried.
    Recorded(Recorder),
}

/// A broker that messages are sent to, over a connection that several may share.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    Rabbit(Arc<LineConnection>),
    Memory(MemoryBroker),
    Recorded(Recorder),
}

impl Destination {
    /// Nothing is connected yet. `purpose` tells connections of one program apart in the broker's lists.
    pub(crate) fn new(url: BrokerUrl, purpose: &'static str) -> Self {
        match url {
            BrokerUrl::Rabbit(url) => Self::Rabbit(Arc::new(LineConnection::new(url, purpose))),
            BrokerUrl::Memory(broker) => Self::Memory(broker),
        }
    }
}

#[cfg(feature = "metrics")]
impl Destination {
    /// Asks whether the broker takes no messages at the moment. It keeps no connection open.
    pub(crate) fn watch_blocked(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let connection = match self {
            Self::Rabbit(connection) => Arc::downgrade(connection),
            Self::Memory(_) | Self::Recorded(_) => std::sync::Weak::new(),
        };
        move || {
            connection
                .upgrade()
                .is_some_and(|connection| connection.is_blocked())
        }
    }
}

impl Publisher {
    /// Connects to the broker at `amqp://…`, `amqps://…` or `memory://name`.
    ///
    /// # Errors
    ///
    /// A URL that cannot be used, or a broker that is not there or does not let the program in.
    pub async fn connect(url: &str) -> Result<Self, PublishError> {
        let url = BrokerUrl::parse(url).map_err(|error| PublishError::Url(error.into()))?;
        Self::to_destination(Destination::new(url, "publisher")).await
    }

    /// Over a connection that others use as well.
    pub(crate) async fn to_destination(destination: Destination) -> Result<Self, PublishError> {
        trace::turn_on();
        Ok(Self {
            broker: match destination {
                Destination::Rabbit(connection) => Broker::Rabbit {
                    line: Line::connect(connection).await?,
                    delays: Arc::default(),
                },
                Destination::Memory(broker) => Broker::Memory(broker),
                Destination::Recorded(recorder) => Broker::Recorded(recorder),
            },
            settings: Arc::default(),
            timeout: TIMEOUT,
        })
    }

    /// Says which program sends.
    pub(crate) fn of_app(mut self, app: Option<Arc<str>>) -> Self {
        Arc::make_mut(&mut self.settings).app = app;
        self
    }

    /// Has what it sends counted there.
    pub(crate) fn counted(mut self, sent: &Sent) -> Self {
        Arc::make_mut(&mut self.settings).sent = sent.clone();
        self
    }

    /// How it writes messages.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.clone()
    }

    /// Where it sends to, for others to send over the same connection.
    pub(crate) fn destination(&self) -> Destination {
        match &self.broker {
            Broker::Rabbit { line, .. } => Destination::Rabbit(line.connection()),
            Broker::Memory(broker) => Destination::Memory(broker.clone()),
            Broker::Recorded(recorder) => Destination::Recorded(recorder.clone()),
        }
    }

    /// The same, whose messages are written down and go nowhere.
    pub(crate) fn recorded(self, recorder: &Recorder) -> Self {
        Self {
            broker: Broker::Recorded(recorder.clone()),
            ..self
        }
    }

    /// One that sends nowhere.
    pub(crate) fn to_recorder(recorder: &Recorder) -> Self {
        trace::turn_on();
        Self {
            broker: Broker::Recorded(recorder.clone()),
            settings: Arc::default(),
            timeout: TIMEOUT,
        }
    }

    /// Where the key of a message is written (default: the property `type`, where a
    /// [`Queue`](crate::Queue) looks for it by default).
    ///
    /// ```
    /// # async fn example() -> Result<(), ploomby::PublishError> {
    /// use ploomby::{KeySource, Publisher};
    ///
    /// let publisher = Publisher::connect("memory://publisher-key")
    ///     .await?
    ///     .key(KeySource::header("task_name"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// With [`KeySource::RoutingKey`] the key has to be the routing key, which is the name of the
    /// queue unless the message goes [`through`](Self::through) an exchange.
    #[must_use]
    pub fn key(mut self, key: KeySource) -> Self {
        Arc::make_mut(&mut self.settings).key = key;
        self
    }

    /// How payloads are encoded (default: JSON).
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        Arc::make_mut(&mut self.settings).codec = codec;
        self
    }

    /// How long a message may take until it is confirmed, lost connections and all (default: 30 s).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends a payload to the handler of this key, by its queue, and waits until the broker has
    /// confirmed that the message is there.
    ///
    /// # Errors
    ///
    /// [What an error means](Self#what-an-error-means).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the message may be in the queue or not.
    pub fn send<T: Serialize + ?Sized>(
        &self,
        queue: &str,
        key: &str,
        payload: &T,
    ) -> impl Future<Output = Result<(), PublishError>> + Send {
        self.to(queue).key(key).payload(payload).send()
    }

    /// Sends a payload to a handler of this program, or of a crate that it uses, by its queue. The
    /// function itself names it: there is no key to mistype, and another payload than the handler
    /// takes does not compile.
    ///
    /// ```
    /// use ploomby::Publisher;
    ///
    /// #[ploomby::handler("greet")]
    /// async fn greet(name: String) {
    ///     println!("hello, {name}");
    /// }
    ///
    /// # async fn example(publisher: Publisher) -> anyhow::Result<()> {
    /// publisher.send_to("greetings", greet, &"Ada".to_owned()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The key is written where [`key`](Self::key) says, as other keys are.
    ///
    /// # Errors
    ///
    /// [What an error means](Self#what-an-error-means). A function without `#[handler]`, or one that
    /// is only the default handler, is [`PublishError::Invalid`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the message may be in the queue or not.
    pub async fn send_to<H, M, P>(
        &self,
        queue: &str,
        handler: H,
        payload: &P,
    ) -> Result<(), PublishError>
    where
        H: Receives<P, M>,
        P: Serialize + ?Sized,
    {
        self.to(queue).handler(handler, payload).send().await
    }

    /// A message to a queue.
    pub fn to(&self, queue: &str) -> Outgoing<'_> {
        self.through("", queue)
    }

    /// A message through an exchange, to whatever queues are bound to it for the routing key: by its name, or an
    /// [`Exchange`](crate::Exchange), which is to be [declared](Self::declare) before.
    ///
    /// It is [`PublishError::Unbound`] that no binding takes it, unless
    /// [`Outgoing::allow_unroutable`] says that nobody has to want it.
    pub fn through(&self, exchange: impl AsRef<str>, routing_key: &str) -> Outgoing<'_> {
        let draft = Draft::new(&self.settings, exchange.as_ref(), routing_key);
        Outgoing::new(self, draft)
    }

    /// Sends messages in their order, and waits until all of them are confirmed: far faster than one after
    /// the other.
    ///
    /// Of any number of messages 1,024 are under way, or 8 MiB of bodies: the others are read from `messages`,
    /// and so written, as their turn comes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// # ploomby::memory::MemoryBroker::named("batch").declare_queue("steps", [])?;
    /// let publisher = ploomby::Publisher::connect("memory://batch").await?;
    /// let steps = ["wash", "cut", "cook"];
    /// publisher
    ///     .send_all(steps.map(|step| publisher.to("steps").key("step").payload(step)))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Which messages are not known to be in their queues, and why. One that cannot be sent at all
    /// keeps back those behind it, and, where it is among the first that are under way together, all. One that the
    /// broker refuses keeps none back. Each has the [`timeout`](Self::timeout) to itself; once it is over for one,
    /// those behind it are not sent.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, some of the messages may be there, the first ones.
    pub async fn send_all<'p>(
        &self,
        messages: impl IntoIterator<Item = Outgoing<'p>>,
    ) -> Result<(), PublishAllError> {
        bulk::send_all(self, messages.into_iter()).await
    }

    /// Sends a message to a queue. It gets a message id, and is persistent, unless its properties say
    /// otherwise.
    ///
    /// One that was received starts anew: see [`Outgoing::message`].
    ///
    /// # Errors
    ///
    /// [What an error means](Self#what-an-error-means).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the message may be in the queue or not.
    pub async fn publish(&self, queue: &str, message: Message) -> Result<(), PublishError> {
        self.to(queue).message(message).send().await
    }

    /// Sends what was handed over, and closes the connection of all clones in order.
    pub async fn close(self) {
        if let Broker::Rabbit { line, .. } = &self.broker {
            line.close().await;
        }
    }

    /// It begins when it is polled: within the span that its sender gives it, for one.
    ///
    /// No async block, here and below: it would hold what it awaits twice, and is moved about.
    fn deliver(&self, draft: Draft) -> impl Future<Output = Result<(), PublishError>> + Send {
        lazy(move |_| self.begin(draft)).flatten()
    }

    fn begin(&self, mut draft: Draft) -> impl Future<Output = Result<(), PublishError>> + Send {
        let delay = draft.delay();
        let sending = draft.sending(SEND);
        let delivering = match (draft.finish(), delay) {
            (Ok(message), None) => Either::Left(self.post(message, self.timeout)),
            (Ok(message), Some(delay)) => {
                Either::Right(Either::Left(self.deliver_later(message, delay).boxed()))
            }
            (Err(error), _) => Either::Right(Either::Right(ready(Err(error)))),
        };
        delivering.map(|delivered| {
            sending.end(delivered.as_ref().err(), PublishError::kind);
            delivered
        })
    }

    async fn deliver_later(&self, message: Addressed, delay: Duration) -> Result<(), PublishError> {
        if let Broker::Recorded(recorder) = &self.broker {
            recorder.note(message, Some(delay));
            return Ok(());
        }
        // one limit for all that it takes
        let limit = Limit::new(self.timeout);
        let waiting = self.prepare_and_wait(message.clone(), delay, limit).await?;
        let queue = waiting.routing_key.clone();
        match (self.post(waiting, limit.left()).await, &self.broker) {
            (Err(PublishError::Unroutable(_)), Broker::Rabbit { delays, .. }) => {
                delays.forget(&queue);
                let waiting = self.prepare_and_wait(message, delay, limit).await?;
                self.post(waiting, limit.left()).await
            }
            (posted, _) => posted,
        }
    }

    fn post(
        &self,
        message: Addressed,
        within: Duration,
    ) -> impl Future<Output = Result<(), PublishError>> + Send {
        match &self.broker {
            Broker::Rabbit { line, .. } => {
                let confirmed = line.publish(message, within);
                Either::Left(confirmed.map_err(PublishError::from))
            }
            Broker::Memory(broker) => Either::Right(Either::Left(broker.send(message).err_into())),
            Broker::Recorded(recorder) => {
                let recorder = recorder.clone();
                Either::Right(Either::Right(lazy(move |_| {
                    recorder.note(message, None);
                    Ok(())
                })))
            }
        }
    }

    /// The message as it is sent, and from when on its queue takes messages, where it waits in one of ours.
    async fn prepare_outgoing(
        &self,
        outgoing: Outgoing<'_>,
    ) -> Result<(Addressed, Sending, Option<Instant>), PublishError> {
        let mut draft = outgoing.into_draft();
        let sending = draft.sending(SEND);
        let prepared = async {
            let delay = draft.delay();
            let message = draft.finish()?;
            match delay {
                None => Ok((message, None)),
                Some(delay) => {
                    let (message, ready) = self.prepare(message, delay, self.timeout).await?;
                    Ok((message, Some(ready)))
                }
            }
        };
        match prepared.await {
            Ok((message, ready)) => Ok((message, sending, ready)),
            Err(error) => {
                sending.end(Some(&error), PublishError::kind);
                Err(error)
            }
        }
    }

    /// Sends a delayed message to where it waits, which takes messages from the moment on that is returned.
    async fn prepare(
        &self,
        message: Addressed,
        delay: Duration,
        within: Duration,
    ) -> Result<(Addressed, Instant), PublishError> {
        let waiting = delays::waiting_queue(&message, delay)?;
        let ready = match &self.broker {
            Broker::Rabbit { line, delays } => {
                delays::declare(delays, line, &message.routing_key, &waiting, within).await?
            }
            Broker::Memory(broker) => {
                broker.declare_waiting(&message.routing_key, &waiting)?;
                Instant::now()
            }
            Broker::Recorded(_) => Instant::now(),
        };
        let message = Addressed {
            routing_key: waiting.name,
            ..message
        };
        Ok((message, ready))
    }

    /// The same, once it takes messages.
    async fn prepare_and_wait(
        &self,
        message: Addressed,
        delay: Duration,
        limit: Limit,
    ) -> Result<Addressed, PublishError> {
        let (message, ready) = self.prepare(message, delay, limit.left()).await?;
        sleep_until(ready).await;
        Ok(message)
    }
}

/// How long something may take whose steps take what is left by those before.
#[derive(Clone, Copy)]
struct Limit {
    start: Instant,
    whole: Duration,
}

impl Limit {
    fn new(whole: Duration) -> Self {
        Self {
            start: Instant::now(),
            whole,
        }
    }

    fn left(self) -> Duration {
        self.whole.saturating_sub(self.start.elapsed())
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("key", &self.settings.key)
            .field("codec", &self.settings.codec)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
