use super::Reason;

/// Why a message could not be handled, in the words that reach the log and the dead-letter queue.
#[derive(Debug)]
pub struct Failure {
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

/// An error of ten megabytes helps no one, and a header has to fit into one frame.
const MAX_TEXT: usize = 8 * 1024;

impl Failure {
    pub(crate) fn new(reason: Reason, mut text: String) -> Self {
        if text.len() > MAX_TEXT {
            let end = (0..=MAX_TEXT).rev().find(|&at| text.is_char_boundary(at));
            text.truncate(end.unwrap_or(0));
            text.push_str("… (cut)");
        }
        Self { reason, text }
    }

    /// The handler's own error.
    pub(crate) fn handler(error: anyhow::Error) -> Self {
        Self::from_error(Reason::HandlerError, error)
    }

    /// An error with all its causes.
    pub(crate) fn from_error(reason: Reason, error: impl Into<anyhow::Error>) -> Self {
        Self::new(reason, format!("{:#}", error.into()))
    }
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
