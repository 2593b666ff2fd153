//! What a person is told of a message that no handler is for: what its sender may have meant.

use super::Queue;
use crate::{
    codec::FieldPath,
    delivery::Delivery,
    handler::near,
    message::{Value, header_names},
};

/// The fields in which others have their keys: of a field of any other name it would be chance.
const FIELDS: [&str; 12] = [
    "type",
    "task",
    "pattern",
    "event",
    "event_type",
    "eventType",
    "messageType",
    "key",
    "action",
    "actor_name",
    "command",
    "method",
];

/// A larger body is not looked into.
const LARGEST: usize = 16 * 1024;

impl Queue {
    /// No handler is for this key.
    #[cold]
    pub(super) fn unknown(&self, key: &str, delivery: &Delivery) -> String {
        let near = near(key, self.handlers.keys());
        let near: Vec<_> = near.iter().map(|key| format!("`{key}`")).collect();
        let near = match near.is_empty() {
            true => String::new(),
            false => format!("; close to it: {}", near.join(", ")),
        };
        let elsewhere = self.elsewhere(delivery);
        let crates = self.handlers.crates().join(", ");
        format!(
            "no handler for the key {key:?}, and no default handler{near}{elsewhere}; this program has those of {crates}"
        )
    }

    /// Where else the message has a key of a handler.
    pub(super) fn elsewhere(&self, delivery: &Delivery) -> String {
        let Some((place, key)) = self.find_elsewhere(delivery) else {
            return String::new();
        };
        let source = self.source.key.source();
        format!("; its {place} is `{key}`, and the queue looks for keys in {source}")
    }

    fn find_elsewhere(&self, delivery: &Delivery) -> Option<(String, String)> {
        let known = |text: &&str| self.handlers.knows(text);
        if let Some(text) = delivery.properties().message_type().filter(known) {
            return Some(("property `type`".to_owned(), text.to_owned()));
        }
        let headers = delivery.headers().iter().filter_map(|(name, value)| {
            let is_of_broker = name.starts_with("x-") || name.starts_with(header_names::PREFIX);
            match value {
                Value::Text(text) if !is_of_broker => Some((name, text)),
                _ => None,
            }
        });
        let mut headers = headers.filter(|(_, text)| known(&text.as_str()));
        if let Some((name, text)) = headers.next() {
            return Some((format!("header `{name}`"), text));
        }
        if let Some(text) = Some(delivery.routing_key()).filter(known) {
            return Some(("routing key".to_owned(), text.to_owned()));
        }
        if delivery.body().len() > LARGEST || delivery.properties().content_encoding().is_some() {
            return None;
        }
        FIELDS.iter().find_map(|field| {
            let text = delivery.field(&FieldPath::new(field))?.into_text()?;
            known(&&*text).then(|| (format!("field `{field}`"), text.into_owned()))
        })
    }
}
