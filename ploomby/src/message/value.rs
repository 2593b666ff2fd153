use std::{
    borrow::Cow,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

/// How many tables and lists may be inside of each other. What is nested more deeply is bytes for the program:
/// whatever reads it calls itself for each level, and the stack of a thread is small.
pub(crate) const MAX_DEPTH: usize = 32;

/// The value of a header: one of the field types that RabbitMQ knows.
///
/// What came as text (`S`) that is not UTF-8 is read as bytes, and so is what is nested more than 32 levels deep.
/// Copies of the message, for a retry or a dead letter, have it as it came.
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
    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if it is bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if it is one, of whatever size.
    pub fn as_i64(&self) -> Option<i64> {
        Some(match self {
            Self::I8(v) => i64::from(*v),
            Self::U8(v) => i64::from(*v),
            Self::I16(v) => i64::from(*v),
            Self::U16(v) => i64::from(*v),
            Self::I32(v) => i64::from(*v),
            Self::U32(v) => i64::from(*v),
            Self::I64(v) => *v,
            _ => return None,
        })
    }

    /// The float, if it is one, of whatever size.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::F32(v) => Some(f64::from(*v)),
            Self::F64(v) => Some(*v),
            _ => None,
        }
    }

    /// The values, if it is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    /// The value of this name, if it is a table that has one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Self::Table(table) = self else {
            return None;
        };
        table
            .iter()
            .find_map(|(other, value)| (other == name).then_some(value))
    }

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
    Vec<Value> => Array, Vec<(String, Value)> => Table,
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Cow<'_, str>> for Value {
    fn from(text: Cow<'_, str>) -> Self {
        Self::Text(text.into_owned())
    }
}

impl From<bytes::Bytes> for Value {
    fn from(bytes: bytes::Bytes) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// In whole seconds; a time before 1970 is 0.
impl From<SystemTime> for Value {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::Timestamp(since.as_secs())
    }
}

/// None is void.
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Void, Into::into)
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_what_it_is_and_as_nothing_else() {
        let table = Value::from(vec![("n".to_owned(), Value::from(7_u8))]);
        assert_eq!(table.get("n").and_then(Value::as_i64), Some(7));
        assert!(table.get("m").is_none() && table.as_array().is_none());
        let list: Value = ["a", "b"].into_iter().collect();
        let texts: Vec<_> = list.as_array().into_iter().flatten().collect();
        assert_eq!(texts[1].as_text(), Some("b"));
        assert!(texts[1].as_i64().is_none() && texts[1].as_bytes().is_none());
        assert!(Value::from(None::<bool>) == Value::Void);
        assert_eq!(Value::from(Some(true)).as_bool(), Some(true));
        assert_eq!(Value::from(1.5_f32).as_f64(), Some(1.5));
        let minute = UNIX_EPOCH + std::time::Duration::from_secs(60);
        assert!(Value::from(minute) == Value::Timestamp(60));
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
