//! What the log says of messages that fail, however many they are.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use tracing::warn;

use super::{Failure, Reason};

/// The pauses between two lines about one kind of failure.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(60 * 60),
];

/// Of how many kinds a queue's failures are at most. The rest is one kind: texts can be chosen by who
/// publishes.
const MOST_KINDS: usize = 64;

/// Which failures of one queue the log has told.
///
/// The first one of a kind has a line of its own. Those behind it are counted, and told together after
/// 10 s, a minute, ten minutes, and each hour. A kind that was quiet for that long begins anew.
#[derive(Default)]
pub(crate) struct FailureLog(Mutex<HashMap<Kind, Told>>);

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Retried,
    Rejected,
    DeadLettered,
    NotKept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    fate: Fate,
    /// None for what is beyond the kinds that are told apart.
    details: Option<Details>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Details {
    handler: &'static str,
    reason: Option<Reason>,
    /// Stands for the words of the error.
    text: u64,
}

#[derive(Debug)]
struct Told {
    /// When there was a line, last.
    at: Instant,
    /// How many lines there were.
    lines: usize,
    /// How many failures there were since then.
    since: u64,
}

/// What the log says of a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is the first of its kind.
    Whole,
    /// So many of its kind came in this time.
    Counted(u64, Duration),
    /// It is counted.
    Nothing,
}

impl FailureLog {
    pub(super) fn note(&self, fate: Fate, handler: &'static str, failure: &Failure) -> Said {
        self.note_text(fate, handler, Some(failure.reason), failure.log_text())
    }

    pub(super) fn note_text(
        &self,
        fate: Fate,
        handler: &'static str,
        reason: Option<Reason>,
        text: &str,
    ) -> Said {
        let text = fingerprint(text);
        let details = Details {
            handler,
            reason,
            text,
        };
        self.note_at(Kind::of(fate, details), Instant::now())
    }

    fn note_at(&self, mut kind: Kind, now: Instant) -> Said {
        let mut kinds = self.lock();
        if kinds.len() >= MOST_KINDS && !kinds.contains_key(&kind) {
            kind.details = None;
        }
        let Some(told) = kinds.get_mut(&kind) else {
            let told = Told {
                at: now,
                lines: 1,
                since: 0,
            };
            kinds.insert(kind, told);
            return Said::Whole;
        };
        told.since += 1;
        let pause = PAUSES[(told.lines - 1).min(PAUSES.len() - 1)];
        let quiet = now.saturating_duration_since(told.at);
        if quiet < pause {
            return Said::Nothing;
        }
        let count = std::mem::take(&mut told.since);
        told.at = now;
        told.lines += 1;
        // it came back after a time without it
        if count == 1 {
            told.lines = 1;
            return Said::Whole;
        }
        Said::Counted(count, quiet)
    }

    /// Tells what was counted and not told.
    pub(crate) fn finish(&self, queue: &str) {
        for (kind, told) in &mut *self.lock() {
            let count = std::mem::take(&mut told.since);
            if count > 0 {
                let handler = kind.details.map(|details| details.handler);
                let reason = kind.details.and_then(|details| details.reason);
                let reason = reason.map(Reason::as_str);
                let fate = kind.fate.as_str();
                warn!(queue, handler, reason, "{fate}: {count} more until the end");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kind {
    fn of(fate: Fate, details: Details) -> Self {
        Self {
            fate,
            details: Some(details),
        }
    }
}

impl Fate {
    fn as_str(self) -> &'static str {
        match self {
            Self::Retried => "failed, trying again",
            Self::Rejected => "rejected",
            Self::DeadLettered => "dead-lettered",
            Self::NotKept => "not kept",
        }
    }
}

/// The words of an error without those that hold a digit: numbers and ids differ from message to message.
fn fingerprint(text: &str) -> u64 {
    use std::hash::BuildHasher;

    let mut hasher = FixedState::default().build_hasher();
    let words = text.split(|c: char| c.is_whitespace() || c.is_ascii_punctuation());
    for word in words.filter(|word| !word.contains(|c: char| c.is_ascii_digit())) {
        word.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Kind {
        let details = Details {
            handler: "handle",
            reason: Some(Reason::HandlerError),
            text: fingerprint(text),
        };
        Kind::of(Fate::DeadLettered, details)
    }

    #[test]
    fn each_kind_is_told_once_and_then_counted_at_growing_intervals() {
        let log = FailureLog::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(log.note_at(kind("no order 7"), at(0)), Said::Whole);
        assert_eq!(log.note_at(kind("no order 8"), at(1)), Said::Nothing);
        assert_eq!(log.note_at(kind("no stock"), at(1)), Said::Whole);
        let counted = |count, seconds| Said::Counted(count, Duration::from_secs(seconds));
        assert_eq!(log.note_at(kind("no order 9"), at(10)), counted(2, 10));
        for second in 11..70 {
            assert_eq!(log.note_at(kind("no order 9"), at(second)), Said::Nothing);
        }
        assert_eq!(log.note_at(kind("no order 9"), at(70)), counted(60, 60));
        assert_eq!(log.note_at(kind("no order 9"), at(600)), Said::Nothing);
        assert_eq!(log.note_at(kind("no order 9"), at(700)), counted(2, 630));
        // after a quiet hour it is news again
        assert_eq!(log.note_at(kind("no order 9"), at(4_400)), Said::Whole);
        assert_eq!(log.note_at(kind("no order 9"), at(4_401)), Said::Nothing);
    }

    #[test]
    fn texts_that_all_differ_do_not_fill_the_log() {
        let log = FailureLog::default();
        let now = Instant::now();
        let texts = (0..1_000_u32).map(|number| {
            // words of letters alone
            let letters = number.to_string().into_bytes();
            letters
                .into_iter()
                .map(|digit| char::from(digit - b'0' + b'a'))
                .collect::<String>()
        });
        let whole = texts
            .filter(|text| log.note_at(kind(text), now) == Said::Whole)
            .count();
        assert_eq!(whole, MOST_KINDS + 1);
        assert_eq!(log.lock().len(), MOST_KINDS + 1);
    }

    #[test]
    fn what_differs_in_numbers_and_ids_is_of_one_kind() {
        let same = fingerprint("order 17 of 018f-3a2b is late");
        assert_eq!(same, fingerprint("order 9 of 44aa-7 is late"));
        assert_ne!(same, fingerprint("order 17 of 018f-3a2b is lost"));
    }
}
