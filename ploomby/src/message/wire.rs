//! The message as amqprs has it, and back: outside of `rabbit` no other file knows that client.

use std::mem;

pub(super) use amqprs::{
    BasicProperties, DELIVERY_MODE_PERSISTENT, DELIVERY_MODE_TRANSIENT, FieldTable, FieldValue,
};
use amqprs::{DecimalValue, Deliver, FieldArray, LongStr, ShortStr};
pub(crate) use amqprs::{FieldName, channel::ConsumerMessage as Received};
use bytes::Bytes;

use super::{Message, Properties, PropertyError, Value};

/// How a message came: kept as the client has it, so that no text is copied.
pub(crate) struct Arrival(Deliver);

impl Arrival {
    pub(crate) fn exchange(&self) -> &str {
        self.0.exchange()
    }

    pub(crate) fn routing_key(&self) -> &str {
        self.0.routing_key()
    }

    pub(crate) fn is_redelivered(&self) -> bool {
        self.0.redelivered()
    }
}

/// What the client has received, if it is whole: it is taken out in one of two ways.
pub(crate) struct Parts<'r> {
    pub(crate) tag: u64,
    body: Bytes,
    deliver: &'r mut Option<Deliver>,
    properties: &'r mut Option<BasicProperties>,
}

impl<'r> Parts<'r> {
    #[inline]
    pub(crate) fn of(received: &'r mut Received) -> Option<Self> {
        received.basic_properties.as_ref()?;
        Some(Self {
            tag: received.deliver.as_ref()?.delivery_tag(),
            body: received.content.take()?.into(),
            deliver: &mut received.deliver,
            properties: &mut received.basic_properties,
        })
    }

    /// Puts them in place of these. They are large, and copied once: the client drops what was there.
    #[inline]
    pub(crate) fn swap(self, message: &mut Message, arrival: &mut Arrival) {
        if let (Some(deliver), Some(properties)) = (self.deliver, self.properties) {
            mem::swap(&mut message.properties.wire, properties);
            mem::swap(&mut arrival.0, deliver);
            message.body = self.body;
        }
    }

    pub(crate) fn take(self) -> Option<(Message, Arrival)> {
        let message = Message {
            properties: Properties::from_wire(self.properties.take()?),
            body: self.body,
        };
        Some((message, Arrival(self.deliver.take()?)))
    }
}

/// Text of at most 255 bytes: amqprs panics on what is longer.
pub(crate) fn short_str(what: &'static str, text: &str) -> Result<ShortStr, PropertyError> {
    ShortStr::try_from(text).map_err(|_| PropertyError::too_long(what))
}

/// Arguments of a declaration, as they go over the wire.
pub(crate) fn field_table(arguments: &[(String, Value)]) -> Result<FieldTable, PropertyError> {
    let mut table = FieldTable::new();
    for (name, value) in arguments {
        let name = short_str("argument name", name)?;
        // `insert` counts a replaced entry twice
        table.remove(&name);
        table.insert(name, value.clone().into_field()?);
    }
    Ok(table)
}

/// A header's name, made once for many look-ups.
pub(crate) fn header_name(name: &str) -> Result<FieldName, PropertyError> {
    short_str("header name", name)
}

/// The text of a field that is text.
#[inline]
pub(super) fn text(field: &FieldValue) -> Option<&str> {
    match field {
        FieldValue::S(text) => Some(text.as_ref()),
        _ => None,
    }
}

/// The number of a field that is an integer, of whatever size.
pub(super) fn integer(field: &FieldValue) -> Option<i64> {
    match field {
        FieldValue::b(v) => Some(i64::from(*v)),
        FieldValue::B(v) => Some(i64::from(*v)),
        FieldValue::s(v) => Some(i64::from(*v)),
        FieldValue::u(v) => Some(i64::from(*v)),
        FieldValue::I(v) => Some(i64::from(*v)),
        FieldValue::i(v) => Some(i64::from(*v)),
        FieldValue::l(v) => Some(*v),
        _ => None,
    }
}

pub(super) fn is_void(field: &FieldValue) -> bool {
    matches!(field, FieldValue::V)
}

impl Value {
    pub(super) fn from_field(field: &FieldValue) -> Self {
        match field {
            FieldValue::V => Self::Void,
            FieldValue::t(v) => Self::Bool(*v),
            FieldValue::b(v) => Self::I8(*v),
            FieldValue::B(v) => Self::U8(*v),
            FieldValue::s(v) => Self::I16(*v),
            FieldValue::u(v) => Self::U16(*v),
            FieldValue::I(v) => Self::I32(*v),
            FieldValue::i(v) => Self::U32(*v),
            FieldValue::l(v) => Self::I64(*v),
            FieldValue::f(v) => Self::F32(*v),
            FieldValue::d(v) => Self::F64(*v),
            FieldValue::D(v) => decimal_parts(v),
            FieldValue::S(v) => Self::Text(v.as_ref().clone()),
            FieldValue::x(v) => Self::Bytes(v.clone().into()),
            FieldValue::T(v) => Self::Timestamp(*v),
            FieldValue::A(v) => {
                let fields: Vec<FieldValue> = v.clone().into();
                Self::Array(fields.iter().map(Self::from_field).collect())
            }
            FieldValue::F(v) => Self::Table(
                v.as_ref()
                    .iter()
                    .map(|(name, field)| (name.to_string(), Self::from_field(field)))
                    .collect(),
            ),
        }
    }

    pub(super) fn into_field(self) -> Result<FieldValue, PropertyError> {
        Ok(match self {
            Self::Void => FieldValue::V,
            Self::Bool(v) => FieldValue::t(v),
            Self::I8(v) => FieldValue::b(v),
            Self::U8(v) => FieldValue::B(v),
            Self::I16(v) => FieldValue::s(v),
            Self::U16(v) => FieldValue::u(v),
            Self::I32(v) => FieldValue::I(v),
            Self::U32(v) => FieldValue::i(v),
            Self::I64(v) => FieldValue::l(v),
            Self::F32(v) => FieldValue::f(v),
            Self::F64(v) => FieldValue::d(v),
            Self::Decimal { scale, unscaled } => FieldValue::D(DecimalValue::new(scale, unscaled)),
            Self::Text(v) => {
                FieldValue::S(LongStr::try_from(v).map_err(|_| PropertyError::value_too_long())?)
            }
            Self::Bytes(v) => {
                FieldValue::x(v.try_into().map_err(|_| PropertyError::value_too_long())?)
            }
            Self::Timestamp(v) => FieldValue::T(v),
            Self::Array(v) => {
                let fields = v
                    .into_iter()
                    .map(Self::into_field)
                    .collect::<Result<Vec<_>, _>>()?;
                FieldValue::A(
                    FieldArray::try_from(fields).map_err(|_| PropertyError::value_too_long())?,
                )
            }
            Self::Table(v) => FieldValue::F(field_table(&v)?),
        })
    }
}

/// amqprs keeps the two numbers private, but serializes them.
fn decimal_parts(decimal: &DecimalValue) -> Value {
    let (scale, unscaled) = serde_json::to_value(decimal)
        .and_then(serde_json::from_value)
        .expect("a decimal is an octet and an integer");
    Value::Decimal { scale, unscaled }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_the_way_to_the_wire_type_and_back() {
        let values = [
            Value::Void,
            Value::Bool(true),
            Value::I8(-1),
            Value::U8(1),
            Value::I16(-2),
            Value::U16(2),
            Value::I32(-3),
            Value::U32(3),
            Value::I64(-4),
            Value::F32(1.5),
            Value::F64(2.5),
            Value::Decimal {
                scale: 2,
                unscaled: -314,
            },
            Value::Text("text".into()),
            Value::Bytes(vec![0xff, 0x00]),
            Value::Timestamp(5),
            Value::Array(vec![Value::Void, Value::Text(String::new())]),
            Value::Table(vec![("inner".into(), Value::Table(Vec::new()))]),
        ];
        for value in values {
            let field = value.clone().into_field().expect("it fits");
            assert!(Value::from_field(&field) == value, "{value:?}");
        }
    }
}
