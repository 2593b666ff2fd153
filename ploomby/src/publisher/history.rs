//! What a message that was received has of the way that it came, and leaves behind as it is sent on.

use crate::message::{Properties, PropertyError, header_names as headers};

/// Where the broker tells in which queues the message died.
const DEATHS: &str = "x-death";

/// What says that a reply is an error: that is no part of its history.
const REPLY: &str = "ploomby-reply";

/// The properties without the history.
pub(super) fn taken_off(properties: Properties) -> Result<Properties, PropertyError> {
    let is_history = |name: &str| {
        headers::OF_THE_BROKER.contains(&name)
            || (name.starts_with(headers::PREFIX) && name != REPLY)
    };
    if !properties
        .headers()
        .iter()
        .any(|(name, _)| is_history(name))
    {
        return Ok(properties);
    }
    let mut kept = properties.headers().to_fields();
    kept.retain(|name| !is_history(name));
    properties.with_headers(kept)
}

/// The properties with the deaths set aside, for a message that comes from a queue where it waited: RabbitMQ 3
/// takes one that died in the queue that it goes to for one that goes in a circle.
pub(super) fn deaths_aside(properties: Properties) -> Result<Properties, PropertyError> {
    if !properties.headers().contains(DEATHS) {
        return Ok(properties);
    }
    let mut fields = properties.headers().to_fields();
    fields.rename(DEATHS, headers::DEATHS);
    properties.with_headers(fields)
}
