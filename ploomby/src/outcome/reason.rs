use std::{fmt, str::FromStr};

use thiserror::Error;

/// Why a message was dead-lettered: the value of its header `ploomby-reason`.
///
/// ```
/// use ploomby::Reason;
///
/// assert_eq!(Reason::UnknownKey.as_str(), "unknown-key");
/// assert_eq!(Reason::from_name("panic"), Some(Reason::Panic));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The header or property that names the handler is not there.
    MissingKey,
    /// It is there, but reads neither as text nor as a number.
    InvalidKey,
    /// No handler has the key, and there is no default one.
    UnknownKey,
    /// The body does not decode into the payload.
    Undecodable,
    /// The content type is not known, or not to this payload.
    UnsupportedContentType,
    /// The body is compressed, or encoded otherwise, in a way that is not known.
    UnsupportedContentEncoding,
    /// The body is larger than the queue allows, as it is or once it is decompressed.
    TooLarge,
    /// The payload was decoded, and its validation failed.
    Invalid,
    /// An extractor refused the message, or the handler asked for it.
    Rejected,
    /// The handler returned an error.
    HandlerError,
    /// The handler panicked.
    Panic,
    /// The handler was not done within its timeout.
    Timeout,
    /// The handler asked for another attempt when there was none left.
    RetriesExhausted,
    /// Its handler gave the message back too often.
    TooManyDeliveries,
    /// The process died over the message, again and again, while the message was alone.
    CrashesTheProcess,
    /// The message could not be read at all. No message gets this any more, but one that lies in a dead-letter
    /// queue for longer may have it.
    Malformed,
}

impl Reason {
    /// How many there are.
    #[cfg(feature = "metrics")]
    pub(crate) const COUNT: usize = Self::ALL.len();

    pub(crate) const ALL: [Self; 16] = [
        Self::MissingKey,
        Self::InvalidKey,
        Self::UnknownKey,
        Self::Undecodable,
        Self::UnsupportedContentType,
        Self::UnsupportedContentEncoding,
        Self::TooLarge,
        Self::Invalid,
        Self::Rejected,
        Self::HandlerError,
        Self::Panic,
        Self::Timeout,
        Self::RetriesExhausted,
        Self::TooManyDeliveries,
        Self::CrashesTheProcess,
        Self::Malformed,
    ];

    /// Its place among all of them.
    #[cfg(feature = "metrics")]
    #[inline]
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The reason as it stands in the header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingKey => "missing-key",
            Self::InvalidKey => "invalid-key",
            Self::UnknownKey => "unknown-key",
            Self::Undecodable => "undecodable",
            Self::UnsupportedContentType => "unsupported-content-type",
            Self::UnsupportedContentEncoding => "unsupported-content-encoding",
            Self::TooLarge => "too-large",
            Self::Invalid => "invalid",
            Self::Rejected => "rejected",
            Self::HandlerError => "handler-error",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::RetriesExhausted => "retries-exhausted",
            Self::TooManyDeliveries => "too-many-deliveries",
            Self::CrashesTheProcess => "crashes-the-process",
            Self::Malformed => "malformed",
        }
    }

    /// Whether the handler ran before the message was found wanting.
    pub(super) fn is_after_handler(self) -> bool {
        matches!(
            self,
            Self::HandlerError | Self::Panic | Self::Timeout | Self::RetriesExhausted
        )
    }

    /// What somebody is told who may not see errors.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::MissingKey => "nothing names a handler",
            Self::InvalidKey => "what names the handler cannot be read",
            Self::UnknownKey => "there is no handler of this key",
            Self::Undecodable => "the body does not fit the payload",
            Self::UnsupportedContentType => "the content type is not taken",
            Self::UnsupportedContentEncoding => "the content encoding is not taken",
            Self::TooLarge => "the body is too large",
            Self::Invalid => "the payload is not valid",
            Self::Rejected => "the message was rejected",
            Self::HandlerError | Self::Panic => "the handler failed",
            Self::Timeout => "the handler was not done in time",
            Self::RetriesExhausted => "no attempt is left",
            Self::TooManyDeliveries => "the message was given back too often",
            Self::CrashesTheProcess => "the process ended again and again over the message",
            Self::Malformed => "the message cannot be read",
        }
    }

    /// The reason that a header holds.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// As [`from_name`](Reason::from_name).
impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(name: &str) -> Result<Self, UnknownReason> {
        Self::from_name(name).ok_or(UnknownReason)
    }
}

/// A text that names no [`Reason`], such as one of a later version of ploomby.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no message is dead-lettered for this reason: the names are those of `Reason::as_str`")]
pub struct UnknownReason;

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Reason, UnknownReason};

    #[test]
    fn every_reason_is_found_by_its_name() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::from_name("bad luck"), None);
        assert_eq!("panic".parse(), Ok(Reason::Panic));
        assert_eq!("bad luck".parse::<Reason>(), Err(UnknownReason));
    }
}
