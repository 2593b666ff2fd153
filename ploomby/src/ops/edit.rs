//! What is changed of a letter before it is replayed.

use bytes::Bytes;

use super::Letter;
use crate::{
    delivery::KeySource,
    message::{Message, Properties, PropertyError, Value, header_names as headers},
};

/// What is changed of letters before they are replayed, by [`Replay::edited`](super::Replay::edited). What is not named
/// stays as it is.
///
/// ```
/// use ploomby::ops::{Edit, Filter, Replay};
///
/// let edit = Edit::new().body(r#"{"id":0,"cents":100}"#);
/// let replay = Replay::new(Filter::all().id("8318c043b6ca")).edited(edit);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Edit {
    body: Option<Bytes>,
    headers: Option<Vec<(String, Value)>>,
    key: Option<String>,
}

impl Edit {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another body, in the codec of the one that there is. It is not compressed.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// These headers, in place of all but ploomby's own.
    pub fn headers<N: Into<String>>(
        mut self,
        headers: impl IntoIterator<Item = (N, Value)>,
    ) -> Self {
        let headers = headers.into_iter();
        self.headers = Some(headers.map(|(name, value)| (name.into(), value)).collect());
        self
    }

    /// Another key, where its queue has its keys. Where that is the routing key, the letter goes through a retry queue, as
    /// one does that came by an exchange. Where that is the body, the body is what to edit: another key is an error.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.body.is_none() && self.headers.is_none() && self.key.is_none()
    }

    /// Whether it changes the routing key, which a message keeps through a retry queue alone.
    pub(super) fn changes_routing_key(&self, place: &KeySource) -> bool {
        self.key.is_some() && place.written() == Some(&KeySource::RoutingKey)
    }

    /// Whether it changes a key that is in the body, or that only a function finds.
    pub(super) fn cannot_write_key(&self, place: &KeySource) -> bool {
        self.key.is_some() && place.written().is_none()
    }

    /// Changes the message of a letter, as it would be replayed.
    pub(super) fn apply(
        &self,
        letter: &Letter,
        message: &Message,
        place: &KeySource,
    ) -> Result<Message, PropertyError> {
        let mut fields = message.headers().to_fields();
        if let Some(chosen) = &self.headers {
            fields.retain(|name| name.starts_with(headers::PREFIX));
            for (name, value) in chosen {
                fields.set(name, value.clone())?;
            }
        }
        fields.set_text(headers::EDITED_FROM, &letter.id())?;
        let key = self.key.as_deref();
        match (place.written(), key) {
            (Some(KeySource::Header(name)), Some(key)) => fields.set_text(name, key)?,
            // it goes through a retry queue, as a message that has an address of its own
            (Some(KeySource::RoutingKey), Some(key)) => {
                fields.set_text(headers::ROUTING_KEY, key)?
            }
            _ => {}
        }
        let old = message.properties();
        let mut properties: Properties = old.for_copy(fields, true)?.persistent();
        if let (Some(KeySource::MessageType), Some(key)) = (place.written(), key) {
            properties = properties.with_message_type(key)?;
        }
        let body = match &self.body {
            Some(body) => {
                if properties.content_encoding().is_some() {
                    properties = properties.with_content_encoding("identity")?;
                }
                body.clone()
            }
            None => message.body().clone(),
        };
        Ok(Message { properties, body })
    }
}
