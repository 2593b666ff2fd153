use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::lanes::Lane;

/// Looks for a field and stops there. What it found stands beside, since what is left of the body
/// is not read, which a decoder calls an error.
pub(super) struct Field<'a> {
    path: &'a [String],
    found: &'a mut Lane,
}

impl<'a> Field<'a> {
    pub(super) fn new(path: &'a [String], found: &'a mut Lane) -> Self {
        Self { path, found }
    }

    fn read<E: Error>(self, value: impl AsRef<[u8]>) -> Result<(), E> {
        if self.path.is_empty() {
            *self.found = Some(value.as_ref().into());
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fields on the way to the one to order by, and text or a number there")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((name, rest)) = self.path.split_first() else {
            return Ok(());
        };
        while let Some(is_it) = map.next_key_seed(Name(name))? {
            if is_it {
                return map.next_value_seed(Self::new(rest, self.found));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<(), E> {
        self.read(v.to_string())
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<(), E> {
        self.read(v.to_string())
    }

    fn visit_i128<E: Error>(self, v: i128) -> Result<(), E> {
        self.read(v.to_string())
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<(), E> {
        self.read(v.to_string())
    }

    fn visit_u128<E: Error>(self, v: u128) -> Result<(), E> {
        self.read(v.to_string())
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<(), E> {
        self.read(v.to_string())
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<(), E> {
        self.read(v)
    }

    fn visit_bytes<E: Error>(self, v: &[u8]) -> Result<(), E> {
        self.read(v)
    }
}

/// Whether a field has this name.
#[derive(Clone, Copy)]
struct Name<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

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

    fn found(path: &str, codec: Codec, body: &[u8]) -> Option<String> {
        let path: Vec<_> = path.split('.').map(str::to_owned).collect();
        let mut found = None;
        codec.read(Field::new(&path, &mut found), body);
        found.map(|value| String::from_utf8(value.into()).expect("text"))
    }

    #[test]
    fn a_field_is_found_where_it_stands() {
        let body = br#"{"a": [1, {"id": 1}], "customer": {"name": "x", "id": 7}, "id": "8"}"#;
        let value = |path| found(path, Codec::Json, body);
        assert_eq!(value("customer.id").as_deref(), Some("7"));
        assert_eq!(value("id").as_deref(), Some("8"));
        for nowhere in ["", "a", "a.id", "customer", "customer.age", "id.id", "."] {
            assert_eq!(value(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn values_that_read_the_same_are_the_same() {
        for (json, read) in [
            ("7", Some("7")),
            ("\"7\"", Some("7")),
            ("7.0", Some("7")),
            ("-7", Some("-7")),
            ("0.5", Some("0.5")),
            ("true", Some("true")),
            ("\"\\u00e9\"", Some("é")),
            ("\"\"", Some("")),
            ("18446744073709551616", Some("18446744073709552000")),
            ("null", None),
            ("[7]", None),
            ("{}", None),
        ] {
            let body = format!("{{\"id\":{json}}}");
            assert_eq!(found("id", Codec::Json, body.as_bytes()).as_deref(), read);
        }
    }

    #[test]
    fn a_body_is_read_up_to_the_field() {
        let value = |body| found("id", Codec::Json, body);
        assert_eq!(value(br#"{"id": 7, "#).as_deref(), Some("7"));
        for body in [&br#"{"name": , "id": 7}"#[..], b"7", b"[]", b"", b"\xff"] {
            assert_eq!(value(body), None);
        }
    }

    #[test]
    #[cfg(feature = "msgpack")]
    fn messagepack_has_fields() {
        let body = b"\x82\x01\xc3\xa2id\x07";
        assert_eq!(found("id", Codec::MessagePack, body).as_deref(), Some("7"));
    }

    #[test]
    #[cfg(feature = "cbor")]
    fn cbor_has_fields() {
        let body = b"\xa2\x01\xf5\x62id\x07";
        assert_eq!(found("id", Codec::Cbor, body).as_deref(), Some("7"));
    }
}
