use std::io::{self, Read};

use bytes::Bytes;

use super::encoding::Compression;
use crate::outcome::{Failure, Reason};

/// Stops at the limit: what a small body grows to is for its sender to choose.
pub(super) fn decompress(
    compression: Compression,
    body: &[u8],
    limit: usize,
) -> Result<Bytes, Failure> {
    let decompressed = match compression {
        #[cfg(feature = "gzip")]
        Compression::Gzip => read(flate2::bufread::MultiGzDecoder::new(body), limit),
        #[cfg(feature = "gzip")]
        Compression::Deflate => read(flate2::bufread::ZlibDecoder::new(body), limit),
        #[cfg(not(feature = "gzip"))]
        Compression::Gzip | Compression::Deflate => Err(io::ErrorKind::Unsupported.into()),
        #[cfg(not(feature = "zstd"))]
        Compression::Zstd => Err(io::ErrorKind::Unsupported.into()),
        #[cfg(feature = "zstd")]
        Compression::Zstd => zstd_decoder(body, limit).and_then(|decoder| read(decoder, limit)),
    };
    // a decompressor knows nothing of what the bytes mean, and quotes none
    let decompressed = decompressed.map_err(|error| {
        let text = format!("the body does not decompress as {compression:?}");
        Failure::from_error(Reason::Undecodable, anyhow::Error::new(error).context(text))
    })?;
    if decompressed.len() > limit {
        let text = format!(
            "the body is larger than {limit} bytes once it is decompressed; \
             `max_decompressed_size` of the queue sets the limit"
        );
        return Err(Failure::new(Reason::TooLarge, text));
    }
    Ok(decompressed.into())
}

/// One byte more than the limit at most.
fn read(decoder: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut decompressed = Vec::new();
    decoder.take(most).read_to_end(&mut decompressed)?;
    Ok(decompressed)
}

#[cfg(feature = "zstd")]
fn zstd_decoder(body: &[u8], limit: usize) -> io::Result<zstd::Decoder<'static, &[u8]>> {
    let mut decoder = zstd::Decoder::with_buffer(body)?;
    // the window is allocated before the first byte is there. A frame may always ask for 8 MiB
    // (RFC 8878, 3.1.1.1.2), whatever its content
    let window = limit.checked_next_power_of_two().map_or(30, usize::ilog2);
    decoder.window_log_max(window.clamp(23, 30))?;
    Ok(decoder)
}
