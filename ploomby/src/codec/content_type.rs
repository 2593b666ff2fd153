use super::Codec;
use crate::outcome::{Failure, Reason};

/// What the content type of a message says about its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Nothing.
    Unspecified,
    Serde(Codec),
    #[cfg(feature = "protobuf")]
    Protobuf,
}

impl Format {
    #[inline]
    pub(crate) fn of(content_type: Option<&str>) -> Result<Self, Failure> {
        match content_type {
            None => Ok(Self::Unspecified),
            Some("application/json") => Ok(Self::Serde(Codec::Json)),
            Some(other) => parse(other),
        }
    }
}

#[cold]
fn parse(content_type: &str) -> Result<Format, Failure> {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let format = match &*essence {
        "" | "text/plain" | "application/octet-stream" => Format::Unspecified,
        "application/json" => Format::Serde(Codec::Json),
        essence if essence.ends_with("+json") => Format::Serde(Codec::Json),
        "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => {
            #[cfg(not(feature = "msgpack"))]
            return Err(feature_off(content_type, "msgpack"));
            #[cfg(feature = "msgpack")]
            Format::Serde(Codec::MessagePack)
        }
        essence if essence == "application/cbor" || essence.ends_with("+cbor") => {
            #[cfg(not(feature = "cbor"))]
            return Err(feature_off(content_type, "cbor"));
            #[cfg(feature = "cbor")]
            Format::Serde(Codec::Cbor)
        }
        "application/protobuf" | "application/x-protobuf" | "application/vnd.google.protobuf" => {
            #[cfg(not(feature = "protobuf"))]
            return Err(feature_off(content_type, "protobuf"));
            #[cfg(feature = "protobuf")]
            Format::Protobuf
        }
        _ => return Err(unknown(content_type)),
    };
    if matches!(format, Format::Unspecified | Format::Serde(Codec::Json)) {
        check_charset(content_type, parts)?;
    }
    Ok(format)
}

/// Text is UTF-8, of which ASCII is a part.
fn check_charset<'a>(
    content_type: &str,
    parameters: impl Iterator<Item = &'a str>,
) -> Result<(), Failure> {
    for (name, value) in parameters.filter_map(|parameter| parameter.split_once('=')) {
        let charset = value.trim().trim_matches('"');
        let known = ["utf-8", "utf8", "us-ascii"]
            .iter()
            .any(|known| charset.eq_ignore_ascii_case(known));
        if name.trim().eq_ignore_ascii_case("charset") && !known {
            let text = format!("the content type {content_type:?} has a charset other than UTF-8");
            return Err(Failure::new(Reason::UnsupportedContentType, text));
        }
    }
    Ok(())
}

fn unknown(content_type: &str) -> Failure {
    const KNOWN: &[&str] = &[
        "`application/json`, `*+json`",
        #[cfg(feature = "msgpack")]
        "`application/msgpack`",
        #[cfg(feature = "cbor")]
        "`application/cbor`, `*+cbor`",
        #[cfg(feature = "protobuf")]
        "`application/protobuf`",
        "`text/plain`, `application/octet-stream` or none for the codec of the queue",
    ];
    let known = KNOWN.join(", ");
    let text = format!("the content type {content_type:?} is not known; known are {known}");
    Failure::new(Reason::UnsupportedContentType, text)
}

#[cfg(not(all(feature = "msgpack", feature = "cbor", feature = "protobuf")))]
fn feature_off(content_type: &str, feature: &str) -> Failure {
    let text = format!(
        "the content type {content_type:?} takes ploomby's feature `{feature}`, which is off"
    );
    Failure::new(Reason::UnsupportedContentType, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_parameters_mean_nothing() {
        for json in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json ;Charset=\"UTF-8\"; x=y",
            "application/vnd.masstransit+json",
        ] {
            let format = Format::of(Some(json)).map_err(|failure| failure.text.clone());
            assert_eq!(format, Ok(Format::Serde(Codec::Json)), "{json}");
        }
        for nothing in [
            "",
            " ",
            "text/plain; charset=us-ascii",
            "Application/Octet-Stream",
        ] {
            let format = Format::of(Some(nothing)).map_err(|failure| failure.text.clone());
            assert_eq!(format, Ok(Format::Unspecified), "{nothing}");
        }
    }

    #[test]
    fn another_charset_and_another_type_are_errors() {
        for (wrong, error) in [
            ("application/json; charset=latin1", "charset"),
            ("text/plain; charset=utf-16", "charset"),
            ("text/xml", "known are `application/json`"),
            ("json", "known are `application/json`"),
            ("; charset=x", "charset"),
        ] {
            let failure = Format::of(Some(wrong)).expect_err(wrong);
            assert_eq!(failure.reason, Reason::UnsupportedContentType);
            assert!(failure.text.contains(error), "{}", failure.text);
        }
    }

    #[test]
    #[cfg(not(feature = "msgpack"))]
    fn a_feature_that_is_off_is_named() {
        let failure = Format::of(Some("application/msgpack")).expect_err("it is off");
        assert!(failure.text.contains("`msgpack`"), "{}", failure.text);
    }
}
