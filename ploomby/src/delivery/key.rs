//! Where the key of a message stands: the text that names its handler.

use std::{borrow::Cow, fmt};

use thiserror::Error;

use crate::message::{Properties, PropertyError, properties::header_name};

/// Where the key of a message stands.
///
/// ```
/// use ploomby::KeySource;
///
/// assert_eq!(KeySource::header("task_name").to_string(), "the header `task_name`");
/// assert_eq!(KeySource::RoutingKey.to_string(), "the routing key");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// The value of the header of this name: text, bytes that are UTF-8, or a number, which reads
    /// as its decimal digits.
    Header(String),
    /// The property `type`.
    MessageType,
    /// The routing key that the message was published with.
    RoutingKey,
}

impl KeySource {
    /// The value of the header of this name.
    pub fn header(name: impl Into<String>) -> Self {
        Self::Header(name.into())
    }

    /// # Errors
    ///
    /// A header's name over 255 bytes, which no message can have.
    pub(crate) fn reader(&self) -> Result<KeyReader, PropertyError> {
        Ok(match self {
            Self::Header(name) => KeyReader::Header(header_name(name)?),
            Self::MessageType => KeyReader::MessageType,
            Self::RoutingKey => KeyReader::RoutingKey,
        })
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "the header `{name}`"),
            Self::MessageType => f.write_str("the property `type`"),
            Self::RoutingKey => f.write_str("the routing key"),
        }
    }
}

/// A [`KeySource`] made ready, so that reading a key allocates nothing.
#[derive(Debug)]
pub(crate) enum KeyReader {
    Header(amqprs::FieldName),
    MessageType,
    RoutingKey,
}

impl KeyReader {
    /// What it reads.
    pub(crate) fn source(&self) -> KeySource {
        match self {
            Self::Header(name) => KeySource::Header(name.to_string()),
            Self::MessageType => KeySource::MessageType,
            Self::RoutingKey => KeySource::RoutingKey,
        }
    }

    #[inline]
    pub(crate) fn read<'a>(
        &self,
        properties: &'a Properties,
        routing_key: impl FnOnce() -> &'a str,
    ) -> Result<Cow<'a, str>, KeyError> {
        match self {
            Self::Header(name) => match properties.headers().key(name) {
                Some(Ok(key)) => Ok(key),
                Some(Err(found)) => Err(self.unreadable(found)),
                None => Err(self.missing()),
            },
            Self::MessageType => match properties.get_message_type() {
                Some(key) => Ok(Cow::Borrowed(key)),
                None => Err(self.missing()),
            },
            Self::RoutingKey => Ok(Cow::Borrowed(routing_key())),
        }
    }

    #[cold]
    fn missing(&self) -> KeyError {
        KeyError::Missing {
            place: match self {
                Self::MessageType => "no property `type`".to_owned(),
                Self::RoutingKey => "no routing key".to_owned(),
                Self::Header(name) => format!("no header `{name}`"),
            },
        }
    }

    #[cold]
    fn unreadable(&self, found: &'static str) -> KeyError {
        KeyError::Unreadable {
            place: self.source().to_string(),
            found,
        }
    }
}

/// Why a message has no key.
#[derive(Debug, Error)]
pub(crate) enum KeyError {
    #[error("the message has {place}, which names the handler")]
    Missing { place: String },
    #[error("{place} names the handler, but holds {found} instead of text or a number")]
    Unreadable { place: String, found: &'static str },
}
