//! The message as amqprs has it, and back: outside of `rabbit` no other file knows that client.

use std::mem;

pub(super) use amqprs::{
    BasicProperties, DELIVERY_MODE_PERSISTENT, DELIVERY_MODE_TRANSIENT, FieldTable, FieldValue,
    LongStr,
};
use amqprs::{DecimalValue, Deliver, FieldArray, ShortStr};
pub(crate) use amqprs::{FieldName, channel::ConsumerMessage as Received};
use bytes::Bytes;

use super::{Message, Properties, PropertyError, Value, raw_text, value::MAX_DEPTH};

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
        replace(&mut table, name, value.clone().into_field()?);
    }
    Ok(table)
}

/// A header's name, made once for many look-ups.
pub(crate) fn header_name(name: &str) -> Result<FieldName, PropertyError> {
    short_str("header name", name)
}

/// The text of a field that is text: one that is not UTF-8 is bytes.
#[inline]
pub(super) fn text(field: &FieldValue) -> Option<&str> {
    match field {
        FieldValue::S(text) if !raw_text::is_escaped(text.as_ref()) => Some(text.as_ref()),
        _ => None,
    }
}

/// The number of a field that is an integer, of whatever size.
/// The number in a header of what the client has received.
pub(crate) fn number_in(received: &Received, name: &str) -> Option<i64> {
    let headers = received.basic_properties.as_ref()?.headers()?;
    let mut fields = headers.as_ref().iter();
    let (_, field) = fields.find(|(known, _)| known.as_ref() == name)?;
    integer(field)
}

pub(super) fn integer(field: &FieldValue) -> Option<i64> {
    match field {
        FieldValue::b(v) => Some(i64::from(*v)),
        FieldValue::B(v) => Some(i64::from(*v)),
        FieldValue::s(v) => Some(i64::from(*v)),
        FieldValue::u(v) => Some(i64::from(*v)),
        FieldValue::I(v) => Some(i64::from(*v)),
        FieldValue::i(v) => Some(i64::from(*v)),
        FieldValue::l(v) => Some(*v),
        FieldValue::S(v) => raw_text::number_in(v.as_ref()),
        _ => None,
    }
}

pub(super) fn is_void(field: &FieldValue) -> bool {
    matches!(field, FieldValue::V)
}

impl Value {
    pub(super) fn from_field(field: &FieldValue) -> Self {
        // what is inside of a list can be had by taking the list apart alone: so all of it is copied once
        Self::from_owned(field.clone())
    }

    fn from_owned(field: FieldValue) -> Self {
        match field {
            FieldValue::V => Self::Void,
            FieldValue::t(v) => Self::Bool(v),
            FieldValue::b(v) => Self::I8(v),
            FieldValue::B(v) => Self::U8(v),
            FieldValue::s(v) => Self::I16(v),
            FieldValue::u(v) => Self::U16(v),
            FieldValue::I(v) => Self::I32(v),
            FieldValue::i(v) => Self::U32(v),
            FieldValue::l(v) => Self::I64(v),
            FieldValue::f(v) => Self::F32(v),
            FieldValue::d(v) => Self::F64(v),
            FieldValue::D(v) => decimal_parts(&v),
            FieldValue::S(v) => match (
                raw_text::number_in(v.as_ref()),
                raw_text::bytes_of(v.as_ref()),
            ) {
                (Some(number), _) => Self::I64(number),
                (None, Some(bytes)) => Self::Bytes(bytes),
                (None, None) => Self::Text(v.into()),
            },
            FieldValue::x(v) => Self::Bytes(v.into()),
            FieldValue::T(v) => Self::Timestamp(v),
            FieldValue::A(v) => {
                Self::Array(Vec::from(v).into_iter().map(Self::from_owned).collect())
            }
            FieldValue::F(v) => Self::Table(
                members(v)
                    .map(|(name, field)| (name.into(), Self::from_owned(field)))
                    .collect(),
            ),
        }
    }

    pub(super) fn into_field(self) -> Result<FieldValue, PropertyError> {
        self.into_field_with(MAX_DEPTH)
    }

    fn into_field_with(self, levels: usize) -> Result<FieldValue, PropertyError> {
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
                // what looks as if it stood for something else does not
                let text = match raw_text::is_escaped(&v) {
                    true => raw_text::escape(v.as_bytes()).into_owned(),
                    false => v,
                };
                FieldValue::S(LongStr::try_from(text).map_err(|_| PropertyError::value_too_long())?)
            }
            Self::Bytes(v) => {
                FieldValue::x(v.try_into().map_err(|_| PropertyError::value_too_long())?)
            }
            Self::Timestamp(v) => FieldValue::T(v),
            Self::Array(_) | Self::Table(_) if levels == 0 => {
                return Err(PropertyError::too_deep());
            }
            Self::Array(v) => {
                let fields = v.into_iter().map(|value| value.into_field_with(levels - 1));
                FieldValue::A(array(fields.collect::<Result<_, _>>()?)?)
            }
            Self::Table(v) => {
                let mut table = FieldTable::new();
                for (name, value) in v {
                    let name = short_str("argument name", &name)?;
                    replace(&mut table, name, value.into_field_with(levels - 1)?);
                }
                FieldValue::F(table)
            }
        })
    }
}

/// The same value, with lengths that are counted anew: amqprs keeps those that it read, which are others where a
/// name was there twice.
pub(super) fn rebuilt(field: FieldValue) -> Result<FieldValue, PropertyError> {
    Ok(match field {
        FieldValue::A(v) => {
            let fields = Vec::from(v).into_iter().map(rebuilt);
            FieldValue::A(array(fields.collect::<Result<_, _>>()?)?)
        }
        FieldValue::F(v) => FieldValue::F(rebuilt_table(v)?),
        field => field,
    })
}

pub(super) fn rebuilt_table(table: FieldTable) -> Result<FieldTable, PropertyError> {
    let mut rebuilt_table = FieldTable::new();
    for (name, field) in members(table) {
        rebuilt_table.insert(name, rebuilt(field)?);
    }
    Ok(rebuilt_table)
}

/// Adds a member to a table, or replaces the one of this name.
pub(super) fn replace(table: &mut FieldTable, name: FieldName, field: FieldValue) {
    // `insert` counts a replaced entry twice
    table.remove(&name);
    table.insert(name, field);
}

fn array(fields: Vec<FieldValue>) -> Result<FieldArray, PropertyError> {
    FieldArray::try_from(fields).map_err(|_| PropertyError::value_too_long())
}

/// The members of a table, which amqprs hands out one by one.
fn members(mut table: FieldTable) -> impl Iterator<Item = (FieldName, FieldValue)> {
    let names: Vec<FieldName> = table.as_ref().keys().cloned().collect();
    names.into_iter().filter_map(move |name| {
        let field = table.remove(&name)?;
        Some((name, field))
    })
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
