//! What a consumer hands to the dispatcher: a message and how it came.

use std::{borrow::Cow, fmt, sync::Arc};

use crate::{
    codec::Decoding,
    key::{KeyError, KeyReader},
    message::{Headers, Message, Properties},
};

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

/// A message on its way to a handler.
///
/// `Debug` prints neither the body nor what the headers hold.
pub struct Delivery {
    pub(crate) message: Message,
    pub(crate) tag: DeliveryTag,
    envelope: Envelope,
    source: Option<Arc<Source>>,
    /// The body as it was before it was compressed, once it was asked for: a payload borrows from
    /// it.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    decompressed: std::sync::OnceLock<bytes::Bytes>,
}

/// Where deliveries come from, the same for all of a queue.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) queue: String,
    pub(crate) key: KeyReader,
    pub(crate) decoding: Decoding,
}

/// How the message came. The client's own frame is kept as it is, so that no text is copied.
enum Envelope {
    Wire(amqprs::Deliver),
    Plain {
        exchange: String,
        routing_key: String,
        redelivered: bool,
    },
}

impl Delivery {
    /// A delivery of this message, from the default exchange, for the first time.
    pub fn new(message: Message, tag: DeliveryTag) -> Self {
        Self {
            message,
            tag,
            envelope: Envelope::Plain {
                exchange: String::new(),
                routing_key: String::new(),
                redelivered: false,
            },
            source: None,
            #[cfg(any(feature = "gzip", feature = "zstd"))]
            decompressed: std::sync::OnceLock::new(),
        }
    }

    pub(crate) fn from_wire(message: Message, deliver: amqprs::Deliver) -> Self {
        Self {
            message,
            tag: DeliveryTag::new(deliver.delivery_tag()),
            envelope: Envelope::Wire(deliver),
            source: None,
            #[cfg(any(feature = "gzip", feature = "zstd"))]
            decompressed: std::sync::OnceLock::new(),
        }
    }

    /// Says through which exchange and with which routing key the message came.
    #[must_use]
    pub fn routed(self, exchange: impl Into<String>, routing_key: impl Into<String>) -> Self {
        let redelivered = self.is_redelivered();
        Self {
            envelope: Envelope::Plain {
                exchange: exchange.into(),
                routing_key: routing_key.into(),
                redelivered,
            },
            ..self
        }
    }

    /// Says that the message was delivered before and not settled.
    #[must_use]
    pub fn redelivered(self) -> Self {
        let (exchange, routing_key) = (self.exchange().to_owned(), self.routing_key().to_owned());
        Self {
            envelope: Envelope::Plain {
                exchange,
                routing_key,
                redelivered: true,
            },
            ..self
        }
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The body of the message, as it was sent.
    pub fn body(&self) -> &[u8] {
        self.message.body()
    }

    /// The properties of the message.
    pub fn properties(&self) -> &Properties {
        self.message.properties()
    }

    /// The headers of the message.
    pub fn headers(&self) -> Headers<'_> {
        self.message.headers()
    }

    /// The exchange that the message was published to; empty for the default exchange.
    pub fn exchange(&self) -> &str {
        match &self.envelope {
            Envelope::Wire(deliver) => deliver.exchange(),
            Envelope::Plain { exchange, .. } => exchange,
        }
    }

    /// The routing key that the message was published with.
    pub fn routing_key(&self) -> &str {
        match &self.envelope {
            Envelope::Wire(deliver) => deliver.routing_key(),
            Envelope::Plain { routing_key, .. } => routing_key,
        }
    }

    /// Whether the message was delivered before, here or elsewhere, and not settled.
    pub fn is_redelivered(&self) -> bool {
        match &self.envelope {
            Envelope::Wire(deliver) => deliver.redelivered(),
            Envelope::Plain { redelivered, .. } => *redelivered,
        }
    }

    /// The queue that the message was consumed from; empty before it is dispatched.
    pub fn queue(&self) -> &str {
        self.source.as_ref().map_or("", |source| &source.queue)
    }

    /// The key that names the handler, where the message has one.
    pub fn key(&self) -> Option<Cow<'_, str>> {
        self.try_key().ok()
    }

    pub(crate) fn try_key(&self) -> Result<Cow<'_, str>, KeyError> {
        match &self.source {
            Some(source) => source.key.read(self),
            None => Err(KeyError::Missing {
                place: "not been dispatched".to_owned(),
            }),
        }
    }

    /// How the queue decodes bodies.
    pub(crate) fn decoding(&self) -> Decoding {
        self.source
            .as_ref()
            .map_or(Decoding::new(), |source| source.decoding)
    }

    /// The body, decompressed within the limit of the queue at most once.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(crate) fn decompressed(
        &self,
        decompress: impl FnOnce(usize) -> Result<bytes::Bytes, crate::settle::Failure>,
    ) -> Result<&[u8], crate::settle::Failure> {
        if let Some(body) = self.decompressed.get() {
            return Ok(body);
        }
        let body = decompress(self.decoding().max_decompressed_size)?;
        Ok(self.decompressed.get_or_init(|| body))
    }

    pub(crate) fn set_source(&mut self, source: Arc<Source>) {
        self.source = Some(source);
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("queue", &self.queue())
            .field("tag", &self.tag.0)
            .field("exchange", &self.exchange())
            .field("routing_key", &self.routing_key())
            .field("redelivered", &self.is_redelivered())
            .field("message", &self.message)
            .finish()
    }
}
