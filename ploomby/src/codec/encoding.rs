use crate::outcome::{Failure, Reason};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Deflate,
    Zstd,
}

impl Compression {
    /// Reads a list of encodings. Clients put the charset here as well, or `binary`: Celery does,
    /// and Spring, which writes `gzip:utf-8`.
    pub(crate) fn of(encoding: &str) -> Result<Option<Self>, Failure> {
        let mut compression = None;
        for name in encoding.split([',', ':']).map(str::trim) {
            let found = match &*name.to_ascii_lowercase() {
                "" | "identity" | "utf-8" | "utf8" | "us-ascii" | "binary" => continue,
                "gzip" | "x-gzip" => Self::Gzip,
                "deflate" => Self::Deflate,
                "zstd" => Self::Zstd,
                _ => return Err(Self::unknown(encoding)),
            };
            if let Some(feature) = found.missing_feature() {
                return Err(feature_off(encoding, feature));
            }
            if compression.replace(found).is_some() {
                return Err(Self::unknown(encoding));
            }
        }
        Ok(compression)
    }

    fn missing_feature(self) -> Option<&'static str> {
        match self {
            Self::Gzip | Self::Deflate => (!cfg!(feature = "gzip")).then_some("gzip"),
            Self::Zstd => (!cfg!(feature = "zstd")).then_some("zstd"),
        }
    }

    /// The body as it was before it was compressed, of at most so many bytes.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(crate) fn decompress(self, body: &[u8], limit: usize) -> Result<bytes::Bytes, Failure> {
        super::decompress::decompress(self, body, limit)
    }

    pub(crate) fn unknown(encoding: &str) -> Failure {
        const KNOWN: &[&str] = &[
            #[cfg(feature = "gzip")]
            "`gzip`, `deflate`",
            #[cfg(feature = "zstd")]
            "`zstd`",
            "`identity`, `utf-8`, `binary` or none for a body that is not compressed",
        ];
        let known = KNOWN.join(", ");
        let text = format!("the content encoding {encoding:?} is not known; known are {known}");
        Failure::new(Reason::UnsupportedContentEncoding, text)
    }
}

fn feature_off(encoding: &str, feature: &str) -> Failure {
    let text = format!(
        "the content encoding {encoding:?} takes ploomby's feature `{feature}`, which is off"
    );
    Failure::new(Reason::UnsupportedContentEncoding, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charset_is_no_compression() {
        for plain in ["", "identity", "UTF-8", "utf8", "binary", "identity, utf-8"] {
            let compression = Compression::of(plain).map_err(|failure| failure.text.clone());
            assert_eq!(compression, Ok(None), "{plain}");
        }
    }

    #[test]
    #[cfg(feature = "gzip")]
    fn a_compression_is_found_beside_a_charset() {
        for gzip in ["gzip", "X-Gzip", "gzip:utf-8", "gzip, utf-8", "utf-8,gzip"] {
            let compression = Compression::of(gzip).map_err(|failure| failure.text.clone());
            assert_eq!(compression, Ok(Some(Compression::Gzip)), "{gzip}");
        }
    }

    #[test]
    fn what_is_not_known_is_an_error_that_lists_what_is() {
        for wrong in ["br", "latin1", "gzip, br"] {
            let failure = Compression::of(wrong).expect_err(wrong);
            assert_eq!(failure.reason, Reason::UnsupportedContentEncoding);
            assert!(failure.text.contains('`'), "{}", failure.text);
        }
        assert!(Compression::of("gzip, gzip").is_err());
    }

    #[test]
    #[cfg(not(feature = "gzip"))]
    fn a_feature_that_is_off_is_named() {
        let failure = Compression::of("gzip").expect_err("it is off");
        assert!(failure.text.contains("`gzip`"), "{}", failure.text);
    }
}
