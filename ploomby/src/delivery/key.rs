//! The key of a message, which names its handler, and the place where a message has it.

use std::{borrow::Cow, fmt, sync::Arc};

pub(crate) use self::reader::{KeyError, KeyReader};
use super::Delivery;
use crate::{
    codec::FieldPath,
    message::{PropertyError, wire::header_name},
};

mod reader;

/// The place where a message has its key.
///
/// ```
/// use ploomby::KeySource;
///
/// assert_eq!(KeySource::header("task_name").to_string(), "the header `task_name`");
/// assert_eq!(KeySource::RoutingKey.to_string(), "the routing key");
/// assert_eq!(KeySource::field("pattern").to_string(), "the field `pattern` of the body");
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
    /// A field of the body: see [`field`](Self::field).
    Field(String),
    /// What a function of the program finds: see [`from_fn`](Self::from_fn).
    FromFn(KeyFn),
    /// The first of these places that is not empty. A message that is sent gets its key in the first place that a sender
    /// can write: a header, the property or the routing key.
    FirstOf(Vec<KeySource>),
}

/// A function that finds the key of a message. By [`KeySource::from_fn`].
#[derive(Clone)]
pub struct KeyFn(Arc<FindKey>);

type FindKey = dyn Fn(&Delivery) -> Option<Cow<'_, str>> + Send + Sync;

impl KeySource {
    /// The value of the header of this name.
    pub fn header(name: impl Into<String>) -> Self {
        Self::Header(name.into())
    }

    /// The value of this field of the body, with dots on the way to an inner one, such as `"event.type"`: text, a
    /// number, which reads as its decimal digits, or the first item of a list of them. A field that is not there, or that is
    /// null, is an empty place.
    ///
    /// The body is in JSON, MessagePack or CBOR, as the message or its queue says, and it may be compressed. It is read
    /// up to the field, in a pass of its own: what stands before the field is skipped, not decoded, and what stands behind is not
    /// looked at. So a field at the beginning costs next to nothing, and one behind a large list costs the time to
    /// skip the list. The payload is decoded afterwards, once the key has named its type. The extractor
    /// [`Key`](crate::extract::Key) reads the field again.
    ///
    /// A sender cannot write the key beside the payload: a [`Publisher`](crate::Publisher) that is given a key sends a
    /// payload whose field holds this key already, and refuses others.
    ///
    /// ```
    /// use ploomby::{KeySource, Queue};
    ///
    /// // {"pattern": "create_user", "data": {"name": "Ada"}}
    /// let queue = Queue::new("users").key(KeySource::field("pattern"));
    /// ```
    pub fn field(path: impl Into<String>) -> Self {
        Self::Field(path.into())
    }

    /// What this function finds; none where the message has no key. It is called for each message before its handler is
    /// known, and again wherever the key is asked for, such as by the extractor [`Key`](crate::extract::Key) or for a
    /// dead letter: it only looks at the message.
    ///
    /// ```
    /// use ploomby::{KeySource, Queue};
    ///
    /// // `create_user` of the routing key `eu.create_user`
    /// let key = KeySource::from_fn(|delivery| Some(delivery.routing_key().rsplit('.').next()?.into()));
    /// let queue = Queue::new("users").key(key);
    /// ```
    pub fn from_fn<F>(find: F) -> Self
    where
        F: Fn(&Delivery) -> Option<Cow<'_, str>> + Send + Sync + 'static,
    {
        Self::FromFn(KeyFn(Arc::new(find)))
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

    /// All places, in their order.
    pub(crate) fn places(&self) -> Vec<&Self> {
        match self {
            Self::FirstOf(places) => places.iter().flat_map(Self::places).collect(),
            place => vec![place],
        }
    }

    /// The place that a sender writes the key to; none where there is none that a sender can write.
    pub(crate) fn written(&self) -> Option<&Self> {
        let places = self.places().into_iter();
        let mut written = places.filter(|place| !matches!(place, Self::Field(_) | Self::FromFn(_)));
        written.next()
    }

    /// # Errors
    ///
    /// A header's name over 255 bytes, which no message can have.
    pub(crate) fn reader(&self) -> Result<KeyReader, PropertyError> {
        Ok(match self {
            Self::Header(name) => KeyReader::Header(header_name(name)?),
            Self::MessageType => KeyReader::MessageType,
            Self::RoutingKey => KeyReader::RoutingKey,
            Self::Field(path) => KeyReader::Field(FieldPath::new(path)),
            Self::FromFn(find) => KeyReader::FromFn(find.clone()),
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
            Self::Field(path) => write!(f, "the field `{path}` of the body"),
            Self::FromFn(_) => f.write_str("what a function of the program finds"),
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

/// The same function, not one that does the same.
impl PartialEq for KeyFn {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for KeyFn {}

impl fmt::Debug for KeyFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFn").finish_non_exhaustive()
    }
}
