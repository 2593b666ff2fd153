use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

use http::Extensions;
use tokio_util::sync::CancellationToken;

use super::{KeyReader, Replying, Returns};
use crate::codec::Decoding;

/// Where deliveries come from, the same for all of a queue.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) queue: String,
    pub(crate) key: KeyReader,
    pub(crate) words: KeyWords,
    pub(crate) decoding: Decoding,
    pub(crate) reply_style: ReplyStyle,
    pub(crate) replying: Arc<Replying>,
    pub(crate) returns: Returns,
    /// What the program gave its handlers.
    pub(crate) state: Arc<Extensions>,
    /// What an extractor of ploomby's made of `state` for this queue, once: the publisher with the
    /// queue's key.
    pub(crate) fitted: OnceLock<Box<dyn Any + Send + Sync>>,
    /// Shutdown has begun.
    pub(crate) stop: CancellationToken,
    /// Messages are decoded to see whether they fit, and no handler has them.
    pub(crate) is_trial: bool,
}

/// How the replies of a callee are to be read, or written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReplyStyle {
    #[default]
    Ploomby,
    /// That of the Python original.
    Python,
}

/// Finds the words of a key that stand for the wildcards of the pattern that named its handler.
#[derive(Clone)]
pub(crate) struct KeyWords(Arc<FindWords>);

type FindWords = dyn Fn(&str) -> Vec<String> + Send + Sync;

impl KeyWords {
    pub(crate) fn new(find: impl Fn(&str) -> Vec<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    pub(super) fn of(&self, key: &str) -> Vec<String> {
        (self.0)(key)
    }
}

impl Default for KeyWords {
    fn default() -> Self {
        Self::new(|_| Vec::new())
    }
}

impl fmt::Debug for KeyWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWords").finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Source {
    pub(super) fn of_queue(queue: &str) -> Self {
        Self {
            queue: queue.to_owned(),
            key: KeyReader::RoutingKey,
            words: KeyWords::default(),
            decoding: Decoding::default(),
            reply_style: ReplyStyle::default(),
            replying: Arc::default(),
            returns: Returns::default(),
            state: Arc::default(),
            fitted: OnceLock::new(),
            stop: CancellationToken::new(),
            is_trial: false,
        }
    }
}
