//! A value to reply with that is, or holds, the `Err` of a `Result`. It would be sent as a value, and the message
//! acknowledged, although the handler failed.
//!
//! Serde says of a `Result` that it is an enum of this name, so a serializer that writes nothing finds an `Err`. It
//! looks where the attribute does, which compiles none of these: into what holds other values, not into structs and
//! enums of the program's own. As a rule it is done at once.

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{Error, Impossible, SerializeMap, SerializeSeq, SerializeTuple},
};

/// How many levels of lists, maps and tuples are looked into.
const DEPTH: u8 = 8;

/// Whether the value is an `Err`, or holds one.
pub(super) fn holds_error<T: Serialize + ?Sized>(value: &T) -> bool {
    matches!(value.serialize(Look { depth: DEPTH }), Err(Found::Error))
}

#[derive(Clone, Copy)]
struct Look {
    depth: u8,
}

/// What ends the look at a value.
#[derive(Debug)]
enum Found {
    /// The `Err` of a `Result`.
    Error,
    /// A value of the program's own.
    Own,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not looked into")
    }
}

impl std::error::Error for Found {}

impl Error for Found {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Own
    }
}

impl Look {
    fn look_into<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Found> {
        match value.serialize(self) {
            Err(Found::Error) => Err(Found::Error),
            // what stands beside it may be one
            Err(Found::Own) | Ok(()) => Ok(()),
        }
    }

    fn deeper(self) -> Result<Self, Found> {
        let depth = self.depth.checked_sub(1).ok_or(Found::Own)?;
        Ok(Self { depth })
    }
}

macro_rules! leaf {
    ($($method:ident($($type:ty),*)),+ $(,)?) => {$(
        #[inline]
        fn $method(self, $(_: $type),*) -> Result<(), Found> {
            Ok(())
        }
    )+};
}

impl Serializer for Look {
    type Ok = ();
    type Error = Found;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeMap = Self;
    type SerializeTupleStruct = Impossible<(), Found>;
    type SerializeTupleVariant = Impossible<(), Found>;
    type SerializeStruct = Impossible<(), Found>;
    type SerializeStructVariant = Impossible<(), Found>;

    leaf! {
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
        serialize_none(),
        serialize_unit(),
        serialize_unit_struct(&'static str),
        serialize_unit_variant(&'static str, u32, &'static str),
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Found> {
        self.look_into(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Found> {
        match (name, variant) {
            ("Result", "Err") => Err(Found::Error),
            ("Result", "Ok") => self.look_into(value),
            // a bound of a range holds others
            ("Bound", _) => self.look_into(value),
            _ => Err(Found::Own),
        }
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Found> {
        self.deeper()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Found> {
        self.deeper()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Found> {
        self.deeper()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<(), Found> {
        Err(Found::Own)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Found> {
        Err(Found::Own)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Found> {
        Err(Found::Own)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Found> {
        Err(Found::Own)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Found> {
        Err(Found::Own)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<(), Found> {
        Ok(())
    }
}

impl SerializeSeq for Look {
    type Ok = ();
    type Error = Found;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
        self.look_into(value)
    }

    fn end(self) -> Result<(), Found> {
        Ok(())
    }
}

impl SerializeTuple for Look {
    type Ok = ();
    type Error = Found;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
        self.look_into(value)
    }

    fn end(self) -> Result<(), Found> {
        Ok(())
    }
}

impl SerializeMap for Look {
    type Ok = ();
    type Error = Found;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
        self.look_into(value)
    }

    fn end(self) -> Result<(), Found> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Mutex};

    use super::*;

    #[test]
    fn an_error_is_found_wherever_a_value_holds_others() {
        type Tried = Result<u8, &'static str>;

        let failed: Tried = Err("no");
        assert!(holds_error(&failed));
        assert!(holds_error(&Box::new(failed)));
        assert!(holds_error(&Some(failed)));
        assert!(holds_error(&Mutex::new(failed)));
        assert!(holds_error(&vec![Ok(1), failed]));
        assert!(holds_error(&(1, failed)));
        assert!(holds_error(&[Some((1, vec![failed]))]));
        assert!(holds_error(&BTreeMap::from([("a", Ok(1)), ("b", failed)])));
        assert!(holds_error(&Ok::<_, ()>(failed)));
        assert!(holds_error(&std::ops::Bound::Included(failed)));
        let worked: Tried = Ok(1);
        assert!(!holds_error(&worked));
        assert!(!holds_error(&vec![Some(worked)]));
    }

    #[test]
    fn what_a_program_writes_into_types_of_its_own_is_its_value() {
        #[derive(Serialize)]
        struct Report {
            tried: Result<u8, &'static str>,
        }

        #[derive(Serialize)]
        enum Verdict {
            Err(u8),
        }

        let report = Report { tried: Err("no") };
        assert!(!holds_error(&report));
        assert!(!holds_error(&vec![report]));
        assert!(!holds_error(&Verdict::Err(1)));
        assert!(!holds_error(&"Err"));
        let deep = (0..20).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        assert!(!holds_error(&deep));
    }
}
