use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The way to a field: `customer.id` is that of an inner one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldPath(Box<[String]>);

/// What stands in a field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'d> {
    Text(Cow<'d, str>),
    Bytes(Cow<'d, [u8]>),
    /// As it reads.
    Number(String),
    Bool(bool),
    Null,
    List,
    Map,
}

/// Looks for a field and stops there. What it found stands beside, since what is left of the body
/// is not read, which a decoder calls an error. What is on the way is skipped, and nothing is made of it.
pub(crate) struct Field<'a, 'd> {
    path: &'a [String],
    /// Whether the first item of a list stands for the list.
    opens_list: bool,
    found: &'a mut Option<Found<'d>>,
}

impl<'d> Found<'d> {
    pub(crate) fn into_text(self) -> Option<Cow<'d, str>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl FieldPath {
    pub(crate) fn new(path: &str) -> Self {
        Self(path.split('.').map(str::to_owned).collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl<'a, 'd> Field<'a, 'd> {
    /// The field as it is.
    pub(crate) fn new(path: &'a FieldPath, found: &'a mut Option<Found<'d>>) -> Self {
        Self {
            path: &path.0,
            opens_list: false,
            found,
        }
    }

    /// The field or, if it is a list, its first item.
    pub(crate) fn or_first(path: &'a FieldPath, found: &'a mut Option<Found<'d>>) -> Self {
        Self {
            opens_list: true,
            ..Self::new(path, found)
        }
    }

    #[inline]
    fn note<E: Error>(self, value: impl FnOnce() -> Found<'d>) -> Result<(), E> {
        if self.path.is_empty() {
            *self.found = Some(value());
        }
        Ok(())
    }
}

impl<'d> DeserializeSeed<'d> for Field<'_, 'd> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'d> Visitor<'d> for Field<'_, 'd> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fields on the way to the one that is looked for, and text or a number there")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((name, rest)) = self.path.split_first() else {
            return self.note(|| Found::Map);
        };
        while let Some(is_it) = map.next_key_seed(Name(name))? {
            if is_it {
                return map.next_value_seed(Self { path: rest, ..self });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.path.is_empty() {
            return Ok(());
        }
        *self.found = Some(Found::List);
        if self.opens_list {
            list.next_element_seed(Self {
                opens_list: false,
                ..self
            })?;
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<(), E> {
        self.note(|| Found::Bool(v))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<(), E> {
        self.note(|| Found::Number(v.to_string()))
    }

    fn visit_i128<E: Error>(self, v: i128) -> Result<(), E> {
        self.note(|| Found::Number(v.to_string()))
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<(), E> {
        self.note(|| Found::Number(v.to_string()))
    }

    fn visit_u128<E: Error>(self, v: u128) -> Result<(), E> {
        self.note(|| Found::Number(v.to_string()))
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<(), E> {
        self.note(|| Found::Number(v.to_string()))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.note(|| Found::Null)
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    #[inline]
    fn visit_borrowed_str<E: Error>(self, v: &'d str) -> Result<(), E> {
        self.note(|| Found::Text(Cow::Borrowed(v)))
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<(), E> {
        self.note(|| Found::Text(Cow::Owned(v.to_owned())))
    }

    fn visit_borrowed_bytes<E: Error>(self, v: &'d [u8]) -> Result<(), E> {
        self.note(|| Found::Bytes(Cow::Borrowed(v)))
    }

    fn visit_bytes<E: Error>(self, v: &[u8]) -> Result<(), E> {
        self.note(|| Found::Bytes(Cow::Owned(v.to_owned())))
    }
}

/// Whether a field has this name.
#[derive(Clone, Copy)]
struct Name<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    #[inline]
    fn visit_str<E: Error>(self, v: &str) -> Result<bool, E> {
        Ok(v == self.0)
    }

    fn visit_bytes<E: Error>(self, v: &[u8]) -> Result<bool, E> {
        Ok(v == self.0.as_bytes())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;

    fn found<'d>(path: &str, codec: Codec, body: &'d [u8]) -> Option<Found<'d>> {
        let mut found = None;
        // what cannot be read behind it does not matter
        let _ = codec.read(Field::or_first(&FieldPath::new(path), &mut found), body);
        found
    }

    fn text(value: &str) -> Option<Found<'_>> {
        Some(Found::Text(value.into()))
    }

    fn number(value: &str) -> Option<Found<'_>> {
        Some(Found::Number(value.into()))
    }

    #[test]
    fn a_field_is_found_where_it_stands() {
        let body = br#"{"a": [1, {"id": 1}], "customer": {"name": "x", "id": 7}, "id": "8"}"#;
        let value = |path| found(path, Codec::Json, body);
        assert_eq!(value("customer.id"), number("7"));
        assert_eq!(value("id"), text("8"));
        assert_eq!(value("a"), number("1"));
        assert_eq!(value("customer"), Some(Found::Map));
        for nowhere in ["", "a.id", "customer.age", "id.id", "."] {
            assert_eq!(value(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn values_read_as_they_are_written() {
        for (json, read) in [
            ("7", number("7")),
            ("\"7\"", text("7")),
            ("7.0", number("7")),
            ("-7", number("-7")),
            ("0.5", number("0.5")),
            ("true", Some(Found::Bool(true))),
            ("\"\\u00e9\"", text("é")),
            ("\"\"", text("")),
            ("18446744073709551616", number("18446744073709552000")),
            ("null", Some(Found::Null)),
            ("[\"a\", \"b\"]", text("a")),
            ("[]", Some(Found::List)),
            ("[[7]]", Some(Found::List)),
            ("{}", Some(Found::Map)),
        ] {
            let body = format!("{{\"id\":{json}}}");
            assert_eq!(found("id", Codec::Json, body.as_bytes()), read, "{json}");
        }
        let mut as_it_is = None;
        let path = FieldPath::new("id");
        let body = br#"{"id":[7]}"#;
        let _ = Codec::Json.read(Field::new(&path, &mut as_it_is), body);
        assert_eq!(as_it_is, Some(Found::List));
    }

    #[test]
    fn a_body_is_read_up_to_the_field() {
        let value = |body| found("id", Codec::Json, body);
        assert_eq!(value(br#"{"id": 7, "#), number("7"));
        for body in [&br#"{"name": , "id": 7}"#[..], b"7", b"[]", b"", b"\xff"] {
            assert_eq!(value(body), None);
        }
    }

    #[test]
    #[cfg(feature = "msgpack")]
    fn messagepack_has_fields() {
        let body = b"\x82\x01\xc3\xa2id\x07";
        assert_eq!(found("id", Codec::MessagePack, body), number("7"));
    }

    #[test]
    #[cfg(feature = "cbor")]
    fn cbor_has_fields() {
        let body = b"\xa2\x01\xf5\x62id\x07";
        assert_eq!(found("id", Codec::Cbor, body), number("7"));
    }
}
