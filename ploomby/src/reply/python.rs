use std::borrow::Cow;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::NoValue;
use crate::{
    codec::{Codec, EncodeError},
    delivery::Delivery,
    message::Message,
    outcome::ErrorReply,
};

/// The code of an error that comes without one.
const CODE: &str = "error";

/// What the Python original replies: the value as JSON inside a text, or the text of the error. Nothing
/// else tells the two apart, so that what is no JSON is an error.
#[derive(Deserialize, Serialize)]
struct Reply<'d> {
    #[serde(borrow)]
    detail: Cow<'d, str>,
}

pub(super) fn value<T: Serialize + ?Sized>(value: &T) -> Result<Message, EncodeError> {
    reply(serde_json::to_string(value)?.into())
}

/// The text of an error, which must not read as a value.
pub(super) fn error(text: &str) -> Result<Message, EncodeError> {
    reply(match is_json(text) {
        true => format!("error: {text}").into(),
        false => text.into(),
    })
}

fn reply(detail: Cow<'_, str>) -> Result<Message, EncodeError> {
    super::value(&Reply { detail }, Codec::Json)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

pub(super) fn read<T: DeserializeOwned>(reply: &Delivery) -> Result<T, NoValue> {
    let reply: Reply<'_> = Codec::Json.decode(reply.body())?;
    Ok(Codec::Json.decode(reply.detail.as_bytes())?)
}

pub(super) fn check(reply: &Delivery) -> Result<(), NoValue> {
    let reply: Reply<'_> = Codec::Json.decode(reply.body())?;
    match is_json(&reply.detail) {
        true => Ok(()),
        false => Err(NoValue::Error(ErrorReply::new(CODE, reply.detail))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::delivery::ReplyStyle;

    fn read_body<T: DeserializeOwned>(body: &'static str) -> Result<T, NoValue> {
        read(Message::new(body), ReplyStyle::Python)
    }

    #[test]
    fn a_value_is_json_inside_a_text() {
        assert!(matches!(read_body::<u32>(r#"{"detail": "7"}"#), Ok(7)));
        let text = read_body::<String>(r#"{"detail": "\"Ada \\u00e9\""}"#);
        assert!(matches!(text, Ok(text) if text == "Ada é"));
        assert!(matches!(read_body::<()>(r#"{"detail": "null"}"#), Ok(())));
    }

    #[test]
    fn an_error_never_reads_as_a_value() {
        let reply = error("404").expect("it can be encoded");
        assert!(matches!(
            read::<u32>(reply, ReplyStyle::Python),
            Err(NoValue::Error(_))
        ));
    }

    #[test]
    fn what_is_not_json_is_the_text_of_an_error() {
        match read_body::<String>(r#"{"detail": "division by zero"}"#) {
            Err(NoValue::Error(error)) => assert_eq!(error.message(), "division by zero"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn another_shape_is_unreadable() {
        for body in [
            "7",
            r#"{"detail": 7}"#,
            r#"{"error": "x"}"#,
            r#"{"detail": "\"x\""}"#,
        ] {
            assert!(
                matches!(read_body::<u32>(body), Err(NoValue::Unreadable(_))),
                "{body}"
            );
        }
    }
}
