use std::{fmt, sync::Arc, time::Duration};

use super::Reason;
use crate::{extract::Rejection, outcome::Outcome, retry::Permanent};

/// Why a message could not be handled.
#[derive(Clone)]
pub struct Failure {
    pub(crate) reason: Reason,
    /// Whether the handler was called before.
    pub(crate) handler_ran: bool,
    /// In the words that go with the message to the dead-letter queue.
    pub(crate) text: String,
    /// In the words that reach the log, where these must be others: a decoder's error quotes the
    /// body.
    log: Option<String>,
    /// The handler's error, for its retry policy to look at. Messages of a batch share it.
    error: Option<Arc<anyhow::Error>>,
    /// What the error says itself.
    outcome: Option<Outcome>,
}

/// An error of ten megabytes helps no one, and a header has to fit into one frame.
const MAX_TEXT: usize = 8 * 1024;

impl Failure {
    pub(crate) fn new(reason: Reason, text: String) -> Self {
        let text = cut(text, MAX_TEXT);
        Self {
            reason,
            handler_ran: reason.is_after_handler(),
            text,
            log: None,
            error: None,
            outcome: None,
        }
    }

    /// Keeps the text out of the log, which gets this one.
    pub(crate) fn logged_as(mut self, log: String) -> Self {
        self.log = Some(log);
        self
    }

    pub(crate) fn log_text(&self) -> &str {
        self.log.as_deref().unwrap_or(&self.text)
    }

    /// The handler's own error.
    pub(crate) fn handler(error: anyhow::Error) -> Self {
        Self::from_error(Reason::HandlerError, error)
    }

    /// An error with all its causes.
    pub(crate) fn from_error(reason: Reason, error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        let text = format!("{error:#}");
        Self {
            outcome: Rejection::outcome_in(&error),
            error: Some(Arc::new(error)),
            ..Self::new(reason, text)
        }
    }

    /// The handler was dropped.
    pub(crate) fn timed_out(timeout: Duration) -> Self {
        Self::new(
            Reason::Timeout,
            format!("the handler was not done within {timeout:?}"),
        )
    }

    /// [`Outcome::DeadLetter`](crate::Outcome::DeadLetter).
    pub(crate) fn asked_for() -> Self {
        Self {
            handler_ran: true,
            ..Self::new(Reason::Rejected, "the handler asked for it".to_owned())
        }
    }

    /// Says why there is not one more attempt.
    pub(crate) fn without_room(mut self) -> Self {
        self.text
            .push_str("; its headers leave no room to count one more attempt");
        self
    }

    /// [`Outcome::Retry`](crate::Outcome::Retry), which is heard while attempts are left.
    pub(crate) fn asked_to_retry() -> Self {
        Self::new(
            Reason::RetriesExhausted,
            "the handler asked for another attempt, and its `retry` allows no more".to_owned(),
        )
    }

    /// The handler's error, where there is one.
    pub(crate) fn error(&self) -> Option<&anyhow::Error> {
        self.error.as_deref()
    }

    /// What the error says itself about its message.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Whether another attempt may go better.
    pub(crate) fn is_retriable(&self) -> bool {
        match self.outcome {
            Some(outcome) => outcome == Outcome::Retry,
            None => self.is_retriable_by_reason(),
        }
    }

    fn is_retriable_by_reason(&self) -> bool {
        self.reason.is_after_handler() && !self.error().is_some_and(Permanent::is_in)
    }
}

/// The text may quote the body.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// At most so many bytes of a text, and a sign where some are missing.
pub(super) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|&at| text.is_char_boundary(at));
        text.truncate(end.unwrap_or(0));
        text.push_str("… (cut)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_is_cut_between_two_characters() {
        let failure = Failure::new(Reason::Panic, "é".repeat(MAX_TEXT));
        assert!(failure.text.len() <= MAX_TEXT + "… (cut)".len());
        assert!(failure.text.ends_with("é… (cut)"));
    }

    #[test]
    fn an_error_is_told_with_all_its_causes() {
        let error = anyhow::anyhow!("no route").context("cannot reach the database");
        assert_eq!(
            Failure::handler(error).text,
            "cannot reach the database: no route"
        );
    }
}
