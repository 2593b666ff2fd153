use serde::{Deserialize, de::DeserializeSeed};
use serde_cbor_2::Deserializer;

use super::{tracked, undecodable};
use crate::outcome::Failure;

// the decoder skips unknown tags, takes integers for floats and bounds the depth
pub(super) fn decode<'d, T: Deserialize<'d>>(body: &'d [u8]) -> Result<T, Failure> {
    serde_cbor_2::from_slice(body).map_err(|error| {
        let mut deserializer = Deserializer::from_slice(body);
        let path = tracked::<T, _>(&mut deserializer);
        let place = format!("as CBOR, at byte {}", error.offset());
        undecodable(path.as_deref(), &error, &place)
    })
}

pub(super) fn read<'d>(seed: impl DeserializeSeed<'d>, body: &'d [u8]) -> Result<(), Failure> {
    let read = seed.deserialize(&mut Deserializer::from_slice(body));
    read.map(drop)
        .map_err(|error| undecodable(None, &error, "as CBOR"))
}
