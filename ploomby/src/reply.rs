//! What a reply looks like.
//!
//! A reply goes to the `reply_to` of the request, if a reply may go there, and carries its correlation id. Content
//! type and codec are those of the request, JSON if it had none.
//!
//! - The reply of a handler that returned a value: the value is the body.
//! - The reply of one that did not: the header `ploomby-reply` says `error`, and the body is an object
//!   with `code`, `message` and, where single fields are at fault, `fields`, which is a list of objects
//!   with `field` and `message`.
//!
//! The Python original replies with `{"detail": …}` to both: with the value as JSON inside a text, or with
//! the text of the error. See [`RpcClient::python_replies`](crate::RpcClient::python_replies).

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

pub(crate) use self::calls::{Calls, NO_CHANNEL, PendingCall, Tag, unguessable};
pub use self::{
    answer::{Answer, Reply},
    into_outcome::IntoOutcome,
};
use crate::{
    codec::{Codec, EncodeError, Format},
    delivery::{Delivery, Replies, ReplyAddress, ReplyStyle, plain_body},
    message::{Message, Properties},
    outcome::{ErrorBody, ErrorReply, Failure},
};

mod answer;
mod calls;
mod inner_error;
mod into_outcome;
mod python;

/// Says what kind of reply it is, where it is not a value.
const KIND: &str = "ploomby-reply";
const ERROR: &str = "error";

impl ErrorReply {
    /// The reply, without an address.
    pub(crate) fn to_reply(&self, codec: Codec) -> Result<Message, EncodeError> {
        let reply = value(self, codec)?;
        Ok(reply.with_header(KIND, ERROR)?)
    }
}

/// The codec that a request asks for: its own, or else this one.
pub(crate) fn codec_for(request: &Properties, otherwise: Codec) -> Codec {
    match Format::of(request.content_type()) {
        Ok(Format::Serde(codec)) => codec,
        _ => otherwise,
    }
}

/// A value as a reply, without an address.
pub(crate) fn value<T: Serialize + ?Sized>(
    value: &T,
    codec: Codec,
) -> Result<Message, EncodeError> {
    let properties = Properties::new().with_content_type(codec.content_type())?;
    Ok(Message::new(codec.encode(value)?).with_properties(properties))
}

/// Gives a reply the correlation id of its request.
pub(crate) fn correlated(reply: Message, request: &Properties) -> Message {
    let (properties, body) = reply.into_parts();
    Message::new(body).with_properties(properties.correlated_with(request))
}

/// The value of a handler as the reply to its request, where that asks for one.
pub(crate) fn to_value<T: Serialize + ?Sized>(
    handled: &T,
    request: &Delivery,
) -> Result<Option<Addressed>, EncodeError> {
    if request.replying().rules.replies == Replies::None {
        return Ok(None);
    }
    answer(request, |codec| match request.reply_style() {
        ReplyStyle::Ploomby => value(handled, codec),
        ReplyStyle::Python => python::value(handled),
    })
}

/// The failure of a handler as the reply to its request, where that asks for one.
pub(crate) fn to_failure(
    failure: &Failure,
    request: &Delivery,
) -> Result<Option<Addressed>, EncodeError> {
    let rules = &request.replying().rules;
    if rules.replies != Replies::All {
        return Ok(None);
    }
    let error = failure.error_reply(rules.exposes_errors);
    answer(request, |codec| match request.reply_style() {
        ReplyStyle::Ploomby => error.to_reply(codec),
        ReplyStyle::Python => python::error(error.message()),
    })
}

/// A reply, and where it goes.
#[derive(Clone)]
pub(crate) struct Addressed {
    pub(crate) address: ReplyAddress,
    pub(crate) reply: Message,
}

fn answer(
    request: &Delivery,
    reply: impl FnOnce(Codec) -> Result<Message, EncodeError>,
) -> Result<Option<Addressed>, EncodeError> {
    let (properties, replying) = (request.properties(), request.replying());
    let reply_to = properties.reply_to();
    let Some(address) = reply_to.and_then(|reply_to| replying.address(reply_to)) else {
        return Ok(None);
    };
    let codec = codec_for(properties, request.decoding().codec);
    let reply = correlated(reply(codec)?, properties);
    let is_allowed = replying.allows(&address, &reply, request.body().len());
    Ok(is_allowed.then_some(Addressed { address, reply }))
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
pub(crate) fn read<T: DeserializeOwned>(reply: Message, style: ReplyStyle) -> Result<T, NoValue> {
    let reply = Delivery::new(check(reply, style)?);
    match style {
        ReplyStyle::Ploomby => decode(&reply).map_err(NoValue::from),
        ReplyStyle::Python => python::read(&reply),
    }
}

/// The reply as it is, unless it is an error.
pub(crate) fn check(reply: Message, style: ReplyStyle) -> Result<Message, NoValue> {
    if reply.headers().text(KIND) == Some(ERROR) {
        let error: ErrorBody = decode(&Delivery::new(reply))?;
        return Err(NoValue::Error(error.into()));
    }
    if style == ReplyStyle::Python {
        python::check(&Delivery::new(reply.clone()))?;
    }
    Ok(reply)
}

fn decode<T: DeserializeOwned>(reply: &Delivery) -> Result<T, Failure> {
    let codec = match Format::of(reply.properties().content_type())? {
        Format::Unspecified => Codec::default(),
        Format::Serde(codec) => codec,
        #[cfg(feature = "protobuf")]
        Format::Protobuf => {
            let text = "the reply is in Protobuf: take it as a message, and decode that";
            let reason = crate::outcome::Reason::UnsupportedContentType;
            return Err(Failure::new(reason, text.to_owned()));
        }
    };
    codec.decode(plain_body(reply)?)
}

impl From<Failure> for NoValue {
    fn from(failure: Failure) -> Self {
        Self::Unreadable(Unreadable(failure.text.clone()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
            match read::<Value>(reply, ReplyStyle::Ploomby) {
                Err(NoValue::Error(read)) => assert_eq!(read, error),
                other => panic!("{other:?}"),
            }
            let reply = value(&error, codec).expect("it encodes");
            let read = read::<Value>(reply, ReplyStyle::Ploomby);
            assert!(matches!(read, Ok(read) if read["code"] == "gone"));
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
        let answer = |request: Properties| {
            let request = Delivery::new(Message::new("").with_properties(request));
            to_value(&1, &request).expect("it encodes")
        };
        assert!(answer(Properties::new()).is_none());
        let request = Properties::new()
            .with_reply_to("answers")
            .and_then(|request| request.with_correlation_id("7"))
            .expect("it is short");
        let Addressed { address, reply } = answer(request).expect("there is an address");
        assert_eq!((&*address.exchange, &*address.routing_key), ("", "answers"));
        assert_eq!(reply.properties().correlation_id(), Some("7"));
        assert_eq!(reply.properties().content_type(), Some("application/json"));
    }
}
