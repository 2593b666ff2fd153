use thiserror::Error;

use super::{
    client::RawMessage,
    properties::RawProperties,
    table::{self, Unreadable},
};

/// Why amqprs cannot read a message. It quotes the message.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum Fault {
    #[error("the header `{name}` has {unreadable}")]
    Header {
        name: String,
        unreadable: Unreadable,
    },
    #[error("the {0} is not UTF-8")]
    Property(&'static str),
    /// These two are not part of the copy, so the error keeps them.
    #[error("the {what} is not UTF-8: `{text}`")]
    Address { what: &'static str, text: String },
    #[error("a length in its properties leads beyond the end")]
    Properties,
}

/// Checks that amqprs can read a message.
pub(super) fn check(message: &RawMessage) -> Result<(), Fault> {
    let addresses = [
        ("routing key", &message.routing_key),
        ("exchange", &message.exchange),
    ];
    for (what, text) in addresses {
        if std::str::from_utf8(text).is_err() {
            let text = text.escape_ascii().to_string();
            return Err(Fault::Address { what, text });
        }
    }
    let properties = RawProperties::parse(&message.properties).map_err(|_| Fault::Properties)?;
    for (name, text) in properties.texts() {
        if std::str::from_utf8(text).is_err() {
            return Err(Fault::Property(name));
        }
    }
    table::check(properties.headers()).map_err(|(name, unreadable)| Fault::Header {
        name: name.escape_ascii().to_string(),
        unreadable,
    })
}
