//! Calling handlers: a request, and the reply to it.
//!
//! - `call`: the request that is written;
//! - `error`: why a call has no value.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Mutex;

pub use self::{call::Call, error::CallError};
use crate::{
    codec::Codec,
    delivery::{KeySource, ReplyStyle},
    handler::{Receives, Replied},
    memory::MemoryBroker,
    publisher::{BrokerUrl, Destination, Draft, PublishError, Publisher, Settings},
    rabbit::Line,
    reply::Calls,
    trace,
};

mod call;
mod error;

/// How long a call may take, unless the program says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How large a reply may be, unless the program says otherwise: what RabbitMQ 4 takes by default.
const MAX_REPLY: usize = 16 * 1024 * 1024;

/// Calls handlers, in this program or any other, and waits for what they return. Cheap to clone: all
/// clones share a connection and a channel, with any number of calls in flight.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// use ploomby::{CallError, RpcClient};
///
/// let client = RpcClient::connect("memory://rpc-client").await?;
/// match client.call::<_, u32>("numbers", "add", &(1, 2)).await {
///     Ok(sum) => println!("{sum}"),
///     Err(CallError::Remote(error)) => println!("{}: {}", error.code(), error.message()),
///     Err(CallError::NobodyListens(queue)) => println!("nobody consumes {queue}"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # How a call goes
///
/// The request goes to a queue, `mandatory` and confirmed, with an address for the reply
/// (`amq.rabbitmq.reply-to`) and a correlation id. It is not persistent, and expires when nobody waits for
/// its reply any more; a copy that waits for another attempt of its handler is persistent and does not expire.
/// Where the queue does not exist, the call fails at once; one that exists and has no consumer keeps the request
/// until the call times out.
///
/// A call is sent once. Where the connection is lost while it is in flight, it fails with
/// [`CallError::Lost`]: its handler may have run. Later calls go over a new connection. The calls of all
/// clones share a channel, which RabbitMQ closes for a request that it does not take, such as one through
/// an exchange that does not exist: the others in flight are lost with it.
///
/// Source: [direct reply-to](https://www.rabbitmq.com/docs/direct-reply-to).
///
/// # Whom it believes
///
/// A reply counts if it has the correlation id of its call, of which 128 bits are random: who receives a
/// request can answer that one, and no other call of the client. What is late, a second reply, made up, or
/// larger than [`max_reply`](Self::max_reply) is dropped, and [counted](Self::dropped_replies).
///
/// # Cancel safety
///
/// A call that is dropped leaves nothing behind: its reply is dropped when it comes.
#[derive(Clone)]
pub struct RpcClient {
    broker: Broker,
    calls: Arc<Calls>,
    /// Where replies do not say whose they are, one call is in flight.
    single: Arc<Mutex<()>>,
    settings: Arc<Settings>,
    style: ReplyStyle,
    timeout: Duration,
    max_reply: usize,
}

#[derive(Clone)]
enum Broker {
    Rabbit(Line),
    Memory(MemoryBroker),
}

impl RpcClient {
    /// Connects to the broker at `amqp://…`, `amqps://…` or `memory://name`.
    ///
    /// # Errors
    ///
    /// A URL that cannot be used, or a broker that is not there or does not let the program in.
    pub async fn connect(url: &str) -> Result<Self, PublishError> {
        let url = BrokerUrl::parse(url).map_err(|error| PublishError::Url(error.into()))?;
        Self::to_destination(Destination::new(url, "rpc")).await
    }

    /// A client that calls over the connection of a publisher, with a channel of its own: a program that sends
    /// and calls needs one connection for both. It writes keys and payloads as the publisher does. Closing the
    /// one leaves the other as it is.
    ///
    /// # Errors
    ///
    /// The broker is not there, or does not let the program in.
    pub async fn beside(publisher: &Publisher) -> Result<Self, PublishError> {
        let client = Self::to_destination(publisher.destination()).await?;
        Ok(Self {
            settings: publisher.settings(),
            ..client
        })
    }

    async fn to_destination(destination: Destination) -> Result<Self, PublishError> {
        trace::turn_on();
        let calls = Arc::new(Calls::default());
        Ok(Self {
            broker: match destination {
                Destination::Rabbit(connection) => {
                    Broker::Rabbit(Line::connect_for_calls(connection, calls.clone()).await?)
                }
                Destination::Memory(broker) => Broker::Memory(broker),
                Destination::Recorded(_) => {
                    let why = "the handler is only tried, and calls nobody";
                    return Err(PublishError::Refused(why.into()));
                }
            },
            calls,
            single: Arc::default(),
            settings: Arc::default(),
            style: ReplyStyle::default(),
            timeout: TIMEOUT,
            max_reply: MAX_REPLY,
        })
    }

    /// Where the key of a request is written (default: the property `type`), as
    /// [`Publisher::key`](crate::Publisher::key).
    #[must_use]
    pub fn key(mut self, key: KeySource) -> Self {
        Arc::make_mut(&mut self.settings).key = key;
        self
    }

    /// How payloads are encoded (default: JSON). A reply says by itself how it is.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        Arc::make_mut(&mut self.settings).codec = codec;
        self
    }

    /// How long a call may take (default: 30 s).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How large the body of a reply may be, in bytes (default: 16 MiB). A larger one is dropped, as if it had not
    /// come.
    #[must_use]
    pub fn max_reply(mut self, bytes: usize) -> Self {
        self.max_reply = bytes;
        self
    }

    /// Calls handlers of the Python original, which reply with `{"detail": …}`.
    ///
    /// `detail` is a text: the value as JSON, or that of an error, which is told apart by not being JSON and
    /// becomes a [`CallError::Remote`] with the code `error`. These replies carry no correlation id: the
    /// calls of a client and its clones are made one after the other, each over a channel of its own, and the
    /// timeout of a call counts from its turn.
    #[must_use]
    pub fn python_replies(mut self) -> Self {
        self.style = ReplyStyle::Python;
        self
    }

    /// Calls the handler of this key, by its queue.
    ///
    /// # Errors
    ///
    /// There is no value, and why.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the handler may run or not.
    pub async fn call<T, R>(&self, queue: &str, key: &str, payload: &T) -> Result<R, CallError>
    where
        T: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        self.to(queue).key(key).payload(payload).call().await
    }

    /// Calls a handler of this program, or of a crate that it uses, by its queue. The function itself
    /// names it, and says what it takes and what the reply is.
    ///
    /// ```
    /// use ploomby::RpcClient;
    ///
    /// #[ploomby::handler("add")]
    /// async fn add((a, b): (u32, u32)) -> anyhow::Result<u32> {
    ///     Ok(a + b)
    /// }
    ///
    /// # async fn example(client: RpcClient) -> anyhow::Result<()> {
    /// let sum = client.call_handler("sums", add, &(2, 3)).await?;
    /// assert_eq!(sum, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// There is no value, and why.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the handler may run or not.
    pub async fn call_handler<H, M, P, K>(
        &self,
        queue: &str,
        handler: H,
        payload: &P,
    ) -> Result<<H::Returned as Replied<K>>::Reply, CallError>
    where
        H: Receives<P, M, Returned: Replied<K>>,
        P: Serialize + ?Sized,
    {
        self.to(queue).handler(handler, payload).call().await
    }

    /// A request to a queue.
    pub fn to(&self, queue: &str) -> Call<'_> {
        self.through("", queue)
    }

    /// A request through an exchange, to whatever queue is bound to it for the routing key. Of several
    /// replies the first one counts.
    pub fn through(&self, exchange: impl AsRef<str>, routing_key: &str) -> Call<'_> {
        let draft = Draft::new(&self.settings, exchange.as_ref(), routing_key);
        Call::new(self, draft)
    }

    /// How many calls of all clones wait for their replies.
    pub fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// How many replies came to all clones that no call took: late ones, second ones, those that somebody
    /// made up, and those that were too large.
    pub fn dropped_replies(&self) -> u64 {
        self.calls.dropped()
    }

    /// Closes the connection, of all clones, in order. Calls in flight fail.
    pub async fn close(self) {
        if let Broker::Rabbit(line) = &self.broker {
            line.close().await;
        }
        self.calls.lost_all();
    }
}

impl fmt::Debug for RpcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcClient")
            .field("key", &self.settings.key)
            .field("codec", &self.settings.codec)
            .field("timeout", &self.timeout)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
