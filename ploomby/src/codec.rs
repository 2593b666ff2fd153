//! From the bytes of a body to a value: what the message says about its body decides.
//!
//! - `encoding`, `decompress`: the body as it was before it was compressed;
//! - `aside`: decoding what is large;
//! - `field`: the value of one field, without the others;
//! - `content_type`: which codec a content type names;
//! - `json`, `msgpack`, `cbor`: the codecs.

use serde::{Deserialize, Serialize, de::DeserializeSeed};

pub(crate) use self::{
    aside::aside,
    content_type::Format,
    encoding::Compression,
    field::{Field, FieldPath, Found},
};
use crate::outcome::{Failure, Reason};

mod aside;
#[cfg(feature = "cbor")]
mod cbor;
mod content_type;
#[cfg(any(feature = "gzip", feature = "zstd"))]
mod decompress;
mod encoding;
mod field;
mod json;
#[cfg(feature = "msgpack")]
mod msgpack;

/// A format that `serde` payloads are decoded from.
///
/// The content type of a message names it:
///
/// | codec | content types | feature |
/// |---|---|---|
/// | [`Json`](Self::Json) | `application/json`, what ends in `+json` | |
/// | `MessagePack` | `application/msgpack`, `application/x-msgpack`, `application/vnd.msgpack` | `msgpack` |
/// | `Cbor` | `application/cbor`, what ends in `+cbor` | `cbor` |
///
/// A message that says nothing about its body is decoded by the codec of its queue, JSON unless
/// [`Queue::codec`](crate::Queue::codec) names another. That are messages without a content type,
/// and those with `text/plain` or `application/octet-stream`, which clients set on their own.
/// One of any other content type goes to the dead-letter queue.
///
/// Upper case and parameters mean nothing, but for the charset of JSON, which has to be UTF-8. The
/// types of the other codecs are read as binary formats by `serde` (`is_human_readable` is false):
/// an id or an address that is text in JSON may be bytes there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// JSON, always there.
    #[default]
    Json,
    /// MessagePack, with structs as maps or as arrays, by the feature `msgpack`.
    #[cfg(feature = "msgpack")]
    MessagePack,
    /// CBOR, by the feature `cbor`.
    #[cfg(feature = "cbor")]
    Cbor,
}

impl Codec {
    pub(crate) fn decode<'d, T: Deserialize<'d>>(self, body: &'d [u8]) -> Result<T, Failure> {
        aside(body.len(), || match self {
            Self::Json => json::decode(body),
            #[cfg(feature = "msgpack")]
            Self::MessagePack => msgpack::decode(body),
            #[cfg(feature = "cbor")]
            Self::Cbor => cbor::decode(body),
        })
    }

    pub(crate) fn encode<T: Serialize + ?Sized>(self, payload: &T) -> Result<Vec<u8>, EncodeError> {
        Ok(match self {
            Self::Json => serde_json::to_vec(payload)?,
            // by name, so that other languages and later versions can read it
            #[cfg(feature = "msgpack")]
            Self::MessagePack => rmp_serde::to_vec_named(payload)?,
            #[cfg(feature = "cbor")]
            Self::Cbor => serde_cbor_2::to_vec(&payload)?,
        })
    }

    /// What a message says that it is encoded by this codec.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            #[cfg(feature = "msgpack")]
            Self::MessagePack => "application/msgpack",
            #[cfg(feature = "cbor")]
            Self::Cbor => "application/cbor",
        }
    }

    /// Reads from the body what the seed keeps, as far as it can be read.
    ///
    /// # Errors
    ///
    /// It cannot be read to the end of what the seed reads.
    pub(crate) fn read<'d>(
        self,
        seed: impl DeserializeSeed<'d>,
        body: &'d [u8],
    ) -> Result<(), Failure> {
        match self {
            Self::Json => json::read(seed, body),
            #[cfg(feature = "msgpack")]
            Self::MessagePack => msgpack::read(seed, body),
            #[cfg(feature = "cbor")]
            Self::Cbor => cbor::read(seed, body),
        }
    }
}

/// Why a payload has no body: an error of its own `Serialize`, or a shape that the codec lacks.
pub(crate) type EncodeError = Box<dyn std::error::Error + Send + Sync>;

/// How the bodies of a queue are decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoding {
    /// The codec of messages that say nothing about their body.
    pub(crate) codec: Codec,
    /// How large a compressed body may become, in bytes.
    pub(crate) max_decompressed_size: usize,
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            codec: Codec::Json,
            max_decompressed_size: 16 * 1024 * 1024,
        }
    }
}

/// A body that does not fit the payload. The error may quote the body, and so may the path, which
/// holds keys of maps: what reaches the log is `place`.
fn undecodable(path: Option<&str>, error: &dyn std::fmt::Display, place: &str) -> Failure {
    let path = path.filter(|path| !path.is_empty());
    let field = path.map_or_else(String::new, |path| format!("field `{path}`: "));
    let failure = Failure::new(Reason::Undecodable, format!("{field}{error}"))
        .logged_as(format!("the body does not fit the payload {place}"));
    match path {
        Some(path) => failure.at_field(path.to_owned(), error.to_string()),
        None => failure,
    }
}

/// The path of the field at which decoding failed, where it failed in one.
#[cfg(any(feature = "cbor", feature = "msgpack"))]
fn tracked<'d, T, D>(deserializer: D) -> Option<String>
where
    T: Deserialize<'d>,
    D: serde::Deserializer<'d>,
{
    let error = serde_path_to_error::deserialize::<_, T>(deserializer).err()?;
    let path = error.path();
    path.iter().next().map(|_| path.to_string())
}
