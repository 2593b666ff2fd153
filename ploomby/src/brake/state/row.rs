use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

/// Failures without a success between them.
#[derive(Debug, Default)]
pub(super) struct Row {
    since: Option<Instant>,
    /// So that one message which fails again and again counts once.
    messages: HashSet<u64>,
}

/// Whether a brake would help that the program did not ask for.
#[derive(Debug)]
pub(super) enum Hint {
    Counting {
        count: u32,
        since: Option<Instant>,
    },
    /// Many failed: from here on successes are looked for.
    Watching,
    Told,
}

/// Failures in a row mean something only if they last.
const LONG_ROW: Duration = Duration::from_secs(5);

/// How many failures make it worth a line that a brake would have helped, and within which time they are looked for.
pub(super) const MANY_FAILURES: u32 = 50;
const HINT_WINDOW: Duration = Duration::from_secs(60);

impl Row {
    pub(super) fn is_open(&self) -> bool {
        self.since.is_some()
    }

    /// Whether so many messages have failed for as long.
    pub(super) fn add(&mut self, message: u64, wanted: u32, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        if self.messages.len() < wanted {
            self.messages.insert(message);
        }
        self.messages.len() >= wanted && now - since >= LONG_ROW
    }
}

impl Default for Hint {
    fn default() -> Self {
        Self::Counting {
            count: 0,
            since: None,
        }
    }
}

impl Hint {
    pub(super) fn count(&mut self, now: Instant) {
        let Self::Counting { count, since } = self else {
            return;
        };
        if since.is_none_or(|since| now - since > HINT_WINDOW) {
            (*count, *since) = (0, Some(now));
        }
        *count += 1;
        if *count >= MANY_FAILURES {
            *self = Self::Watching;
        }
    }
}
