#![expect(
    clippy::return_self_not_must_use,
    reason = "an assertion returns itself for more of them"
)]

use serde::de::DeserializeOwned;

use super::{
    journal::Journal,
    run::{check, decode, was},
};
use crate::{
    message::{Message, header_names as headers},
    outcome::Reason,
};

/// What is in the dead-letter queue of a queue.
#[derive(Debug)]
pub struct Letters {
    queue: String,
    messages: Vec<Message>,
    journal: Journal,
}

impl Letters {
    pub(super) fn new(queue: &str, messages: Vec<Message>, journal: Journal) -> Self {
        Self {
            queue: queue.to_owned(),
            messages,
            journal,
        }
    }

    /// There are so many.
    #[track_caller]
    pub fn times(self, letters: usize) -> Self {
        let found = self.messages.len();
        let problem = || format!("{} dead-lettered, not {letters}", was(found));
        self.assert(found == letters, problem)
    }

    /// There is one.
    #[track_caller]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// There is none.
    #[track_caller]
    pub fn none(self) {
        let _ = self.times(0);
    }

    /// All of them, and one at least, were given up for this reason.
    #[track_caller]
    pub fn reason(self, reason: Reason) -> Self {
        let found = self.header(headers::REASON);
        let holds = !found.is_empty() && found.iter().all(|found| found == reason.as_str());
        let problem = || match &*found {
            [] => format!("none was dead-lettered, and not by {reason}"),
            found => format!("dead-lettered by {}, not by {reason}", found.join(", ")),
        };
        self.assert(holds, problem)
    }

    /// One of them was given up with an error whose words, with those of its causes, have this text.
    #[track_caller]
    pub fn error(self, text: &str) -> Self {
        let found = self.header(headers::ERROR);
        let holds = found.iter().any(|found| found.contains(text));
        let problem = || match &*found {
            [] => format!("none was dead-lettered, and not with {text:?}"),
            found => format!("dead-lettered with {found:?}, not with {text:?}"),
        };
        self.assert(holds, problem)
    }

    /// The messages themselves, with the headers that tell why.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Their payloads.
    ///
    /// # Panics
    ///
    /// If one does not decode.
    #[must_use]
    #[track_caller]
    pub fn payloads<T: DeserializeOwned>(&self) -> Vec<T> {
        let mut payloads = Vec::new();
        for message in &self.messages {
            match decode(message) {
                Ok(payload) => payloads.push(payload),
                Err(error) => panic!("a dead letter of `{}` does not decode: {error}", self.queue),
            }
        }
        payloads
    }

    fn header(&self, name: &str) -> Vec<String> {
        let texts = self.messages.iter();
        let texts = texts.map(|message| message.headers().text(name).unwrap_or_default());
        texts.map(str::to_owned).collect()
    }

    #[track_caller]
    fn assert(self, holds: bool, problem: impl FnOnce() -> String) -> Self {
        let problem = || format!("dead letters of `{}`: {}", self.queue, problem());
        check(holds, problem, &self.journal);
        self
    }
}
