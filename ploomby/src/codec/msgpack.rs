use rmp_serde::{Deserializer, decode::Error};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Error as _},
};

use super::{tracked, undecodable};
use crate::outcome::Failure;

/// As deep as JSON may be nested: each level takes from the stack.
const MAX_DEPTH: usize = 128;

pub(super) fn decode<'d, T: Deserialize<'d>>(body: &'d [u8]) -> Result<T, Failure> {
    from_slice(body).map_err(|error| {
        let mut deserializer = Deserializer::from_read_ref(body);
        deserializer.set_max_depth(MAX_DEPTH);
        let path = tracked::<T, _>(&mut deserializer);
        undecodable(path.as_deref(), &error, "as MessagePack")
    })
}

fn from_slice<'d, T: Deserialize<'d>>(body: &'d [u8]) -> Result<T, Error> {
    let mut deserializer = Deserializer::from_read_ref(body);
    deserializer.set_max_depth(MAX_DEPTH);
    let value = T::deserialize(&mut deserializer)?;
    // a unit is one byte: there is none where the body is at its end
    match <()>::deserialize(&mut deserializer) {
        Err(Error::InvalidMarkerRead(_)) => Ok(value),
        _ => Err(Error::custom("trailing bytes")),
    }
}

pub(super) fn read<'d>(seed: impl DeserializeSeed<'d>, body: &'d [u8]) -> Result<(), Failure> {
    let mut deserializer = Deserializer::from_read_ref(body);
    deserializer.set_max_depth(MAX_DEPTH);
    let read = seed.deserialize(&mut deserializer);
    read.map(drop)
        .map_err(|error| undecodable(None, &error, "as MessagePack"))
}
