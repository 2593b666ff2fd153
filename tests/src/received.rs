use std::collections::BTreeMap;

use amqprs::{BasicProperties, FieldTable, FieldValue};
use ploomby::{Message, Value};

/// A message as a test reads it from a queue, whichever broker it comes from.
///
/// What comes from RabbitMQ is read without ploomby's own code.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// The body.
    pub body: Vec<u8>,
    /// The headers.
    pub headers: BTreeMap<String, Value>,
    /// The property `content-type`.
    pub content_type: Option<String>,
    /// The property `correlation-id`.
    pub correlation_id: Option<String>,
    /// The property `reply-to`.
    pub reply_to: Option<String>,
    /// The property `type`.
    pub message_type: Option<String>,
    /// The property `app-id`.
    pub app_id: Option<String>,
    /// The property `message-id`.
    pub message_id: Option<String>,
    /// The property `expiration`.
    pub expiration: Option<String>,
    /// The property `priority`.
    pub priority: Option<u8>,
    /// The property `timestamp`.
    pub timestamp: Option<u64>,
    /// Whether the delivery mode says that it survives a restart.
    pub persistent: bool,
}

impl Received {
    /// A header that is text.
    ///
    /// # Panics
    ///
    /// Where it is not there, or not text.
    pub fn text(&self, header: &str) -> &str {
        match self.headers.get(header) {
            Some(Value::Text(text)) => text,
            other => panic!("the header {header} is {other:?} in {:?}", self.headers),
        }
    }
}

impl From<Message> for Received {
    fn from(message: Message) -> Self {
        let (properties, body) = message.into_parts();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            body: body.to_vec(),
            headers: properties
                .headers()
                .iter()
                .map(|(name, value)| (name.to_owned(), sorted(value)))
                .collect(),
            content_type: owned(properties.content_type()),
            correlation_id: owned(properties.correlation_id()),
            reply_to: owned(properties.reply_to()),
            message_type: owned(properties.message_type()),
            app_id: owned(properties.app_id()),
            message_id: owned(properties.message_id()),
            expiration: owned(properties.expiration()),
            priority: properties.priority(),
            timestamp: properties.timestamp(),
            persistent: properties.is_persistent(),
        }
    }
}

impl From<(BasicProperties, Vec<u8>)> for Received {
    fn from((properties, body): (BasicProperties, Vec<u8>)) -> Self {
        Self {
            body,
            headers: properties.headers().map(table).unwrap_or_default(),
            content_type: properties.content_type().cloned(),
            correlation_id: properties.correlation_id().cloned(),
            reply_to: properties.reply_to().cloned(),
            message_type: properties.message_type().cloned(),
            app_id: properties.app_id().cloned(),
            message_id: properties.message_id().cloned(),
            expiration: properties.expiration().cloned(),
            priority: properties.priority(),
            timestamp: properties.timestamp(),
            persistent: properties.delivery_mode() == Some(2),
        }
    }
}

fn table(table: &FieldTable) -> BTreeMap<String, Value> {
    let fields = table.as_ref().iter();
    fields
        .map(|(name, field)| (name.to_string(), value(field)))
        .collect()
}

fn value(field: &FieldValue) -> Value {
    match field {
        FieldValue::V => Value::Void,
        FieldValue::t(v) => Value::Bool(*v),
        FieldValue::b(v) => Value::I8(*v),
        FieldValue::B(v) => Value::U8(*v),
        FieldValue::s(v) => Value::I16(*v),
        FieldValue::u(v) => Value::U16(*v),
        FieldValue::I(v) => Value::I32(*v),
        FieldValue::i(v) => Value::U32(*v),
        FieldValue::l(v) => Value::I64(*v),
        FieldValue::f(v) => Value::F32(*v),
        FieldValue::d(v) => Value::F64(*v),
        FieldValue::D(v) => decimal(&v.to_string()),
        FieldValue::S(v) => Value::Text(v.to_string()),
        FieldValue::A(v) => {
            let fields: Vec<FieldValue> = v.clone().into();
            Value::Array(fields.iter().map(value).collect())
        }
        FieldValue::T(v) => Value::Timestamp(*v),
        FieldValue::F(v) => Value::Table(table(v).into_iter().collect()),
        FieldValue::x(v) => Value::Bytes(v.clone().into()),
    }
}

/// `Decimal(scale, unscaled)`.
fn decimal(text: &str) -> Value {
    let numbers = text
        .strip_prefix("Decimal(")
        .and_then(|rest| rest.strip_suffix(')'));
    let (scale, unscaled) = numbers.and_then(|n| n.split_once(", ")).unwrap();
    Value::Decimal {
        scale: scale.parse().unwrap(),
        unscaled: unscaled.parse().unwrap(),
    }
}

/// The members of a table have no order: here they have, to be compared.
fn sorted(value: Value) -> Value {
    match value {
        Value::Table(members) => {
            let members = members
                .into_iter()
                .map(|(name, value)| (name, sorted(value)));
            Value::Table(members.collect::<BTreeMap<_, _>>().into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        value => value,
    }
}
