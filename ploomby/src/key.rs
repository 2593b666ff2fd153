//! Where the key of a message stands: the text that names its handler.

use std::{borrow::Cow, fmt};

use thiserror::Error;

use crate::{
    delivery::Delivery,
    message::{PropertyError, properties::header_name},
};

/// Where the key of a message stands.
///
/// ```
/// use ploomby::KeySource;
///
/// let by_header = KeySource::header("task_name")?;
/// assert_eq!(by_header.to_string(), "the header `task_name`");
/// # Ok::<(), ploomby::PropertyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySource(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Header(amqprs::FieldName),
    MessageType,
    RoutingKey,
}

impl KeySource {
    /// The key is the value of this header: text, bytes that are UTF-8, or a number, which reads
    /// as its decimal digits.
    ///
    /// # Errors
    ///
    /// A name over 255 bytes, which no header can have.
    pub fn header(name: &str) -> Result<Self, PropertyError> {
        header_name(name).map(|name| Self(Kind::Header(name)))
    }

    /// The key is the property `type`.
    #[must_use]
    pub fn message_type() -> Self {
        Self(Kind::MessageType)
    }

    /// The key is the routing key that the message was published with.
    #[must_use]
    pub fn routing_key() -> Self {
        Self(Kind::RoutingKey)
    }

    pub(crate) fn read<'a>(&self, delivery: &'a Delivery) -> Result<Cow<'a, str>, KeyError> {
        match &self.0 {
            Kind::Header(name) => match delivery.headers().key(name) {
                Some(Ok(key)) => Ok(key),
                Some(Err(found)) => Err(KeyError::Unreadable { found }),
                None => Err(KeyError::Missing),
            },
            Kind::MessageType => delivery
                .properties()
                .get_message_type()
                .map(Cow::Borrowed)
                .ok_or(KeyError::Missing),
            Kind::RoutingKey => Ok(Cow::Borrowed(delivery.routing_key())),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Header(name) => write!(f, "the header `{name}`"),
            Kind::MessageType => f.write_str("the property `type`"),
            Kind::RoutingKey => f.write_str("the routing key"),
        }
    }
}

/// Why a message has no key.
#[derive(Clone, Copy, Debug, Error)]
pub(crate) enum KeyError {
    #[error("it is not there")]
    Missing,
    #[error("it holds {found}, expected text or a number")]
    Unreadable { found: &'static str },
}
