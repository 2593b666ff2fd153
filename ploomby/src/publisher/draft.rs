use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use thiserror::Error;
use uuid::Uuid;

use super::{PublishError, Sending, history};
use crate::{
    codec::Codec,
    consumer::companions::LONGEST_WAIT,
    delivery::{self, Delivery, KeySource},
    handler::NoKey,
    message::{
        Addressed, Message, Properties, PropertyError, Routing, TraceContext, Value,
        header_names as headers, milliseconds_since_1970, new_id, properties::check_short,
    },
    metrics::Sent,
    settle::whole_milliseconds,
    trace,
};

/// The setters of a type that has a [`Draft`] at `$draft`.
macro_rules! draft_setters {
    ($self:ident => $draft:expr) => {
        /// What names the handler, where [`Publisher::key`](crate::Publisher::key), or that of
        /// [`RpcClient`](crate::RpcClient::key), says.
        pub fn key(mut $self, key: &str) -> Self {
            $draft.set_key(key);
            $self
        }

        /// Key and payload of a handler of this program, or of a crate that it uses: the function
        /// itself names it, and another payload than it takes does not compile.
        pub fn handler<H, M, P>(mut $self, handler: H, payload: &P) -> Self
        where
            H: $crate::Receives<P, M>,
            P: serde::Serialize + ?Sized,
        {
            let _ = handler;
            $draft.set_key_of(H::key());
            $draft.set_payload(payload);
            $self
        }

        /// The body: a payload, encoded as [`codec`](Self::codec) says, which it is to be called
        /// after.
        pub fn payload<T: serde::Serialize + ?Sized>(mut $self, payload: &T) -> Self {
            $draft.set_payload(payload);
            $self
        }

        /// The body: a payload in Protobuf, by the feature `protobuf`.
        #[cfg(feature = "protobuf")]
        pub fn protobuf(mut $self, payload: &impl prost::Message) -> Self {
            $draft.set_body(payload.encode_to_vec(), Some("application/protobuf"));
            $self
        }

        /// The body, as bytes that are encoded already. The properties say how.
        pub fn body(mut $self, body: impl Into<bytes::Bytes>) -> Self {
            $draft.set_body(body, None);
            $self
        }

        /// Body and properties, in place of all that was set before.
        ///
        /// A message that was received is a new one as it is sent on: it gets a message id of its own, and starts
        /// without ploomby's private headers and without what the broker added, as
        /// [`Delivery::message`](crate::Delivery::message) lists them. [`verbatim`](Self::verbatim) keeps all.
        pub fn message(mut $self, message: $crate::Message) -> Self {
            $draft.set_message(message);
            $self
        }

        /// Body and properties exactly as they are, in place of all that was set before: such as for a tool that
        /// moves messages. What counted on the way that the message came, such as its attempts, counts on.
        pub fn verbatim(mut $self, message: $crate::Message) -> Self {
            $draft.set_verbatim(message);
            $self
        }

        /// How a payload that is set afterwards is encoded (default: what
        /// [`Publisher::codec`](crate::Publisher::codec), or that of [`RpcClient`](crate::RpcClient::codec), says).
        pub fn codec(mut $self, codec: $crate::Codec) -> Self {
            $draft.set_codec(codec);
            $self
        }

        /// A header.
        pub fn header(mut $self, name: &str, value: impl Into<$crate::Value>) -> Self {
            $draft.set_header(name, value.into());
            $self
        }

        /// The properties, the headers among them, in place of all that were set before. A payload
        /// and a key that are set keep theirs. Of properties that were received the same is left out as of a
        /// [`message`](Self::message).
        pub fn properties(mut $self, properties: $crate::Properties) -> Self {
            $draft.set_properties(properties);
            $self
        }

        /// The priority, in queues that were declared with `x-max-priority`.
        pub fn priority(mut $self, priority: u8) -> Self {
            $draft.set_priority(priority);
            $self
        }
    };
}

pub(crate) use draft_setters;

/// What all messages of a sender have in common.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) key: KeySource,
    pub(crate) codec: Codec,
    /// Name and version of the program.
    pub(crate) app: Option<Arc<str>>,
    /// Where it is counted.
    pub(crate) sent: Sent,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key: KeySource::MessageType,
            codec: Codec::default(),
            app: None,
            sent: Sent::default(),
        }
    }
}

/// A message that is being written. The first thing that is wrong with it is kept, and told when it
/// is finished.
pub(crate) struct Draft {
    exchange: String,
    routing_key: String,
    routing: Routing,
    settings: Arc<Settings>,
    key: Option<String>,
    codec: Codec,
    /// What the payload was encoded as.
    content_type: Option<&'static str>,
    /// None where something is wrong with them, which `fault` tells.
    properties: Option<Properties>,
    body: Bytes,
    delay: Option<Duration>,
    /// It is sent as it is, and nothing is added.
    is_verbatim: bool,
    /// The sender says itself which trace it belongs to.
    has_own_trace: bool,
    /// Once it is on its way.
    traced: Option<trace::Sending>,
    fault: Option<PublishError>,
}

/// What a message cannot be.
#[derive(Debug, Error)]
enum Contradiction {
    #[error(
        "the key is the routing key here, `{0}`: send the message through an exchange, with its \
         key as the routing key"
    )]
    RoutingKey(String),
    #[error(
        "the key {key:?} is read in {place}, and {found}: send a payload that holds the key there"
    )]
    KeyInBody {
        key: String,
        place: String,
        found: String,
    },
    #[error("a message that is delayed does not expire: leave one of the two out")]
    DelayAndExpiration,
    #[error("only a message to a queue can be delayed, not one through an exchange")]
    DelayThroughExchange,
    #[error(
        "a message cannot be delayed by more than ten years, which is the longest that RabbitMQ counts"
    )]
    DelayTooLong,
}

impl Draft {
    pub(crate) fn new(settings: &Arc<Settings>, exchange: &str, routing_key: &str) -> Self {
        Self {
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            routing: Routing::Mandatory,
            settings: settings.clone(),
            key: None,
            codec: settings.codec,
            content_type: None,
            properties: Some(Properties::new()),
            body: Bytes::new(),
            delay: None,
            is_verbatim: false,
            has_own_trace: false,
            traced: None,
            fault: None,
        }
    }

    pub(crate) fn set_key(&mut self, key: &str) {
        self.key = Some(key.to_owned());
    }

    pub(crate) fn set_key_of(&mut self, handler: Result<&'static str, NoKey>) {
        match handler {
            Ok(key) => self.set_key(key),
            Err(error) => self.note(PublishError::Invalid(error.into())),
        }
    }

    pub(crate) fn set_payload<T: Serialize + ?Sized>(&mut self, payload: &T) {
        match self.codec.encode(payload) {
            Ok(body) => self.set_body(body, Some(self.codec.content_type())),
            Err(error) => self.note(PublishError::Invalid(error)),
        }
    }

    pub(crate) fn set_body(&mut self, body: impl Into<Bytes>, content_type: Option<&'static str>) {
        self.body = body.into();
        self.content_type = content_type;
    }

    pub(crate) fn set_message(&mut self, message: Message) {
        let (properties, body) = message.into_parts();
        self.set_properties(properties);
        self.is_verbatim = false;
        self.body = body;
        self.content_type = None;
    }

    pub(crate) fn set_verbatim(&mut self, message: Message) {
        let (properties, body) = message.into_parts();
        self.properties = Some(properties.chosen());
        self.is_verbatim = true;
        self.body = body;
        self.content_type = None;
    }

    pub(crate) fn set_codec(&mut self, codec: Codec) {
        self.codec = codec;
    }

    pub(crate) fn set_header(&mut self, name: &str, value: Value) {
        self.has_own_trace |= name == headers::TRACEPARENT;
        self.change(|mut properties| {
            properties.set_header(name, value)?;
            Ok(properties)
        });
    }

    pub(crate) fn set_properties(&mut self, properties: Properties) {
        self.has_own_trace =
            !properties.is_received() && properties.headers().contains(headers::TRACEPARENT);
        self.properties = Some(properties);
        self.change(history::taken_off);
    }

    pub(crate) fn set_priority(&mut self, priority: u8) {
        self.change(|properties| Ok(properties.with_priority(priority)));
    }

    pub(crate) fn set_expiration(&mut self, after: Duration) {
        self.change(|properties| Ok(properties.with_expiration(after)));
    }

    pub(crate) fn set_transient(&mut self) {
        self.change(|properties| Ok(properties.transient()));
    }

    /// In whole milliseconds, as the broker counts: a delay is the least time that a message waits.
    pub(crate) fn set_delay(&mut self, delay: Duration) {
        self.delay = (!delay.is_zero()).then(|| whole_milliseconds(delay));
    }

    pub(crate) fn allow_unroutable(&mut self) {
        self.routing = Routing::Optional;
    }

    pub(crate) fn change(
        &mut self,
        change: impl FnOnce(Properties) -> Result<Properties, PropertyError>,
    ) {
        // an error consumes them, and is what the sender hears in place of the message
        let Some(properties) = self.properties.take() else {
            return;
        };
        match change(properties) {
            Ok(properties) => self.properties = Some(properties),
            Err(error) => self.note(error.into()),
        }
    }

    /// The message is on its way, from now on.
    pub(crate) fn sending(&mut self, operation: &'static str) -> Sending {
        let (exchange, routing_key) = (&self.exchange, &self.routing_key);
        let moved = || {
            let properties = self.properties.as_ref().filter(|_| self.is_verbatim);
            TraceContext::of(properties?.headers())
        };
        let traced = trace::Sending::begin(operation, exchange, routing_key, moved);
        Sending {
            counted: self.settings.sent.begin(operation, exchange, routing_key),
            traced: self.traced.insert(traced).span(),
        }
    }

    pub(crate) fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// The message as it is sent.
    pub(crate) fn finish(mut self) -> Result<Addressed, PublishError> {
        self.check();
        if let Some(content_type) = self.content_type {
            self.change(|properties| properties.with_content_type(content_type));
        }
        self.write_key();
        if self.delay.is_some() {
            self.change(history::deaths_aside);
        }
        self.change(|properties| match properties.chosen_message_id() {
            Some(_) => Ok(properties),
            None => {
                let mut text = Uuid::encode_buffer();
                properties.with_message_id(new_id().hyphenated().encode_lower(&mut text))
            }
        });
        self.stamp();
        self.write_trace();
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(Addressed {
                exchange: self.exchange,
                routing_key: self.routing_key,
                routing: self.routing,
                message: Message {
                    properties: self.properties.unwrap_or_default().persistent_by_default(),
                    body: self.body,
                },
            }),
        }
    }

    /// Says when the message is sent, and by which program.
    fn stamp(&mut self) {
        if self.is_verbatim {
            return;
        }
        let sent_at = i64::try_from(milliseconds_since_1970()).unwrap_or(i64::MAX);
        self.set_header(headers::SENT_AT, Value::I64(sent_at));
        if let Some(app) = self.settings.app.clone() {
            self.set_header(headers::APP, (&*app).into());
        }
    }

    /// Says which trace it belongs to.
    fn write_trace(&mut self) {
        let Some(traced) = self.traced.take() else {
            return;
        };
        if let Some(id) = self.properties.as_ref().and_then(Properties::message_id) {
            traced.named(id);
        }
        if !self.is_verbatim && !self.has_own_trace {
            self.change(|properties| traced.write(properties));
        }
    }

    fn check(&mut self) {
        let names = [
            ("the name of an exchange", &self.exchange),
            ("a routing key, or the name of a queue,", &self.routing_key),
        ];
        let too_long = names
            .into_iter()
            .find_map(|(what, name)| check_short(what, name).err());
        if let Some(error) = too_long {
            self.note(error.into());
        }
        if self.exchange.is_empty() && delivery::is_malformed_address(&self.routing_key) {
            self.note(PublishError::Invalid(NO_ADDRESS.into()));
        }
        if self.delay.is_some() {
            let properties = self.properties.as_ref();
            if properties.is_some_and(|properties| properties.expiration().is_some()) {
                self.note(Contradiction::DelayAndExpiration.into());
            }
            if !self.exchange.is_empty() {
                self.note(Contradiction::DelayThroughExchange.into());
            }
            if self.delay.is_some_and(|delay| delay > LONGEST_WAIT) {
                self.note(Contradiction::DelayTooLong.into());
            }
        }
    }

    fn write_key(&mut self) {
        let Some(key) = self.key.take() else { return };
        let settings = self.settings.clone();
        let places = settings.key.places();
        // where nothing is said, the queue's own default
        let of_nothing = places.is_empty().then_some(&KeySource::MessageType);
        match settings.key.written().or(of_nothing) {
            Some(KeySource::Header(name)) => self.set_header(name, key.as_str().into()),
            Some(KeySource::MessageType) => {
                self.change(|properties| properties.with_message_type(&key));
            }
            Some(KeySource::RoutingKey) if key == self.routing_key => {}
            Some(KeySource::RoutingKey) => {
                let routing_key = self.routing_key.clone();
                self.note(Contradiction::RoutingKey(routing_key).into());
            }
            Some(KeySource::Field(_) | KeySource::FromFn(_) | KeySource::FirstOf(_)) | None => {}
        }
        let is_read =
            |place: &&KeySource| matches!(place, KeySource::Field(_) | KeySource::FromFn(_));
        if places.iter().any(is_read) {
            self.check_key(&key);
        }
    }

    /// A key that its reader finds in the body is not for the sender to choose beside the payload.
    #[cold]
    fn check_key(&mut self, key: &str) {
        let Some(properties) = self.properties.clone() else {
            return;
        };
        let reader = match self.settings.key.reader() {
            Ok(reader) => reader,
            Err(error) => return self.note(error.into()),
        };
        let message = Message::new(self.body.clone()).with_properties(properties);
        let delivery = Delivery::new(message).routed(&*self.exchange, &*self.routing_key);
        let found = match delivery.read_key(&reader) {
            Ok(found) if found == key => return,
            Ok(found) => format!("it holds {found:?}"),
            Err(error) => error.to_string(),
        };
        self.note(
            Contradiction::KeyInBody {
                key: key.to_owned(),
                place: self.settings.key.to_string(),
                found,
            }
            .into(),
        );
    }

    fn note(&mut self, fault: PublishError) {
        self.fault.get_or_insert(fault);
    }
}

/// RabbitMQ answers it with an internal error, and all that is under way would be lost or sent again.
const NO_ADDRESS: &str = "it is for a name of `amq.rabbitmq.reply-to` that RabbitMQ never made, and would close the \
                          connection";

impl From<Contradiction> for PublishError {
    fn from(contradiction: Contradiction) -> Self {
        Self::Invalid(contradiction.into())
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("exchange", &self.exchange)
            .field("routing_key", &self.routing_key)
            .field("key", &self.key)
            .field("properties", &self.properties)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}
