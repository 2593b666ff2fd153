use std::fmt;

use amqprs::{DecimalValue, FieldArray, FieldValue, LongStr};

use super::properties::{PropertyError, field_table};

/// The value of a header: one of the field types that RabbitMQ knows.
///
/// Source: the [field types of RabbitMQ](https://www.rabbitmq.com/amqp-0-9-1-errata#section_3).
/// `Debug` prints the type, never the value: headers carry secrets, too.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// No value (`V`).
    Void,
    /// A boolean (`t`).
    Bool(bool),
    /// A signed octet (`b`).
    I8(i8),
    /// An octet (`B`).
    U8(u8),
    /// A signed 16-bit integer (`s`).
    I16(i16),
    /// A 16-bit integer (`u`).
    U16(u16),
    /// A signed 32-bit integer (`I`).
    I32(i32),
    /// A 32-bit integer (`i`).
    U32(u32),
    /// A signed 64-bit integer (`l`).
    I64(i64),
    /// A 32-bit float (`f`).
    F32(f32),
    /// A 64-bit float (`d`).
    F64(f64),
    /// `unscaled` divided by ten to the power of `scale` (`D`).
    Decimal {
        /// The number of digits after the decimal point.
        scale: u8,
        /// The digits.
        unscaled: i32,
    },
    /// Text (`S`).
    Text(String),
    /// Bytes (`x`).
    Bytes(Vec<u8>),
    /// Seconds since 1970 (`T`).
    Timestamp(u64),
    /// Several values (`A`).
    Array(Vec<Value>),
    /// Named values (`F`), in no particular order.
    Table(Vec<(String, Value)>),
}

impl Value {
    /// The name of the type, as it is written in messages to people.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Void => "void",
            Self::Bool(_) => "boolean",
            Self::I8(_) | Self::I16(_) | Self::I32(_) | Self::I64(_) => "signed integer",
            Self::U8(_) | Self::U16(_) | Self::U32(_) => "unsigned integer",
            Self::F32(_) | Self::F64(_) => "float",
            Self::Decimal { .. } => "decimal",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Timestamp(_) => "timestamp",
            Self::Array(_) => "array",
            Self::Table(_) => "table",
        }
    }

    /// A number as people write it.
    pub(crate) fn number_text(&self) -> Option<String> {
        Some(match self {
            Self::I8(v) => v.to_string(),
            Self::U8(v) => v.to_string(),
            Self::I16(v) => v.to_string(),
            Self::U16(v) => v.to_string(),
            Self::I32(v) => v.to_string(),
            Self::U32(v) => v.to_string(),
            Self::I64(v) => v.to_string(),
            Self::F32(v) => v.to_string(),
            Self::F64(v) => v.to_string(),
            Self::Decimal { scale, unscaled } => decimal_text(*scale, *unscaled),
            _ => return None,
        })
    }

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

    /// The size on the wire, with the octet that tells the type.
    pub(crate) fn encoded_len(&self) -> usize {
        1 + match self {
            Self::Void => 0,
            Self::Bool(_) | Self::I8(_) | Self::U8(_) => 1,
            Self::I16(_) | Self::U16(_) => 2,
            Self::I32(_) | Self::U32(_) | Self::F32(_) => 4,
            Self::I64(_) | Self::F64(_) | Self::Timestamp(_) => 8,
            Self::Decimal { .. } => 5,
            Self::Text(v) => 4 + v.len(),
            Self::Bytes(v) => 4 + v.len(),
            Self::Array(v) => 4 + v.iter().map(Self::encoded_len).sum::<usize>(),
            Self::Table(v) => {
                4 + v
                    .iter()
                    .map(|(name, value)| 1 + name.len() + value.encoded_len())
                    .sum::<usize>()
            }
        }
    }
}

fn decimal_text(scale: u8, unscaled: i32) -> String {
    let scale = usize::from(scale);
    if scale == 0 {
        return unscaled.to_string();
    }
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// amqprs keeps the two numbers private, but serializes them.
fn decimal_parts(decimal: &DecimalValue) -> Value {
    let (scale, unscaled) = serde_json::to_value(decimal)
        .and_then(serde_json::from_value)
        .expect("a decimal is an octet and an integer");
    Value::Decimal { scale, unscaled }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.type_name())
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),+ $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )+};
}

from! {
    bool => Bool, i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64,
    f32 => F32, f64 => F64, &str => Text, String => Text, Vec<u8> => Bytes, &[u8] => Bytes,
    Vec<Value> => Array,
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

    #[test]
    fn debug_never_prints_what_a_header_holds() {
        assert_eq!(format!("{:?}", Value::from("secret")), "<text>");
    }

    #[test]
    fn decimals_read_as_people_write_them() {
        assert_eq!(decimal_text(0, 42), "42");
        assert_eq!(decimal_text(2, 314), "3.14");
        assert_eq!(decimal_text(2, -4), "-0.04");
        assert_eq!(decimal_text(255, 1).len(), 257);
    }
}
