use serde::{Deserialize, de::DeserializeSeed};
use serde_json::Error;

use super::undecodable;
use crate::settle::Failure;

mod fault;

pub(super) fn decode<'d, T: Deserialize<'d>>(body: &'d [u8]) -> Result<T, Failure> {
    match serde_json::from_slice(body) {
        Ok(payload) => Ok(payload),
        Err(error) => Err(unfit(body, &error, |body| {
            serde_json::from_slice::<T>(body).err()
        })),
    }
}

/// It is the same code for all payloads.
#[cold]
fn unfit<'d>(body: &'d [u8], error: &Error, decode: fn(&'d [u8]) -> Option<Error>) -> Failure {
    let place = format!("at line {} column {}", error.line(), error.column());
    // of what is no JSON the place says more
    let path = error.is_data().then(|| {
        fault::path(body, |end| {
            decode(&body[..end]).is_some_and(|error| error.is_data())
        })
    });
    undecodable(path.as_deref(), error, &place)
}

pub(super) fn read<'d, S: DeserializeSeed<'d>>(
    seed: S,
    body: &'d [u8],
) -> Result<S::Value, serde_json::Error> {
    seed.deserialize(&mut serde_json::Deserializer::from_slice(body))
}
