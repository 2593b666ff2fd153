//! Baggage as messages carry it. What the propagator of the SDK cannot read, it writes into the log.
//!
//! Source: [Baggage](https://www.w3.org/TR/baggage/#header-content).

use opentelemetry::{
    Context,
    baggage::{BaggageExt, KeyValueMetadata},
};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What a value must not hold.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b',')
    .add(b';')
    .add(b'=')
    .add(b'\\')
    .add(b'%');

/// The context with what a message carries. What cannot be read is not there.
pub(crate) fn read(text: &str, context: &Context) -> Context {
    context.with_baggage(text.split(',').filter_map(member))
}

fn member(text: &str) -> Option<KeyValueMetadata> {
    let (pair, properties) = text.split_once(';').unwrap_or((text, ""));
    let (key, value) = pair.split_once('=')?;
    let key = key.trim();
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    (!key.is_empty())
        .then(|| KeyValueMetadata::new(key.to_owned(), value.into_owned(), properties.trim()))
}

/// The baggage of a context, as a message carries it; empty if there is none.
pub(crate) fn write(context: &Context) -> String {
    let members = context.baggage().iter().map(|(key, (value, properties))| {
        let value = utf8_percent_encode(value.as_str(), ENCODED);
        match properties.as_str() {
            "" => format!("{key}={value}"),
            properties => format!("{key}={value};{properties}"),
        }
    });
    members.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Vec<String> {
        let written = write(&read(text, &Context::new()));
        let mut members: Vec<_> = written.split(',').map(str::to_owned).collect();
        members.sort();
        members
    }

    #[test]
    fn what_is_read_is_written() {
        let text = "tenant=acme,user=ada%20l%2C%3D%25;secret;level=3, empty=";
        assert_eq!(
            again(text),
            [
                "empty=",
                "tenant=acme",
                "user=ada%20l%2C%3D%25;secret;level=3"
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_there() {
        assert_eq!(again("good=1,,none,=2,bad=%ff"), ["good=1"]);
        assert_eq!(again("none"), [""]);
    }
}
