use thiserror::Error;

use crate::publisher::PublishError;

/// Why something could not be looked at, or moved.
#[derive(Error)]
#[non_exhaustive]
pub enum OpsError {
    /// The broker is not there, or does not let the program do it.
    #[error("{0}")]
    Broker(Box<dyn std::error::Error + Send + Sync>),
    /// The program has no such queue.
    #[error("the program has no queue `{0}`: it has {1}")]
    NoQueue(String, String),
    /// The queue has no dead-letter queue that ploomby knows.
    #[error(
        "the queue `{0}` leaves its dead letters to the broker: look at the queue that its dead-letter exchange leads to"
    )]
    NoDeadLetterQueue(String),
    /// The dead-letter queue is not there: nothing has consumed its queue yet.
    #[error(
        "there is no dead-letter queue `{0}`: it is declared when its queue is consumed for the first time"
    )]
    NotThere(String),
    /// There is no letter of this name.
    #[error(
        "no letter of those that were looked at is named `{0}`: a name is that of `list`, or at least its last eight characters"
    )]
    NoLetter(String),
    /// A message was not taken.
    #[error("letter {id} stays where it is: {error}")]
    #[non_exhaustive]
    Publish {
        /// The letter.
        id: String,
        /// Why.
        error: PublishError,
    },
    /// A message that was written by hand is not known to be in its queue.
    #[error("{0}")]
    Message(PublishError),
    /// A letter that was edited is not what the program takes.
    #[error("letter {id} stays where it is: edited so, it would come back: {reason}: {error}")]
    #[non_exhaustive]
    Unfit {
        /// The letter.
        id: String,
        /// The [`Reason`](crate::Reason), as text.
        reason: String,
        /// What is wrong with it.
        error: String,
    },
    /// A letter that was replayed first, to see what becomes of it, failed again.
    #[error("a letter that was replayed to try it failed again, and no other is replayed: {0}")]
    CameBack(String),
    /// A file cannot be read or written.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// A line of a file is no letter.
    #[error("line {line} is no letter: {error}")]
    #[non_exhaustive]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        error: String,
    },
}

impl OpsError {
    pub(super) fn broker(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Broker(Box::new(error))
    }
}

debug_is_text!(OpsError);
