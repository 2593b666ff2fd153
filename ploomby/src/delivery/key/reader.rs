use std::borrow::Cow;

use thiserror::Error;

use super::KeySource;
use crate::{
    codec::{FieldPath, Found},
    delivery::{Delivery, KeyFn},
    message::wire::FieldName,
    outcome::Failure,
};

/// A [`KeySource`] made ready, so that reading a key of a message's properties allocates nothing.
#[derive(Debug)]
pub(crate) enum KeyReader {
    Header(FieldName),
    MessageType,
    RoutingKey,
    Field(FieldPath),
    FromFn(KeyFn),
    FirstOf(Box<[KeyReader]>),
}

impl KeyReader {
    /// What it reads.
    pub(crate) fn source(&self) -> KeySource {
        match self {
            Self::Header(name) => KeySource::Header(name.to_string()),
            Self::MessageType => KeySource::MessageType,
            Self::RoutingKey => KeySource::RoutingKey,
            Self::Field(path) => KeySource::Field(path.to_string()),
            Self::FromFn(find) => KeySource::FromFn(find.clone()),
            Self::FirstOf(readers) => {
                KeySource::FirstOf(readers.iter().map(Self::source).collect())
            }
        }
    }

    /// Whether it may look into the body.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(crate) fn reads_body(&self) -> bool {
        match self {
            Self::Field(_) => true,
            Self::FirstOf(readers) => readers.iter().any(Self::reads_body),
            Self::Header(_) | Self::MessageType | Self::RoutingKey | Self::FromFn(_) => false,
        }
    }

    #[inline]
    pub(in crate::delivery) fn read<'d>(
        &self,
        delivery: &'d Delivery,
    ) -> Result<Cow<'d, str>, KeyError> {
        self.find(delivery)
            .unwrap_or_else(|| Err(self.missing(delivery)))
    }

    /// None if the place is empty.
    #[inline]
    fn find<'d>(&self, delivery: &'d Delivery) -> Option<Result<Cow<'d, str>, KeyError>> {
        match self {
            Self::Header(name) => match delivery.properties().headers().key(name)? {
                Ok(key) => Some(Ok(key)),
                Err(found) => Some(Err(self.unreadable(found))),
            },
            Self::MessageType => {
                let key = delivery.properties().message_type()?;
                Some(Ok(Cow::Borrowed(key)))
            }
            Self::RoutingKey => Some(Ok(Cow::Borrowed(delivery.routing_key()))),
            Self::Field(path) => self.in_field(path, delivery),
            Self::FromFn(find) => (find.0)(delivery).map(Ok),
            Self::FirstOf(readers) => {
                let mut readers = readers.iter();
                readers.find_map(|reader| reader.find(delivery))
            }
        }
    }

    fn in_field<'d>(
        &self,
        path: &FieldPath,
        delivery: &'d Delivery,
    ) -> Option<Result<Cow<'d, str>, KeyError>> {
        let found = delivery.field_or_first(path).ok()??;
        let what = match found {
            Found::Text(text) => return Some(Ok(text)),
            Found::Number(digits) => return Some(Ok(Cow::Owned(digits))),
            Found::Bytes(bytes) => match String::from_utf8(bytes.into_owned()) {
                Ok(text) => return Some(Ok(Cow::Owned(text))),
                Err(_) => "bytes that are not UTF-8",
            },
            Found::Null => return None,
            Found::Bool(_) => "a boolean",
            Found::List => "a list that does not begin with either",
            Found::Map => "a map",
        };
        Some(Err(self.unreadable(what)))
    }

    #[cold]
    fn missing(&self, delivery: &Delivery) -> KeyError {
        if let Some(failure) = self.unread(delivery) {
            return KeyError::Unread {
                place: self.source().to_string(),
                failure,
            };
        }
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

    /// Why a field cannot be looked for.
    fn unread(&self, delivery: &Delivery) -> Option<Failure> {
        match self {
            Self::Field(path) => delivery.field_or_first(path).err(),
            Self::FirstOf(readers) => readers.iter().find_map(|reader| reader.unread(delivery)),
            Self::Header(_) | Self::MessageType | Self::RoutingKey | Self::FromFn(_) => None,
        }
    }

    fn place(&self) -> String {
        match self {
            Self::MessageType => "property `type`".to_owned(),
            Self::RoutingKey => "routing key".to_owned(),
            Self::Header(name) => format!("header `{name}`"),
            Self::Field(path) => format!("field `{path}` in its body"),
            Self::FromFn(_) => "key that a function of the program finds".to_owned(),
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
    /// The body cannot be read as far as where the key would be.
    #[error("{place} names the handler, and cannot be looked for: {}", .failure.text)]
    Unread { place: String, failure: Failure },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, Properties};

    fn read(source: &KeySource, properties: &Properties) -> Result<String, String> {
        read_of(source, properties, "")
    }

    fn read_of(
        source: &KeySource,
        properties: &Properties,
        body: &'static str,
    ) -> Result<String, String> {
        let reader = source.reader().expect("short names");
        let message = Message::new(body).with_properties(properties.clone());
        let delivery = Delivery::new(message).routed("", "routed");
        let key = reader.read(&delivery);
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
        assert_eq!(source.written(), Some(&KeySource::header("x")));
    }

    #[test]
    fn a_field_of_the_body_is_a_place_like_others() {
        let source = KeySource::field("event.type").or(KeySource::MessageType);
        assert_eq!(source.written(), Some(&KeySource::MessageType));
        let typed = Properties::new().with_message_type("by type").unwrap();
        for (body, key) in [
            (r#"{"event": {"type": "placed"}}"#, Ok("placed")),
            (r#"{"event": {"type": 7}}"#, Ok("7")),
            (r#"{"event": {"type": ["a", "b"]}}"#, Ok("a")),
            (r#"{"event": {"type": null}}"#, Ok("by type")),
            (r#"{"event": []}"#, Ok("by type")),
            ("no JSON", Ok("by type")),
            (
                r#"{"event": {"type": {}}}"#,
                Err(
                    "the field `event.type` of the body names the handler, but holds a map instead of text or a number",
                ),
            ),
        ] {
            let read = read_of(&source, &typed, body);
            assert_eq!(read.as_deref().map_err(String::as_str), key, "{body}");
        }
        let none = Properties::new();
        assert_eq!(
            read_of(&source, &none, "{}").unwrap_err(),
            "the message has neither field `event.type` in its body nor property `type`, which names the handler"
        );
        let error = read_of(&source, &none, "no JSON").unwrap_err();
        assert!(error.contains("cannot be looked for: "), "{error}");
    }

    #[test]
    fn a_function_of_the_program_finds_a_key() {
        let source = KeySource::from_fn(|delivery| Some(delivery.routing_key().get(1..)?.into()));
        assert_eq!(read(&source, &Properties::new()).as_deref(), Ok("outed"));
        let source = KeySource::from_fn(|_| None);
        assert_eq!(
            read(&source, &Properties::new()).unwrap_err(),
            "the message has no key that a function of the program finds, which names the handler"
        );
        assert_eq!(source.written(), None);
        assert_eq!(source, source.clone());
    }
}
