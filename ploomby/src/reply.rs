//! What goes back to who asked.

use serde::Serialize;

use crate::{
    codec::Format,
    delivery::Delivery,
    message::{Message, Properties},
};

/// The reply that holds a value, where the message asks for one: encoded as the message was.
pub(crate) fn value<T: Serialize + ?Sized>(
    value: &T,
    delivery: &Delivery,
) -> Result<Option<Message>, anyhow::Error> {
    let properties = delivery.properties();
    if properties.get_reply_to().is_none() {
        return Ok(None);
    }
    let codec = match Format::of(properties.get_content_type()) {
        Ok(Format::Serde(codec)) => codec,
        _ => delivery.decoding().codec,
    };
    let body = codec.encode(value).map_err(anyhow::Error::from_boxed)?;
    let mut reply = Properties::new().content_type(codec.content_type())?;
    if let Some(id) = properties.get_correlation_id() {
        reply = reply.correlation_id(id)?;
    }
    Ok(Some(Message::new(body).with_properties(reply)))
}
