use super::Delivery;
use crate::{codec::Compression, outcome::Failure};

/// The body as it was before it was compressed.
#[inline]
pub(crate) fn plain_body(delivery: &Delivery) -> Result<&[u8], Failure> {
    match delivery.properties().content_encoding() {
        None => Ok(delivery.body()),
        Some(encoding) => decoded(delivery, encoding),
    }
}

#[cold]
fn decoded<'d>(delivery: &'d Delivery, encoding: &str) -> Result<&'d [u8], Failure> {
    match Compression::of(encoding)? {
        None => Ok(delivery.body()),
        #[cfg(any(feature = "gzip", feature = "zstd"))]
        Some(compression) => {
            delivery.decompressed(|limit| compression.decompress(delivery.body(), limit))
        }
        #[cfg(not(any(feature = "gzip", feature = "zstd")))]
        Some(_) => Err(Compression::unknown(encoding)),
    }
}
