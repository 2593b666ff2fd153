//! What a reply looks like.
//!
//! A reply goes to the `reply_to` of the request, through the default exchange, and carries its
//! correlation id. Content type and codec are those of the request, JSON where it had none.
//!
//! - The reply of a handler that returned a value: the value is the body.
//! - The reply of one that did not: the header `ploomby-reply` says `error`, and the body is an object
//!   with `code`, `message` and, where single fields are at fault, `fields`, which is a list of objects
//!   with `field` and `message`.
//!
//! The Python original replies with `{"detail": …}` to both: with the value as JSON inside a text, or with
//! the text of the error. See [`RpcClient::detail_replies`](crate::RpcClient::detail_replies).

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::{
    codec::{self, Codec, EncodeError, Format},
    delivery::Delivery,
    message::{Message, Properties, PropertyError},
    settle::Failure,
};

mod detail;

/// Says what kind of reply it is, where it is not a value.
const KIND: &str = "ploomby-reply";
const ERROR: &str = "error";

/// A reply that says why there is no value.
///
/// A handler may return one as its error, also among the causes of another: it is the answer then to a
/// message that asks for a reply, which is neither tried again nor dead-lettered. Other errors become one
/// when their message is given up, with the [`Reason`](crate::Reason) as the code.
///
/// # As other programs see it
///
/// The header `ploomby-reply` of the reply says `error`; that of a value is not there. The body, in the
/// codec of the request and JSON where it says nothing, is
///
/// ```json
/// {
///     "code": "invalid",
///     "message": "the order is not valid",
///     "fields": [{"field": "lines[2].amount", "message": "must be positive"}]
/// }
/// ```
///
/// without `fields` where there are none.
///
/// ```
/// use ploomby::ErrorReply;
///
/// let error = ErrorReply::new("invalid", "the order is not valid")
///     .field("lines[2].amount", "must be positive");
/// assert_eq!(error.code(), "invalid");
/// assert_eq!(error.to_string(), "the order is not valid (invalid): lines[2].amount: must be positive");
/// ```
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ErrorReply {
    code: String,
    message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<FieldError>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct FieldError {
    field: String,
    message: String,
}

impl ErrorReply {
    /// A code for programs, and a message for people.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            fields: Vec::new(),
        }
    }

    /// Says what is wrong with a field, which is named by its path.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.fields.push(FieldError {
            field: field.into(),
            message: message.into(),
        });
        self
    }

    /// The code, for programs.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The message, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The fields that are at fault; none where it is not about fields.
    pub fn fields(&self) -> &[FieldError] {
        &self.fields
    }

    /// The reply, without an address.
    pub(crate) fn to_reply(&self, codec: Codec) -> Result<Message, EncodeError> {
        let reply = value(self, codec)?;
        Ok(reply.with_header(KIND, ERROR)?)
    }
}

impl FieldError {
    /// The path of the field, such as `lines[2].amount`.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong with it.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)?;
        // a message may name its fields already, as that of a failure does
        let is_named = |fault: &&FieldError| {
            self.message.contains(&fault.field) && self.message.contains(&fault.message)
        };
        let unnamed = self.fields.iter().filter(|fault| !is_named(fault));
        for (at, FieldError { field, message }) in unnamed.enumerate() {
            let before = if at == 0 { ": " } else { ", " };
            write!(f, "{before}{field}: {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ErrorReply {}

/// The codec that a request asks for: its own, or else this one.
pub(crate) fn codec_for(request: &Properties, otherwise: Codec) -> Codec {
    match Format::of(request.get_content_type()) {
        Ok(Format::Serde(codec)) => codec,
        _ => otherwise,
    }
}

/// A value as a reply, without an address.
pub(crate) fn value<T: Serialize + ?Sized>(
    value: &T,
    codec: Codec,
) -> Result<Message, EncodeError> {
    let properties = Properties::new().content_type(codec.content_type())?;
    Ok(Message::new(codec.encode(value)?).with_properties(properties))
}

/// Gives a reply the address that the request asks for, where it does.
pub(crate) fn addressed(
    reply: Message,
    request: &Properties,
) -> Result<Option<(String, Message)>, PropertyError> {
    let Some(reply_to) = request.get_reply_to() else {
        return Ok(None);
    };
    let (mut properties, body) = reply.into_parts();
    if let Some(correlation_id) = request.get_correlation_id() {
        properties = properties.correlation_id(correlation_id)?;
    }
    let reply = Message::new(body).with_properties(properties);
    Ok(Some((reply_to.to_owned(), reply)))
}

/// The value of a handler as the reply to its request, where that asks for one.
pub(crate) fn to_value<T: Serialize + ?Sized>(
    handled: &T,
    request: &Delivery,
) -> Result<Option<Addressed>, EncodeError> {
    answer(request, |codec| match request.reply_style() {
        Style::Ploomby => value(handled, codec),
        Style::Detail => detail::value(handled),
    })
}

/// The failure of a handler as the reply to its request, where that asks for one.
pub(crate) fn to_failure(
    failure: &Failure,
    request: &Delivery,
) -> Result<Option<Addressed>, EncodeError> {
    let error = failure.error_reply();
    answer(request, |codec| match request.reply_style() {
        Style::Ploomby => error.to_reply(codec),
        Style::Detail => detail::error(error.message()),
    })
}

/// A reply, and where it goes.
pub(crate) type Addressed = (String, Message);

fn answer(
    request: &Delivery,
    reply: impl FnOnce(Codec) -> Result<Message, EncodeError>,
) -> Result<Option<Addressed>, EncodeError> {
    let properties = request.properties();
    if properties.get_reply_to().is_none() {
        return Ok(None);
    }
    let codec = codec_for(properties, request.decoding().codec);
    Ok(addressed(reply(codec)?, properties)?)
}

/// How the replies of a callee are to be read, or written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    #[default]
    Ploomby,
    /// That of the Python original.
    Detail,
}

/// Why a reply gives no value.
#[derive(Debug)]
pub(crate) enum NoValue {
    Error(ErrorReply),
    Unreadable(Unreadable),
}

/// A reply that does not decode.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Unreadable(String);

/// The value of a reply.
pub(crate) fn read<T: DeserializeOwned>(reply: Message, style: Style) -> Result<T, NoValue> {
    let reply = Delivery::new(check(reply, style)?);
    match style {
        Style::Ploomby => decode(&reply).map_err(NoValue::from),
        Style::Detail => detail::read(&reply),
    }
}

/// The reply as it is, unless it is an error.
pub(crate) fn check(reply: Message, style: Style) -> Result<Message, NoValue> {
    if reply.headers().text(KIND) == Some(ERROR) {
        let error = decode(&Delivery::new(reply)).map_err(NoValue::from)?;
        return Err(NoValue::Error(error));
    }
    if style == Style::Detail {
        detail::check(&Delivery::new(reply.clone()))?;
    }
    Ok(reply)
}

fn decode<T: DeserializeOwned>(reply: &Delivery) -> Result<T, Failure> {
    let codec = match Format::of(reply.properties().get_content_type())? {
        Format::Unspecified => Codec::default(),
        Format::Serde(codec) => codec,
        #[cfg(feature = "protobuf")]
        Format::Protobuf => {
            let text = "the reply is in Protobuf: take it as a message, and decode that";
            let reason = crate::settle::Reason::UnsupportedContentType;
            return Err(Failure::new(reason, text.to_owned()));
        }
    };
    codec.decode(codec::plain_body(reply)?)
}

impl From<Failure> for NoValue {
    fn from(failure: Failure) -> Self {
        Self::Unreadable(Unreadable(failure.text.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_apart_from_a_value_that_looks_like_one() {
        let error = ErrorReply::new("gone", "it is not there").field("id", "7 is unknown");
        for codec in [
            Codec::Json,
            #[cfg(feature = "msgpack")]
            Codec::MessagePack,
            #[cfg(feature = "cbor")]
            Codec::Cbor,
        ] {
            let reply = error.to_reply(codec).expect("it encodes");
            match read::<ErrorReply>(reply, Style::Ploomby) {
                Err(NoValue::Error(read)) => assert_eq!(read, error),
                other => panic!("{other:?}"),
            }
            let reply = value(&error, codec).expect("it encodes");
            let read = read::<ErrorReply>(reply, Style::Ploomby);
            assert!(matches!(read, Ok(read) if read == error));
        }
    }

    #[test]
    fn an_error_names_each_field_once() {
        let error = ErrorReply::new("undecodable", "field `id`: invalid type");
        let error = error.field("id", "invalid type").field("name", "missing");
        assert_eq!(
            error.to_string(),
            "field `id`: invalid type (undecodable): name: missing"
        );
    }

    #[test]
    fn an_error_is_written_as_other_languages_read_it() {
        let error = ErrorReply::new("gone", "it is not there");
        let reply = error.to_reply(Codec::Json).expect("it encodes");
        assert_eq!(reply.headers().text("ploomby-reply"), Some("error"));
        assert_eq!(
            reply.body(),
            r#"{"code":"gone","message":"it is not there"}"#
        );
        let reply = error.field("id", "7 is unknown");
        let reply = reply.to_reply(Codec::Json).expect("it encodes");
        assert_eq!(
            reply.body(),
            r#"{"code":"gone","message":"it is not there","fields":[{"field":"id","message":"7 is unknown"}]}"#
        );
    }

    #[test]
    fn a_reply_goes_where_the_request_says() {
        let reply = || value(&1, Codec::Json).expect("it encodes");
        let request = Properties::new();
        assert!(matches!(addressed(reply(), &request), Ok(None)));
        let request = request
            .reply_to("answers")
            .and_then(|request| request.correlation_id("7"))
            .expect("it is short");
        let (queue, reply) = addressed(reply(), &request)
            .expect("it is short")
            .expect("there is an address");
        assert_eq!(queue, "answers");
        assert_eq!(reply.properties().get_correlation_id(), Some("7"));
        assert_eq!(
            reply.properties().get_content_type(),
            Some("application/json")
        );
    }
}
