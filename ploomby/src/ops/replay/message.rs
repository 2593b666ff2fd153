use std::time::{Duration, SystemTime};

use crate::{
    message::{Message, PropertyError, Value, fields::Fields, header_names as headers},
    ops::Letter,
};

/// How long a message waits that has an address of its own.
pub(in crate::ops) const PAUSE: Duration = Duration::from_secs(1);

/// The message of a letter, as it was sent: without what tells of its failure, and without what the broker added.
pub(in crate::ops) fn message_of(
    letter: &Letter,
    replayed: u32,
    user: &str,
) -> Result<Message, PropertyError> {
    let message = letter.message();
    let properties = message.properties();
    let mut fields = letter.headers().to_fields();
    let taken_off = [
        &headers::OF_FAILURES[..],
        &headers::OF_THE_BROKER,
        &headers::COUNTS,
        &headers::OF_SUSPECTS,
        &[headers::DEATHS],
    ];
    fields.retain(|name| !taken_off.iter().any(|names| names.contains(&name)));
    if replayed > 0 {
        fields.set(headers::REPLAYED, Value::I64(replayed.into()))?;
        fields.set(headers::REPLAYED_AT, SystemTime::now().into())?;
    }
    // the broker refuses the name of another user
    let is_ours = properties.user_id() == Some(user);
    if let (false, Some(user)) = (is_ours, properties.user_id()) {
        fields.set_text(headers::USER_ID, user)?;
    }
    with(message, fields, is_ours)
}

/// The exchange and the routing key of its own that a message goes by, if it has them.
pub(super) fn address(message: &Message) -> Option<(String, String)> {
    let text = |name| message.headers().text(name).map(str::to_owned);
    let routing_key = text(headers::ROUTING_KEY)?;
    Some((text(headers::EXCHANGE).unwrap_or_default(), routing_key))
}

/// The same for its way through a retry queue, by which its own address counts.
pub(super) fn with_address(message: Message) -> Result<Message, PropertyError> {
    let mut fields = message.headers().to_fields();
    fields.set(headers::ATTEMPT, Value::I64(1))?;
    with(&message, fields, true)
}

/// The same for the straight way.
pub(super) fn without_address(message: Message) -> Result<Message, PropertyError> {
    let mut fields = message.headers().to_fields();
    fields.retain(|name| ![headers::EXCHANGE, headers::ROUTING_KEY].contains(&name));
    with(&message, fields, true)
}

fn with(message: &Message, fields: Fields, keeps_user: bool) -> Result<Message, PropertyError> {
    let properties = message.properties().for_copy(fields, keeps_user)?;
    Ok(Message {
        properties: properties.persistent(),
        body: message.body().clone(),
    })
}
