use serde::{Deserialize, de::DeserializeSeed};

use super::undecodable;
use crate::settle::Failure;

/// On an error decodes once more to learn the path of the field: tracking it costs about as much
/// as decoding.
pub(super) fn decode<'d, T: Deserialize<'d>>(body: &'d [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let tracked = serde_path_to_error::deserialize::<_, T>(&mut deserializer).err();
        let place = format!("at line {} column {}", error.line(), error.column());
        undecodable(
            tracked.as_ref().map(|tracked| tracked.path()),
            &error,
            &place,
        )
    })
}

pub(super) fn read<'d, S: DeserializeSeed<'d>>(
    seed: S,
    body: &'d [u8],
) -> Result<S::Value, serde_json::Error> {
    seed.deserialize(&mut serde_json::Deserializer::from_slice(body))
}
