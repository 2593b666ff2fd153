use std::time::{SystemTime, UNIX_EPOCH};

use super::failure::{Failure, cut};
use crate::{
    delivery::Delivery,
    message::{Message, PropertyError, Value},
};

/// The headers that a dead-lettered message carries beside its own.
///
/// None starts with `x-`: RabbitMQ keeps such names for itself.
pub(crate) mod headers {
    /// The [`Reason`](crate::Reason).
    pub(crate) const REASON: &str = "ploomby-reason";
    /// The error in words.
    pub(crate) const ERROR: &str = "ploomby-error";
    /// The key, where there was one.
    pub(crate) const KEY: &str = "ploomby-key";
    /// The queue that the message was consumed from.
    pub(crate) const QUEUE: &str = "ploomby-queue";
    /// How often a handler tried.
    pub(crate) const ATTEMPTS: &str = "ploomby-attempts";
    /// When it failed, a timestamp.
    pub(crate) const FAILED_AT: &str = "ploomby-failed-at";
    /// The expiration that the message had; the copy has none, since it would vanish with it.
    pub(crate) const EXPIRATION: &str = "ploomby-expiration";
    /// The user that the message was sent by, where the copy cannot say so itself.
    pub(crate) const USER_ID: &str = "ploomby-user-id";
    /// What all of them start with. Before `CC` and `BCC` it sets them aside: RabbitMQ would send
    /// the copy to the queues named there, too.
    pub(crate) const PREFIX: &str = "ploomby-";
}

/// A key that is longer stands in the message's own header anyway.
pub(super) const MAX_KEY: usize = 255;

/// The copy of a message that goes to the dead-letter queue: body and properties as they were, the
/// reason added.
pub(super) fn dead_letter(
    delivery: &Delivery,
    failure: &Failure,
) -> Result<Message, PropertyError> {
    let properties = delivery.properties();
    let mut table: Vec<(String, Value)> = properties
        .headers()
        .iter()
        .map(|(name, value)| match name {
            "CC" | "BCC" => (format!("{}{name}", headers::PREFIX), value),
            name => (name.to_owned(), value),
        })
        .collect();
    let mut add = |name: &str, value: Value| table.push((name.to_owned(), value));
    add(headers::REASON, failure.reason.as_str().into());
    add(headers::ERROR, failure.text.as_str().into());
    add(headers::QUEUE, delivery.queue().into());
    add(
        headers::ATTEMPTS,
        Value::I64(i64::from(failure.reason.is_after_handler())),
    );
    add(headers::FAILED_AT, Value::Timestamp(unix_seconds()));
    if let Some(key) = delivery.key() {
        add(headers::KEY, cut(key.into_owned(), MAX_KEY).into());
    }
    if let Some(expiration) = properties.get_expiration() {
        add(headers::EXPIRATION, expiration.into());
    }
    Ok(Message {
        properties: properties.for_copy(&table, true)?.persistent(),
        body: delivery.message.body.clone(),
    })
}

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
