//! The key of a message, which names its handler, and the place where a message has it.

use std::{borrow::Cow, fmt};

use thiserror::Error;

use crate::message::{
    Properties, PropertyError,
    wire::{FieldName, header_name},
};

/// The place where a message has its key.
///
/// ```
/// use ploomby::KeySource;
///
/// assert_eq!(KeySource::header("task_name").to_string(), "the header `task_name`");
/// assert_eq!(KeySource::RoutingKey.to_string(), "the routing key");
/// // the first of them that a message has
/// let key = KeySource::header("task_name").or(KeySource::MessageType);
/// assert_eq!(key.to_string(), "the header `task_name`, or else the property `type`");
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
    /// The first of these places that is not empty. A message that is sent gets its key in the first place.
    FirstOf(Vec<KeySource>),
}

impl KeySource {
    /// The value of the header of this name.
    pub fn header(name: impl Into<String>) -> Self {
        Self::Header(name.into())
    }

    /// This place, or the other one if a message has nothing in this place.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let mut places = self.into_places();
        places.extend(other.into_places());
        Self::FirstOf(places)
    }

    fn into_places(self) -> Vec<Self> {
        match self {
            Self::FirstOf(places) => places,
            place => vec![place],
        }
    }

    /// The place that a sender writes the key to; none in a list without places.
    pub(crate) fn first(&self) -> Option<&Self> {
        match self {
            Self::FirstOf(places) => places.first()?.first(),
            place => Some(place),
        }
    }

    /// # Errors
    ///
    /// A header's name over 255 bytes, which no message can have.
    pub(crate) fn reader(&self) -> Result<KeyReader, PropertyError> {
        Ok(match self {
            Self::Header(name) => KeyReader::Header(header_name(name)?),
            Self::MessageType => KeyReader::MessageType,
            Self::RoutingKey => KeyReader::RoutingKey,
            Self::FirstOf(places) => {
                KeyReader::FirstOf(places.iter().map(Self::reader).collect::<Result<_, _>>()?)
            }
        })
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "the header `{name}`"),
            Self::MessageType => f.write_str("the property `type`"),
            Self::RoutingKey => f.write_str("the routing key"),
            Self::FirstOf(places) => {
                for (at, place) in places.iter().enumerate() {
                    let before = if at == 0 { "" } else { ", or else " };
                    write!(f, "{before}{place}")?;
                }
                Ok(())
            }
        }
    }
}

/// A [`KeySource`] made ready, so that reading a key allocates nothing.
#[derive(Debug)]
pub(crate) enum KeyReader {
    Header(FieldName),
    MessageType,
    RoutingKey,
    FirstOf(Box<[KeyReader]>),
}

impl KeyReader {
    /// What it reads.
    pub(crate) fn source(&self) -> KeySource {
        match self {
            Self::Header(name) => KeySource::Header(name.to_string()),
            Self::MessageType => KeySource::MessageType,
            Self::RoutingKey => KeySource::RoutingKey,
            Self::FirstOf(readers) => {
                KeySource::FirstOf(readers.iter().map(Self::source).collect())
            }
        }
    }

    #[inline]
    pub(crate) fn read<'a>(
        &self,
        properties: &'a Properties,
        routing_key: impl Fn() -> &'a str + Copy,
    ) -> Result<Cow<'a, str>, KeyError> {
        self.find(properties, routing_key)
            .unwrap_or_else(|| Err(self.missing()))
    }

    /// None if the place is empty.
    #[inline]
    fn find<'a>(
        &self,
        properties: &'a Properties,
        routing_key: impl Fn() -> &'a str + Copy,
    ) -> Option<Result<Cow<'a, str>, KeyError>> {
        match self {
            Self::Header(name) => match properties.headers().key(name)? {
                Ok(key) => Some(Ok(key)),
                Err(found) => Some(Err(self.unreadable(found))),
            },
            Self::MessageType => {
                let key = properties.message_type()?;
                Some(Ok(Cow::Borrowed(key)))
            }
            Self::RoutingKey => Some(Ok(Cow::Borrowed(routing_key()))),
            Self::FirstOf(readers) => {
                let mut readers = readers.iter();
                readers.find_map(|reader| reader.find(properties, routing_key))
            }
        }
    }

    #[cold]
    fn missing(&self) -> KeyError {
        KeyError::Missing {
            place: match self {
                Self::FirstOf(readers) => {
                    let places: Vec<_> = readers.iter().map(Self::place).collect();
                    format!("neither {}", places.join(" nor "))
                }
                single => format!("no {}", single.place()),
            },
        }
    }

    fn place(&self) -> String {
        match self {
            Self::MessageType => "property `type`".to_owned(),
            Self::RoutingKey => "routing key".to_owned(),
            Self::Header(name) => format!("header `{name}`"),
            Self::FirstOf(readers) => {
                let places: Vec<_> = readers.iter().map(Self::place).collect();
                places.join(" nor ")
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &KeySource, properties: &Properties) -> Result<String, String> {
        let reader = source.reader().expect("short names");
        let key = reader.read(properties, || "routed");
        key.map(Cow::into_owned).map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_place_where_there_is_something_counts() {
        let source =
            KeySource::header("task").or(KeySource::header("name").or(KeySource::MessageType));
        let properties = Properties::new();
        assert_eq!(
            read(&source, &properties).unwrap_err(),
            "the message has neither header `task` nor header `name` nor property `type`, which names the handler"
        );
        let properties = properties
            .with_message_type("by type")
            .expect("it is short");
        assert_eq!(read(&source, &properties).as_deref(), Ok("by type"));
        let properties = properties.with_header("name", 7).expect("it is short");
        assert_eq!(read(&source, &properties).as_deref(), Ok("7"));
        // what is there and cannot be read is no reason to look elsewhere
        let properties = properties.with_header("task", true).expect("it is short");
        assert_eq!(
            read(&source, &properties).unwrap_err(),
            "the header `task` names the handler, but holds boolean instead of text or a number"
        );
        let source = KeySource::header("x").or(KeySource::RoutingKey);
        assert_eq!(read(&source, &properties).as_deref(), Ok("routed"));
        assert_eq!(source.first(), Some(&KeySource::header("x")));
    }
}
