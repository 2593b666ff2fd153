//! Headers as `serde` sees them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{
        self, Expected, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_path_to_error::{Deserializer as Tracked, Track};
use thiserror::Error;

use super::{
    Headers, Value,
    wire::{self, FieldValue},
};

impl<'a> Headers<'a> {
    /// Decodes the headers that `T`, a struct, has a field for. Text can be borrowed.
    ///
    /// # Errors
    ///
    /// A header is missing or does not fit its field.
    pub fn decode<T: Deserialize<'a>>(self) -> Result<T, HeaderRejection> {
        let headers = self
            .fields()
            .map(|(name, field)| (name.as_ref().as_str(), Field(field)));
        let mut track = Track::new();
        T::deserialize(Tracked::new(MapDeserializer::new(headers), &mut track)).map_err(|error| {
            // what is deeper is the value's own
            let header = track.path().iter().next().map(ToString::to_string);
            match (header, error) {
                (None, DecodeError::Missing(name)) => HeaderRejection::Missing(name),
                (None, error) => HeaderRejection::Unfit(format!("the headers do not fit: {error}")),
                (Some(header), error) => {
                    HeaderRejection::Unfit(format!("the header `{header}` does not fit: {error}"))
                }
            }
        })
    }
}

/// The headers of a message are not what a handler takes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderRejection {
    /// A header is not there.
    #[error("the header `{0}` is missing")]
    Missing(String),
    /// A header is there, and does not fit.
    #[error("{0}")]
    Unfit(String),
}

/// A header's value where it lies.
struct Field<'a>(&'a FieldValue);

impl<'de> IntoDeserializer<'de, DecodeError> for Field<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Field<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match wire::text(self.0) {
            Some(text) => visitor.visit_borrowed_str(text),
            None => Copied(Value::from_field(self.0)).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match wire::is_void(self.0) {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        Copied(Value::from_field(self.0)).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A value that is not text, taken out.
struct Copied(Value);

impl<'de> IntoDeserializer<'de, DecodeError> for Copied {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Copied {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Void => visitor.visit_unit(),
            Value::Bool(v) => visitor.visit_bool(v),
            Value::I8(v) => visitor.visit_i8(v),
            Value::U8(v) => visitor.visit_u8(v),
            Value::I16(v) => visitor.visit_i16(v),
            Value::U16(v) => visitor.visit_u16(v),
            Value::I32(v) => visitor.visit_i32(v),
            Value::U32(v) => visitor.visit_u32(v),
            Value::I64(v) => visitor.visit_i64(v),
            Value::F32(v) => visitor.visit_f32(v),
            Value::F64(v) => visitor.visit_f64(v),
            Value::Decimal { scale, unscaled } => {
                visitor.visit_f64(f64::from(unscaled) / 10_f64.powi(scale.into()))
            }
            Value::Text(v) => visitor.visit_string(v),
            Value::Bytes(v) => visitor.visit_byte_buf(v),
            Value::Timestamp(v) => visitor.visit_u64(v),
            Value::Array(v) => visitor.visit_seq(SeqDeserializer::new(v.into_iter().map(Self))),
            Value::Table(v) => visitor.visit_map(MapDeserializer::new(
                v.into_iter().map(|(name, value)| (name, Self(value))),
            )),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Void => visitor.visit_none(),
            other => visitor.visit_some(Self(other)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    /// A variant without fields, by its name.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Text(name) => visitor.visit_enum(name.into_deserializer()),
            other => Err(DecodeError::expected(other.type_name(), &"text")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// What does not fit, without the value.
#[derive(Debug)]
enum DecodeError {
    Missing(String),
    Unfit(String),
}

impl DecodeError {
    fn expected(found: &str, expected: &dyn Expected) -> Self {
        Self::Unfit(format!("it holds {found}, expected {expected}"))
    }
}

impl de::Error for DecodeError {
    /// A type's own words may quote what it was given.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Unfit("its type refuses it".to_owned())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(kind(&found), expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Unfit(format!("its {} is not {expected}", kind(&found)))
    }

    fn unknown_variant(_: &str, variants: &'static [&'static str]) -> Self {
        Self::Unfit(format!("its text is not one of {}", variants.join(", ")))
    }

    fn unknown_field(_: &str, fields: &'static [&'static str]) -> Self {
        Self::Unfit(format!(
            "it holds a name that is not one of {}",
            fields.join(", ")
        ))
    }

    fn invalid_length(len: usize, expected: &dyn Expected) -> Self {
        Self::Unfit(format!("its length is {len}, expected {expected}"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::Unfit(format!("`{field}` is there twice"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field.to_owned())
    }
}

fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer",
        Unexpected::Float(_) => "float",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit | Unexpected::Option => "void",
        Unexpected::Seq => "array",
        Unexpected::Map => "table",
        _ => "another type",
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "`{name}` is missing"),
            Self::Unfit(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for DecodeError {}
