//! What came of a message: what its handler decided, or why there is no such thing.
//!
//! - `failure`, `reason`: why a message could not be handled;
//! - `rejection`, `permanent`, `unavailable`, `error_reply`: errors that say more than that.

pub(crate) use self::error_reply::ErrorBody;
#[cfg(feature = "garde")]
pub(crate) use self::failure::cut_field;
pub(crate) use self::failure::{cause, cut};
pub use self::{
    error_reply::{ErrorReply, FieldError},
    failure::Failure,
    permanent::Permanent,
    reason::{Reason, UnknownReason},
    rejection::Rejection,
    unavailable::{OrUnavailable, Unavailable},
};

mod error_reply;
mod failure;
mod permanent;
mod reason;
mod rejection;
mod unavailable;

/// What is done with a message once its handler has returned.
///
/// Handlers seldom name it: `()` and `Ok(())` mean [`Ack`](Outcome::Ack). An error means
/// [`Retry`](Outcome::Retry) with the error as the reason: without a [`Retry`](crate::Retry) that
/// allows another attempt, the message is dead-lettered.
///
/// ```
/// use ploomby::Outcome;
///
/// #[ploomby::handler("rebuild_index")]
/// async fn rebuild_index() -> Outcome {
///     // the index was built a moment ago, and is new enough
///     Outcome::Discard
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The work is done: acknowledge.
    Ack,
    /// Keep a copy in the dead-letter queue, then acknowledge. No attempt follows, whatever the
    /// [`Retry`](crate::Retry) says.
    DeadLetter,
    /// Try again later, as the handler's or the queue's [`Retry`](crate::Retry) says. If it allows
    /// no more attempts, the message is dead-lettered, as
    /// [`RetriesExhausted`](crate::Reason::RetriesExhausted).
    ///
    /// ```
    /// use ploomby::{Outcome, extract::Attempt};
    ///
    /// #[ploomby::handler(retry = 5)]
    /// async fn fetch_report(Attempt(attempt): Attempt) -> Outcome {
    ///     let is_ready = attempt > 2;
    ///     if is_ready { Outcome::Ack } else { Outcome::Retry }
    /// }
    /// ```
    Retry,
    /// Requeue: any consumer may take the message again.
    ///
    /// Each return counts towards the queue's `max_deliveries`. The first time the message is delivered again at
    /// once, later a second later, as a copy that counts. If the order of the queue is kept and `max_deliveries` is
    /// not set, nothing counts, and the message is delivered again at once, each time.
    Requeue,
    /// Acknowledge without having done the work.
    Discard,
}

impl Outcome {
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 5] = [
        Self::Ack,
        Self::Retry,
        Self::DeadLetter,
        Self::Requeue,
        Self::Discard,
    ];

    /// As metrics and the log have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::DeadLetter => "dead_letter",
            Self::Retry => "retry",
            Self::Requeue => "requeue",
            Self::Discard => "discard",
        }
    }
}
