use std::fmt;

use thiserror::Error;

use super::{
    Headers, Value,
    fields::Fields,
    raw_text,
    value::MAX_DEPTH,
    wire::{
        BasicProperties, DELIVERY_MODE_PERSISTENT, DELIVERY_MODE_TRANSIENT, rebuilt_table, replace,
        short_str,
    },
};

/// The properties of a message, as AMQP's `basic` class defines them.
///
/// `Debug` prints which are set, never what they hold.
///
/// ```
/// use std::time::Duration;
/// use ploomby::Properties;
///
/// let properties = Properties::new()
///     .with_content_type("application/json")?
///     .with_correlation_id("42")?
///     .with_expiration(Duration::from_secs(60))
///     .persistent();
/// assert_eq!(properties.content_type(), Some("application/json"));
/// # Ok::<(), ploomby::PropertyError>(())
/// ```
///
/// A handler takes those of its message as an argument:
///
/// ```
/// use ploomby::Properties;
///
/// #[ploomby::handler("audit")]
/// async fn audit(properties: &Properties) {
///     println!("sent by {:?}", properties.app_id());
/// }
/// ```
#[derive(Clone, Default)]
pub struct Properties {
    pub(super) wire: BasicProperties,
    /// They came with a message, and so did the message id.
    is_received: bool,
    /// Their table of headers may be one that was read.
    is_read: bool,
}

/// A property, a header or a name that AMQP cannot carry.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct PropertyError(#[from] Unfit);

#[derive(Debug, Error)]
enum Unfit {
    #[error("{what} is too long: AMQP carries at most {limit} bytes")]
    Long { what: &'static str, limit: u32 },
    #[error(
        "a header has more than {MAX_DEPTH} tables and lists inside of each other: send what is \
         nested as deeply in the body"
    )]
    Deep,
}

impl PropertyError {
    pub(super) fn too_long(what: &'static str) -> Self {
        Self(Unfit::Long { what, limit: 255 })
    }

    pub(super) fn value_too_long() -> Self {
        Self(Unfit::Long {
            what: "a header's value",
            limit: u32::MAX,
        })
    }

    pub(super) fn too_deep() -> Self {
        Self(Unfit::Deep)
    }
}

/// Makes sure that text has at most 255 bytes.
pub(crate) fn check_short(what: &'static str, text: &str) -> Result<(), PropertyError> {
    match text.len() {
        0..=255 => Ok(()),
        _ => Err(PropertyError::too_long(what)),
    }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident, $with:ident, $what:literal;)+) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// Text over 255 bytes.
        pub fn $with(mut self, text: &str) -> Result<Self, PropertyError> {
            // text that looks as if it stood for something else does not
            let text = raw_text::escape(text.as_bytes());
            check_short($what, &text)?;
            self.wire.$with(&text);
            Ok(self)
        }

        #[doc = concat!("Reads the ", $what, ".")]
        pub fn $name(&self) -> Option<&str> {
            self.wire.$name().map(String::as_str)
        }
    )+};
}

impl Properties {
    /// No property set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    texts! {
        /// The type of the body, such as `application/json`.
        content_type, with_content_type, "content type";
        /// The encoding of the body, such as `gzip`.
        content_encoding, with_content_encoding, "content encoding";
        /// What ties a reply to its request.
        correlation_id, with_correlation_id, "correlation id";
        /// The queue that a reply goes to.
        reply_to, with_reply_to, "reply-to";
        /// The sender's name for this kind of message (AMQP's `type`).
        message_type, with_message_type, "type";
        /// The user who sent it; RabbitMQ refuses any but the connection's own.
        user_id, with_user_id, "user id";
        /// The program that sent it.
        app_id, with_app_id, "app id";
    }

    /// The sender's name for this message.
    ///
    /// # Errors
    ///
    /// Text over 255 bytes.
    pub fn with_message_id(mut self, text: &str) -> Result<Self, PropertyError> {
        check_short("message id", text)?;
        self.wire.with_message_id(text);
        self.is_received = false;
        Ok(self)
    }

    /// Reads the message id.
    pub fn message_id(&self) -> Option<&str> {
        self.wire.message_id().map(String::as_str)
    }

    /// Marks them as those of a message that came from somewhere.
    pub(crate) fn received(mut self) -> Self {
        self.is_received = true;
        self
    }

    /// Marks them as what is to be sent, the message id included.
    pub(crate) fn chosen(mut self) -> Self {
        self.is_received = false;
        self
    }

    /// Whether they came with a message.
    pub(crate) fn is_received(&self) -> bool {
        self.is_received
    }

    /// The message id that was chosen for a message that is to be sent: not the one of a message that was
    /// received.
    pub(crate) fn chosen_message_id(&self) -> Option<&str> {
        self.message_id().filter(|_| !self.is_received)
    }

    /// How long the message may wait in a queue; RabbitMQ counts in milliseconds, and a part of one is a whole one.
    #[must_use]
    pub fn with_expiration(mut self, after: std::time::Duration) -> Self {
        self.wire
            .with_expiration(&after.as_nanos().div_ceil(1_000_000).to_string());
        self
    }

    /// Whatever a sender may write.
    #[cfg(test)]
    pub(crate) fn with_raw_expiration(mut self, text: &str) -> Self {
        self.wire.with_expiration(text);
        self
    }

    /// Reads the expiration as it was sent: milliseconds in decimal digits.
    pub fn expiration(&self) -> Option<&str> {
        self.wire.expiration().map(String::as_str)
    }

    /// The priority in queues that were declared with `x-max-priority`.
    #[must_use]
    pub fn with_priority(mut self, priority: u8) -> Self {
        self.wire.with_priority(priority);
        self
    }

    /// Reads the priority.
    pub fn priority(&self) -> Option<u8> {
        self.wire.priority()
    }

    /// When it was sent, in seconds since 1970.
    #[must_use]
    pub fn with_timestamp(mut self, seconds: u64) -> Self {
        self.wire.with_timestamp(seconds);
        self
    }

    /// Reads when it was sent, in seconds since 1970.
    pub fn timestamp(&self) -> Option<u64> {
        self.wire.timestamp()
    }

    /// Makes the message survive the broker's restart, where its queue is durable. A
    /// [`Publisher`](crate::Publisher) does so by default.
    #[must_use]
    pub fn persistent(mut self) -> Self {
        self.wire.with_delivery_mode(DELIVERY_MODE_PERSISTENT);
        self
    }

    /// Lets the message be lost when the broker restarts, which is faster.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.wire.with_delivery_mode(DELIVERY_MODE_TRANSIENT);
        self
    }

    /// What is sent survives the broker's restart, unless the sender says otherwise.
    pub(crate) fn persistent_by_default(self) -> Self {
        match self.wire.delivery_mode() {
            Some(_) => self,
            None => self.persistent(),
        }
    }

    /// Whether the message survives the broker's restart.
    pub fn is_persistent(&self) -> bool {
        self.wire.delivery_mode() == Some(DELIVERY_MODE_PERSISTENT)
    }

    /// The headers.
    pub fn headers(&self) -> Headers<'_> {
        Headers::new(self.wire.headers())
    }

    /// Adds a header, or replaces the one of this name.
    ///
    /// # Errors
    ///
    /// A name over 255 bytes, here or in a table inside; more than 32 tables and lists inside of each other.
    pub fn with_header(
        mut self,
        name: &str,
        value: impl Into<Value>,
    ) -> Result<Self, PropertyError> {
        self.set_header(name, value.into())?;
        Ok(self)
    }

    pub(crate) fn set_header(&mut self, name: &str, value: Value) -> Result<(), PropertyError> {
        let name = short_str("header name", name)?;
        let value = value.into_field()?;
        let mut table = self.wire.headers().cloned().unwrap_or_default();
        replace(&mut table, name, value);
        self.wire.with_headers(table);
        Ok(())
    }

    #[inline]
    pub(crate) fn from_wire(wire: BasicProperties) -> Self {
        Self {
            wire,
            is_received: true,
            is_read: true,
        }
    }

    /// The same properties with these headers alone.
    pub(crate) fn with_headers(mut self, headers: Fields) -> Result<Self, PropertyError> {
        self.wire.with_headers(headers.into_table()?);
        self.is_read = false;
        Ok(self)
    }

    pub(crate) fn into_wire(self) -> BasicProperties {
        self.wire
    }

    /// The same properties with a table of headers that was built here.
    ///
    /// One that was read with a name twice would be written with a wrong length, which closes the
    /// connection: the client keeps the length that it read.
    pub(crate) fn rebuilt(mut self) -> Result<Self, PropertyError> {
        if let Some(table) = self.wire.headers().filter(|_| self.is_read) {
            let table = rebuilt_table(table.clone())?;
            self.wire.with_headers(table);
            self.is_read = false;
        }
        Ok(self)
    }

    /// The same properties with other headers, without the expiration and, on request, the user.
    pub(crate) fn for_copy(
        &self,
        headers: Fields,
        keep_user_id: bool,
    ) -> Result<Self, PropertyError> {
        let table = headers.into_table()?;
        let old = &self.wire;
        let wire = BasicProperties::new(
            old.content_type().cloned(),
            old.content_encoding().cloned(),
            Some(table),
            old.delivery_mode(),
            old.priority(),
            old.correlation_id().cloned(),
            old.reply_to().cloned(),
            None,
            old.message_id().cloned(),
            old.timestamp(),
            old.message_type().cloned(),
            old.user_id().filter(|_| keep_user_id).cloned(),
            old.app_id().cloned(),
            old.cluster_id().cloned(),
        );
        Ok(Self {
            wire,
            is_received: self.is_received,
            is_read: false,
        })
    }

    /// Ties a reply to its request, whatever the bytes of the request's correlation id.
    pub(crate) fn correlated_with(mut self, request: &Self) -> Self {
        let Some(id) = request.correlation_id() else {
            return self;
        };
        self.wire.with_correlation_id(id);
        // an id that is too long to be carried in its place is in a header
        let Some(holder) = raw_text::holder_of(id) else {
            return self;
        };
        let headers = request.headers();
        if let Some((name, field)) = headers.all().find(|(name, _)| *name.as_ref() == holder) {
            let mut table = self.wire.headers().cloned().unwrap_or_default();
            replace(&mut table, name.clone(), field.clone());
            self.wire.with_headers(table);
        }
        self
    }

    /// The size of all properties on the wire, at most.
    pub(crate) fn encoded_len(&self) -> usize {
        let texts = [
            self.content_type(),
            self.content_encoding(),
            self.correlation_id(),
            self.reply_to(),
            self.expiration(),
            self.message_id(),
            self.message_type(),
            self.user_id(),
            self.app_id(),
            self.wire.cluster_id().map(String::as_str),
        ];
        let texts: usize = texts
            .iter()
            .flatten()
            .map(|text| 1 + raw_text::len(text))
            .sum();
        let headers: usize = self
            .headers()
            .iter()
            .map(|(name, value)| 1 + raw_text::len(name) + value.encoded_len())
            .sum();
        // flags, delivery mode, priority, timestamp, length of the table
        2 + 1 + 1 + 8 + 4 + texts + headers
    }
}

/// The same properties, the headers in whatever order.
impl PartialEq for Properties {
    fn eq(&self, other: &Self) -> bool {
        fn texts(properties: &Properties) -> [Option<&str>; 10] {
            let texts = [
                properties.wire.content_type(),
                properties.wire.content_encoding(),
                properties.wire.correlation_id(),
                properties.wire.reply_to(),
                properties.wire.expiration(),
                properties.wire.message_id(),
                properties.wire.message_type(),
                properties.wire.user_id(),
                properties.wire.app_id(),
                properties.wire.cluster_id(),
            ];
            texts.map(|text| text.map(String::as_str))
        }
        let numbers = |properties: &Self| {
            let properties = &properties.wire;
            (
                properties.delivery_mode(),
                properties.priority(),
                properties.timestamp(),
            )
        };
        numbers(self) == numbers(other)
            && texts(self) == texts(other)
            && self.headers() == other.headers()
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = [
            ("content_type", self.content_type().is_some()),
            ("content_encoding", self.content_encoding().is_some()),
            ("priority", self.priority().is_some()),
            ("correlation_id", self.correlation_id().is_some()),
            ("reply_to", self.reply_to().is_some()),
            ("expiration", self.expiration().is_some()),
            ("message_id", self.message_id().is_some()),
            ("timestamp", self.timestamp().is_some()),
            ("type", self.message_type().is_some()),
            ("user_id", self.user_id().is_some()),
            ("app_id", self.app_id().is_some()),
        ];
        f.debug_struct("Properties")
            .field(
                "set",
                &set.iter()
                    .filter_map(|(name, is_set)| is_set.then_some(*name))
                    .collect::<Vec<_>>(),
            )
            .field("persistent", &self.is_persistent())
            .field("headers", &self.headers())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_amqp_cannot_carry_is_an_error() {
        assert!(Properties::new().with_message_id(&"x".repeat(255)).is_ok());
        let error = Properties::new()
            .with_message_id(&"x".repeat(256))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "message id is too long: AMQP carries at most 255 bytes"
        );
        assert!(Properties::new().with_header(&"x".repeat(256), 1).is_err());
    }

    #[test]
    fn a_header_is_nested_32_levels_deep_at_most() {
        let nested = |depth| (0..depth).fold(Value::Void, |inner, _| Value::Array(vec![inner]));
        let properties = Properties::new()
            .with_header("n", nested(32))
            .expect("as allowed");
        assert_eq!(properties.headers().get("n"), Some(nested(32)));
        let error = Properties::new().with_header("n", nested(33)).unwrap_err();
        assert!(error.to_string().contains("more than 32"), "{error}");
    }

    #[test]
    fn text_that_looks_as_if_it_stood_for_something_else_stands_for_itself() {
        let text = format!("{}F\u{10FEFF}", raw_text::OTHER);
        let properties = Properties::new()
            .with_header("n", text.as_str())
            .and_then(|properties| properties.with_app_id(&text))
            .expect("short");
        let carried = properties.app_id().expect("it was set");
        assert_eq!(raw_text::unescape(carried), text.as_bytes());
        assert_eq!(properties.headers().get("n"), Some(text.as_bytes().into()));
    }

    #[test]
    fn a_header_that_is_set_again_is_replaced() {
        let properties = Properties::new()
            .with_header("n", 1)
            .and_then(|properties| properties.with_header("n", "two"))
            .expect("short names");
        assert_eq!(properties.headers().len(), 1);
        assert_eq!(properties.headers().text("n"), Some("two"));
    }

    #[test]
    fn properties_are_the_same_whatever_the_order_of_their_headers() {
        let of = |headers: [(&str, i32); 2]| {
            let [(first, one), (second, two)] = headers;
            Properties::new()
                .with_header(first, one)
                .and_then(|properties| properties.with_header(second, two))
                .expect("short names")
        };
        let properties = of([("a", 1), ("b", 2)]);
        assert!(properties == of([("b", 2), ("a", 1)]));
        assert!(properties != of([("a", 1), ("b", 3)]));
        assert!(properties != properties.clone().with_priority(1));
        assert!(properties != properties.clone().with_app_id("shop").expect("it is short"));
    }

    #[test]
    fn the_size_counts_all_that_is_written() {
        let properties = Properties::new()
            .with_content_type("ab")
            .and_then(|properties| properties.with_header("n", "xyz"))
            .expect("short names");
        assert_eq!(properties.encoded_len(), 16 + 3 + (2 + 1 + 4 + 3));
    }
}
