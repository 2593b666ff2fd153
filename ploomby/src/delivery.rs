//! What a consumer hands to the dispatcher: a message and how it came.

use std::{
    any::Any,
    borrow::Cow,
    fmt,
    sync::{Arc, LazyLock},
};

use http::Extensions;
use tokio_util::sync::CancellationToken;

#[cfg(any(feature = "gzip", feature = "zstd"))]
pub(crate) use self::unpacking::Memory;
pub(crate) use self::{
    handler_time::HandlerTime,
    history::{Returns, SetAside, is_retry_queue},
    key::{KeyError, KeyReader},
    life::Life,
    plain_body::plain_body,
    replying::{
        Loss, LostReplies, OwnQueues, Pattern, ReplyAddress, ReplyRules, Replying, direct_name,
        is_companion, is_malformed_address, is_well_formed, node_of_address,
    },
    source::{KeyWords, ReplyStyle, Source},
    trial::Trial,
};
pub use self::{
    key::{KeyFn, KeySource},
    recycler::Recycler,
    replying::Replies,
};
use crate::{
    codec::Decoding,
    message::{Headers, Message, Properties, header_names as headers, wire::Arrival},
};

mod field;
mod handler_time;
mod history;
mod key;
mod life;
mod plain_body;
mod recycler;
mod replying;
mod source;
mod trial;
#[cfg(any(feature = "gzip", feature = "zstd"))]
mod unpacking;

/// Names one delivery to the consumer that made it (AMQP's delivery tag).
///
/// It can be neither copied nor cloned: who settles a delivery gives the tag away, so that
/// nothing is settled twice.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct DeliveryTag(u64);

impl DeliveryTag {
    /// A tag; the number means something to its consumer only.
    pub fn new(tag: u64) -> Self {
        Self(tag)
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0
    }
}

/// A message on its way to a handler. Cheap to clone: clones share the message.
///
/// `Debug` prints neither the body nor what the headers hold.
#[derive(Clone)]
pub struct Delivery {
    inner: Arc<Inner>,
    extensions: Extensions,
    /// On its way through the layers of the queue.
    found: Option<Arc<FoundHandler>>,
}

/// The handler that was found for a delivery, for what is inside of the layers of the queue. What
/// that is, the delivery need not know.
pub(crate) struct FoundHandler(Box<dyn Any + Send + Sync>);

impl FoundHandler {
    pub(crate) fn new(handler: impl Send + Sync + 'static) -> Self {
        Self(Box::new(handler))
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

struct Inner {
    content: Content,
    source: Option<Arc<Source>>,
    /// The body as it was before it was compressed, once it was asked for: a payload borrows from
    /// it.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    decompressed: std::sync::OnceLock<unpacking::Unpacked>,
}

/// The message, and how it came.
#[expect(
    clippy::large_enum_variant,
    reason = "it is in one allocation with all else, and the large one is not moved"
)]
enum Content {
    Wire {
        message: Message,
        arrival: Arrival,
    },
    Plain {
        published: Arc<Published>,
        redelivered: bool,
    },
}

/// A message, and where it was published to.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) message: Message,
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
}

impl Published {
    /// Through the default exchange.
    pub(crate) fn by_default(message: Message, routing_key: &str) -> Self {
        Self {
            message: Message {
                properties: message.properties.received(),
                body: message.body,
            },
            exchange: String::new(),
            routing_key: routing_key.to_owned(),
        }
    }
}

impl Delivery {
    /// A delivery of this message, from the default exchange, for the first time.
    pub fn new(message: Message) -> Self {
        Self::with_content(Content::Plain {
            published: Arc::new(Published::by_default(message, "")),
            redelivered: false,
        })
    }

    fn with_content(content: Content) -> Self {
        Self::of(Arc::new(Inner::new(content, None)))
    }

    #[inline]
    fn of(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            extensions: Extensions::new(),
            found: None,
        }
    }

    /// Says through which exchange and with which routing key the message came.
    #[must_use]
    pub fn routed(mut self, exchange: impl Into<String>, routing_key: impl Into<String>) -> Self {
        self.set_address(exchange, routing_key);
        self
    }

    /// Says that the message was delivered before and not settled.
    #[must_use]
    pub fn redelivered(mut self) -> Self {
        self.set_redelivered();
        self
    }

    /// Says through which exchange and with which routing key the message came.
    pub fn set_address(&mut self, exchange: impl Into<String>, routing_key: impl Into<String>) {
        if let Some(Content::Plain { published, .. }) = self.own_content() {
            let published = Arc::make_mut(published);
            published.exchange = exchange.into();
            published.routing_key = routing_key.into();
            return;
        }
        let published = Published {
            message: self.message().clone(),
            exchange: exchange.into(),
            routing_key: routing_key.into(),
        };
        *self = self.clone().replaced(Content::Plain {
            published: Arc::new(published),
            redelivered: self.came_back(),
        });
    }

    /// Says that the message was delivered before and not settled.
    pub fn set_redelivered(&mut self) {
        if let Some(Content::Plain { redelivered, .. }) = self.own_content() {
            *redelivered = true;
            return;
        }
        let content = self.inner.content.to_plain(true);
        *self = self.clone().replaced(content);
    }

    /// What no clone shares.
    fn own_content(&mut self) -> Option<&mut Content> {
        Some(&mut Arc::get_mut(&mut self.inner)?.content)
    }

    fn replaced(self, content: Content) -> Self {
        let mut replaced = Self::with_content(content);
        replaced.extensions = self.extensions;
        replaced.found = self.found;
        if let Some(source) = &self.inner.source {
            replaced.set_source(source);
        }
        replaced
    }

    /// The message, as it came to the queue.
    ///
    /// Beside what its sender gave it, it may hold headers of others, which count in this queue alone:
    ///
    /// - ploomby's own, that start with `ploomby-`: how often it was tried and came back, where it was sent to at
    ///   first, why it failed before;
    /// - the broker's: `x-death` and its kin (`x-first-death-…`, `x-last-death-…`), `x-delivery-count`,
    ///   `x-acquired-count`, `x-received-from`, `x-shovelled`, `x-stream-offset`.
    ///
    /// A [`Publisher`](crate::Publisher) that sends the message, or its properties, on leaves these out, and gives
    /// it a message id of its own: [`Outgoing::verbatim`](crate::Outgoing::verbatim) does not.
    pub fn message(&self) -> &Message {
        match &self.inner.content {
            Content::Wire { message, .. } => message,
            Content::Plain { published, .. } => &published.message,
        }
    }

    /// The body of the message, as it was sent.
    pub fn body(&self) -> &[u8] {
        self.message().body()
    }

    /// The properties of the message.
    pub fn properties(&self) -> &Properties {
        self.message().properties()
    }

    /// The headers of the message.
    pub fn headers(&self) -> Headers<'_> {
        self.message().headers()
    }

    /// The exchange that the message was published to; empty for the default exchange.
    pub fn exchange(&self) -> &str {
        self.address().0
    }

    /// The routing key that the message was published with.
    pub fn routing_key(&self) -> &str {
        self.address().1
    }

    /// Exchange and routing key, as the sender gave them. A copy of ploomby's reaches the queue
    /// through the default exchange and carries what it came with at first.
    fn address(&self) -> (&str, &str) {
        let address = self.inner.content.address();
        if address != ("", self.queue()) {
            return address;
        }
        let original = |name| self.headers().text(name);
        match original(headers::ROUTING_KEY) {
            Some(routing_key) => (original(headers::EXCHANGE).unwrap_or(""), routing_key),
            None => address,
        }
    }

    /// Whether the message was delivered before, here or elsewhere, and not settled.
    pub fn is_redelivered(&self) -> bool {
        self.came_back() || self.counted_redeliveries() > 0
    }

    /// Whether the source says so of this very delivery.
    pub(crate) fn came_back(&self) -> bool {
        match &self.inner.content {
            Content::Wire { arrival, .. } => arrival.is_redelivered(),
            Content::Plain { redelivered, .. } => *redelivered,
        }
    }

    /// Which attempt at the message this is: 1, unless a [`Retry`](crate::Retry) brought it back.
    pub fn attempt(&self) -> u32 {
        self.counted_attempt()
    }

    /// How often a handler gave it back, as far as that is known.
    pub(crate) fn requeues(&self) -> u32 {
        match self.counted_redeliveries() {
            0 => u32::from(self.came_back()),
            counted => counted,
        }
    }

    /// The queue that the message was consumed from; empty before it is dispatched.
    pub fn queue(&self) -> &str {
        self.inner
            .source
            .as_ref()
            .map_or("", |source| &source.queue)
    }

    /// The key that names the handler, where the message has one.
    pub fn key(&self) -> Option<Cow<'_, str>> {
        self.try_key().ok()
    }

    /// The program's state of this type, where it gave one: what
    /// [`State`](crate::extract::State) takes.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.inner.source.as_ref()?.state.get()
    }

    /// What layers left with the delivery, by type.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// For a layer to leave something with the delivery. It is not part of the message: what is
    /// delivered again comes without it.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// The key, read where a queue has it.
    #[inline]
    pub(crate) fn read_key(&self, reader: &KeyReader) -> Result<Cow<'_, str>, KeyError> {
        reader.read(self)
    }

    /// What stands in the key for the wildcards of its pattern.
    pub(crate) fn key_words(&self) -> Result<Vec<String>, KeyError> {
        let key = self.try_key()?;
        let source = self.inner.source.as_ref();
        Ok(source.map_or_else(Vec::new, |source| source.words.of(&key)))
    }

    pub(crate) fn try_key(&self) -> Result<Cow<'_, str>, KeyError> {
        match &self.inner.source {
            Some(source) => self.read_key(&source.key),
            None => Err(KeyError::Missing {
                place: "not been dispatched".to_owned(),
            }),
        }
    }

    /// The program's state of this type, as `make` fits it to the queue, once for all its deliveries.
    pub(crate) fn state_of_queue<T: Send + Sync + 'static>(
        &self,
        make: impl FnOnce(&T, KeySource) -> T,
    ) -> Option<&T> {
        let source = self.inner.source.as_ref()?;
        let state: &T = source.state.get()?;
        let fitted = source
            .fitted
            .get_or_init(|| Box::new(make(state, source.key.source())));
        fitted.downcast_ref()
    }

    /// How the queue decodes bodies.
    #[inline]
    pub(crate) fn decoding(&self) -> Decoding {
        self.inner
            .source
            .as_ref()
            .map_or(Decoding::default(), |source| source.decoding)
    }

    /// How the queue's replies look.
    pub(crate) fn reply_style(&self) -> ReplyStyle {
        self.inner
            .source
            .as_ref()
            .map_or(ReplyStyle::default(), |source| source.reply_style)
    }

    /// Which replies the queue sends, and where to.
    pub(crate) fn replying(&self) -> &Replying {
        static ANYWHERE: LazyLock<Replying> = LazyLock::new(Replying::default);

        let source = self.inner.source.as_ref();
        source.map_or(&*ANYWHERE, |source| &source.replying)
    }

    /// The body, decompressed within the limit of the queue at most once.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(crate) fn decompressed(
        &self,
        decompress: impl FnOnce(usize) -> Result<bytes::Bytes, crate::outcome::Failure>,
    ) -> Result<&[u8], crate::outcome::Failure> {
        if let Some(unpacked) = self.inner.decompressed.get() {
            return unpacked.body();
        }
        let body = decompress(self.decoding().max_decompressed_size)?;
        let unpacked = unpacking::Unpacked::at_once(body);
        self.inner.decompressed.get_or_init(|| unpacked).body()
    }

    /// A delivery from the same queue, for what is about several.
    pub(crate) fn without_message(&self) -> Self {
        let mut without = Self::new(Message::default());
        if let Some(source) = &self.inner.source {
            without.set_source(source);
        }
        without
    }

    /// Cancelled once the program is told to stop; none before the delivery is dispatched.
    pub(crate) fn stopping(&self) -> Option<CancellationToken> {
        Some(self.inner.source.as_ref()?.stop.clone())
    }

    /// The time that its handler may take, where it is limited and layers are around the handler.
    pub(crate) fn handler_time(&self) -> Option<Arc<HandlerTime>> {
        self.extensions.get().cloned()
    }

    /// Whether the source has taken it back. It says so of what is handled with others alone.
    pub(crate) fn is_lost(&self) -> bool {
        self.extensions.get().is_some_and(Life::is_lost)
    }

    /// The same delivery, for a handler that takes it with others.
    pub(crate) fn living(&self, life: Life) -> Self {
        let mut living = self.clone();
        living.extensions.insert(life);
        living
    }

    /// The same delivery, for a handler whose time is limited so.
    pub(crate) fn timed(&self, time: Option<&Arc<HandlerTime>>) -> Self {
        let mut timed = self.clone();
        if let Some(time) = time {
            timed.extensions.insert(time.clone());
        }
        timed
    }

    pub(crate) fn set_found(&mut self, handler: Arc<FoundHandler>) {
        self.found = Some(handler);
    }

    pub(crate) fn take_found(&mut self) -> Option<Arc<FoundHandler>> {
        self.found.take()
    }

    #[inline]
    pub(crate) fn set_source(&mut self, source: &Arc<Source>) {
        if !self.is_of(source) {
            self.set_new_source(source);
        }
    }

    /// Whether it comes from this very queue.
    #[inline]
    pub(crate) fn is_of(&self, source: &Arc<Source>) -> bool {
        let known = self.inner.source.as_ref();
        known.is_some_and(|known| Arc::ptr_eq(known, source))
    }

    fn set_new_source(&mut self, source: &Arc<Source>) {
        match Arc::get_mut(&mut self.inner) {
            Some(inner) => inner.source = Some(source.clone()),
            // its clones stay as they are
            None => {
                let content = self.inner.content.to_plain(self.came_back());
                *self = self.clone().replaced(content);
                self.set_new_source(source);
            }
        }
    }
}

impl Inner {
    fn new(content: Content, source: Option<Arc<Source>>) -> Self {
        Self {
            content,
            source,
            #[cfg(any(feature = "gzip", feature = "zstd"))]
            decompressed: std::sync::OnceLock::new(),
        }
    }
}

impl Content {
    fn address(&self) -> (&str, &str) {
        match self {
            Self::Wire { arrival, .. } => (arrival.exchange(), arrival.routing_key()),
            Self::Plain { published, .. } => (&published.exchange, &published.routing_key),
        }
    }

    fn to_plain(&self, redelivered: bool) -> Self {
        let published = match self {
            Self::Plain { published, .. } => published.clone(),
            Self::Wire { message, arrival } => Arc::new(Published {
                message: message.clone(),
                exchange: arrival.exchange().to_owned(),
                routing_key: arrival.routing_key().to_owned(),
            }),
        };
        Self::Plain {
            published,
            redelivered,
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("queue", &self.queue())
            .field("exchange", &self.exchange())
            .field("routing_key", &self.routing_key())
            .field("redelivered", &self.is_redelivered())
            .field("message", self.message())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_that_is_dispatched_leaves_its_clones_as_they_are() {
        let source = Arc::new(Source::of_queue("q"));
        let delivery = Delivery::new(Message::new("body"));
        let mut delivery = delivery.routed("exchange", "key").redelivered();
        delivery.extensions_mut().insert(7);
        let clone = delivery.clone();
        delivery.set_source(&source);
        assert_eq!((delivery.queue(), clone.queue()), ("q", ""));
        assert_eq!(delivery.key().as_deref(), Some("key"));
        assert_eq!(delivery.exchange(), "exchange");
        assert_eq!(delivery.body(), b"body");
        assert!(delivery.came_back());
        assert_eq!(delivery.extensions().get(), Some(&7));
    }
}
