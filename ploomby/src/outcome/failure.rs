use std::{any::type_name, fmt, ops::Deref, sync::Arc, time::Duration};

use super::{ErrorReply, Outcome, Permanent, Reason, Rejection};

/// Why a message could not be handled. It is seldom there, so it is one pointer wide.
#[derive(Clone)]
pub struct Failure(Box<Details>);

/// What a [`Failure`] holds.
#[derive(Clone)]
pub struct Details {
    pub(crate) reason: Reason,
    /// Whether the handler was called before.
    pub(crate) handler_ran: bool,
    /// In the words that go with the message to the dead-letter queue.
    pub(crate) text: String,
    /// The words for the log, if these must be others: a decoder's error quotes the
    /// body.
    log: Option<String>,
    /// The handler's error, for its retry policy to look at. Messages of a batch share it.
    error: Option<Arc<anyhow::Error>>,
    /// The type of that error, where it has a name of its own.
    pub(crate) error_type: Option<&'static str>,
    /// Where it panicked, `file:line`.
    pub(crate) location: Option<String>,
    /// The fields of the payload that are at fault.
    fields: Vec<(String, String)>,
    /// What the error says itself.
    outcome: Option<Outcome>,
}

/// An error of ten megabytes helps no one, and a header has to fit into one frame.
const MAX_TEXT: usize = 8 * 1024;

/// There may be a hundred fields at fault.
const MAX_FIELD_TEXT: usize = 1024;

impl Failure {
    pub(crate) fn new(reason: Reason, text: String) -> Self {
        let text = cut(text, MAX_TEXT);
        Self(Box::new(Details {
            reason,
            handler_ran: reason.is_after_handler(),
            text,
            log: None,
            error: None,
            error_type: None,
            location: None,
            fields: Vec::new(),
            outcome: None,
        }))
    }

    /// Keeps the text out of the log, which gets this one.
    pub(crate) fn logged_as(mut self, log: String) -> Self {
        self.0.log = Some(log);
        self
    }

    pub(crate) fn log_text(&self) -> &str {
        self.log.as_deref().unwrap_or(&self.text)
    }

    /// What is wrong with the body keeps the key from being found, in these words.
    pub(crate) fn in_place_of_key(mut self, text: String) -> Self {
        self.0.log.get_or_insert_with(|| self.0.text.clone());
        self.0.text = cut(text, MAX_TEXT);
        self
    }

    /// The handler's own error.
    pub(crate) fn handler(error: anyhow::Error) -> Self {
        Self::from_error(Reason::HandlerError, error)
    }

    /// The same, where its type is known.
    pub(crate) fn of<E: Into<anyhow::Error>>(error: E) -> Self {
        let mut failure = Self::handler(error.into());
        let error_type = type_name::<E>();
        failure.0.error_type = (error_type != type_name::<anyhow::Error>()).then_some(error_type);
        failure
    }

    /// Says where it panicked.
    pub(crate) fn at(mut self, location: Option<String>) -> Self {
        self.0.location = location;
        self
    }

    /// An error with all its causes.
    pub(crate) fn from_error(reason: Reason, error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        let text = format!("{error:#}");
        let mut failure = Self::new(reason, text);
        failure.0.outcome = cause::<Rejection>(&error).map(Rejection::outcome);
        failure.0.error = Some(Arc::new(error));
        failure
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
        let mut failure = Self::new(Reason::Rejected, "the handler asked for it".to_owned());
        failure.0.handler_ran = true;
        failure
    }

    /// Says why there is not one more attempt.
    pub(crate) fn without_copy(mut self, why: &str) -> Self {
        self.0.text.push_str("; ");
        self.0.text.push_str(&cut(why.to_owned(), MAX_FIELD_TEXT));
        self
    }

    /// The handler is done, and nobody hears of it: its reply is one that no try sends.
    pub(crate) fn reply_not_taken(error: impl fmt::Display) -> Self {
        let text = format!("the handler is done, and its reply was not sent: {error}");
        let mut failure = Self::new(Reason::HandlerError, text);
        failure.0.outcome = Some(Outcome::DeadLetter);
        failure
    }

    /// [`Outcome::Retry`](crate::Outcome::Retry), which is heard while attempts are left.
    pub(crate) fn asked_to_retry() -> Self {
        Self::new(
            Reason::RetriesExhausted,
            "the handler asked for another attempt, and its `retry` allows no more".to_owned(),
        )
    }

    /// Names a field of the payload that is at fault, and what is wrong with it.
    pub(crate) fn at_field(mut self, field: String, text: String) -> Self {
        self.0.fields.push((cut_field(field), cut_field(text)));
        self
    }

    /// What who asked is told. Texts may hold secrets of the program, such as the address of a database: without
    /// them it is the reason, and what is wrong with the fields that the sender wrote.
    pub(crate) fn error_reply(&self, exposes_texts: bool) -> ErrorReply {
        if let Some(error) = self.error().and_then(cause::<ErrorReply>) {
            return error.clone();
        }
        let text = match exposes_texts {
            true => self.text.as_str(),
            false => self.reason.in_words(),
        };
        let error = ErrorReply::new(self.reason.as_str(), text);
        self.fields
            .iter()
            .fold(error, |error, (field, text)| error.field(field, text))
    }

    /// The handler's error, if there is one.
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
        self.reason.is_after_handler() && self.error().and_then(cause::<Permanent>).is_none()
    }
}

impl Deref for Failure {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text may quote the body.
impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// An error itself, or the first of its causes, that is an `E`.
pub(crate) fn cause<E>(error: &anyhow::Error) -> Option<&E>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let cause = error.chain().find_map(|cause| cause.downcast_ref());
    // what is below a context of `anyhow` is found by its own look alone
    cause.or_else(|| error.downcast_ref())
}

/// The path of a field, which holds keys that the sender chose, or what is wrong with it.
pub(crate) fn cut_field(text: String) -> String {
    cut(text, MAX_FIELD_TEXT)
}

/// At most `most` bytes of a text, and a sign if some are missing.
pub(crate) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|&at| text.is_char_boundary(at));
        text.truncate(end.unwrap_or(0));
        text.shrink_to_fit();
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
