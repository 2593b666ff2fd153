//! The message as a program sees it: properties, headers and a body, whatever carried it.

use std::fmt;

use bytes::Bytes;

pub(crate) use self::{
    addressed::{Addressed, Routing},
    fit::{NoRoom, fit},
    new_id::{milliseconds_since_1970, new_id},
};
pub use self::{
    decode::HeaderRejection,
    headers::Headers,
    properties::{Properties, PropertyError},
    trace_context::{InvalidTraceparent, TraceContext, TraceId},
    value::Value,
};

mod addressed;
mod decode;
pub(crate) mod fields;
mod fit;
pub(crate) mod header_names;
mod headers;
mod new_id;
pub(crate) mod properties;
pub(crate) mod raw_text;
mod trace_context;
pub(crate) mod value;
pub(crate) mod wire;

/// A message: [`Properties`] (with the headers among them) and a body.
///
/// `Debug` prints the properties' names and the body's length, never what they hold.
///
/// ```
/// use ploomby::{Message, Properties};
///
/// let message = Message::new(r#"{"name": "Ada"}"#)
///     .with_properties(Properties::new().with_content_type("application/json")?)
///     .with_header("task_name", "create_user")?;
/// assert_eq!(message.headers().text("task_name"), Some("create_user"));
/// # Ok::<(), ploomby::PropertyError>(())
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Message {
    pub(crate) properties: Properties,
    pub(crate) body: Bytes,
}

impl Message {
    /// A message with this body and no properties.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            properties: Properties::new(),
            body: body.into(),
        }
    }

    /// Replaces the properties, the headers among them.
    #[must_use]
    pub fn with_properties(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }

    /// Adds a header, or replaces the one of this name.
    ///
    /// # Errors
    ///
    /// Where AMQP cannot carry it: a name over 255 bytes.
    pub fn with_header(
        mut self,
        name: &str,
        value: impl Into<Value>,
    ) -> Result<Self, PropertyError> {
        self.properties.set_header(name, value.into())?;
        Ok(self)
    }

    /// The properties that came with the message.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The headers, which AMQP keeps among the properties.
    pub fn headers(&self) -> Headers<'_> {
        self.properties.headers()
    }

    /// The body, as it was sent.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Gives up the parts.
    pub fn into_parts(self) -> (Properties, Bytes) {
        (self.properties, self.body)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("properties", &self.properties)
            .field("body_len", &self.body.len())
            .finish()
    }
}
