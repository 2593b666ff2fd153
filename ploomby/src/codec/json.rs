use std::str;

use serde::{Deserialize, de::DeserializeSeed};
use serde_json::Error;

use super::undecodable;
use crate::outcome::Failure;

mod fault;

pub(super) fn decode<'d, T: Deserialize<'d>>(body: &'d [u8]) -> Result<T, Failure> {
    // the whole is checked faster than each text within
    let payload = match str::from_utf8(body) {
        Ok(body) => serde_json::from_str(body),
        // it may be in what the payload does not read
        Err(_) => serde_json::from_slice(body),
    };
    match payload {
        Ok(payload) => Ok(payload),
        Err(error) => Err(unfit(body, &error, |body| {
            serde_json::from_slice::<T>(body).err()
        })),
    }
}

/// It is the same code for all payloads.
#[cold]
fn unfit<'d>(body: &'d [u8], error: &Error, decode: fn(&'d [u8]) -> Option<Error>) -> Failure {
    // of what is no JSON the place says more
    let path = error.is_data().then(|| path(body, error, decode)).flatten();
    undecodable(path.as_deref(), error, &place(error))
}

fn path<'d>(
    body: &'d [u8],
    error: &Error,
    decode: impl Fn(&'d [u8]) -> Option<Error>,
) -> Option<String> {
    let text = without_place(error);
    fault::path(body, read_up_to(body, error), |end| {
        // another error may tell in words of the payload's own that the beginning ends too early
        decode(&body[..end]).is_some_and(|error| error.is_data() && without_place(&error) == text)
    })
}

/// How many bytes were read.
fn read_up_to(body: &[u8], error: &Error) -> usize {
    let mut lines = body.split_inclusive(|&byte| byte == b'\n');
    let before = error.line().saturating_sub(1);
    let before: usize = lines.by_ref().take(before).map(<[u8]>::len).sum();
    before + error.column()
}

fn place(error: &Error) -> String {
    format!("at line {} column {}", error.line(), error.column())
}

fn without_place(error: &Error) -> String {
    let text = error.to_string();
    match text.strip_suffix(&place(error)) {
        Some(text) => text.to_owned(),
        None => text,
    }
}

pub(super) fn read<'d>(seed: impl DeserializeSeed<'d>, body: &'d [u8]) -> Result<(), Failure> {
    let read = seed.deserialize(&mut serde_json::Deserializer::from_slice(body));
    read.map(drop)
        .map_err(|error| undecodable(None, &error, &place(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct City {
        name: String,
    }

    #[test]
    fn what_is_no_utf_8_matters_where_the_payload_reads_it() {
        let city: City = decode(b"{\"name\": \"Bern\", \"note\": \"caf\xe9\"}").unwrap();
        assert_eq!(city.name, "Bern");
        let failure = decode::<City>(b"{\"name\": \"Gen\xe8ve\"}").unwrap_err();
        assert!(failure.text.contains("invalid unicode"), "{}", failure.text);
    }
}
