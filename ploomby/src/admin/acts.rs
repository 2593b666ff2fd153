//! What is being done with letters, and what was.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use tokio_util::sync::CancellationToken;

use super::text::{beginning, count};

/// So many are remembered.
const MOST: usize = 100;

/// So much is kept of the words that say which letters are meant, in characters.
const MOST_WORDS: usize = 300;

/// All of them, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Acts {
    last: AtomicU64,
    known: Mutex<BTreeMap<u64, Arc<Act>>>,
}

/// Something that is done with letters of a queue.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) number: u64,
    /// Such as `replay`.
    pub(super) what: &'static str,
    pub(super) queue: String,
    /// Which letters, in words.
    pub(super) which: String,
    pub(super) who: String,
    pub(super) since: SystemTime,
    /// Ends it between two letters.
    pub(super) stop: CancellationToken,
    progress: Mutex<Progress>,
}

/// How far it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) done: usize,
    /// About how many there are to be done.
    pub(super) expected: usize,
    pub(super) ended: Option<Ended>,
}

/// How it ended.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    Done,
    Stopped,
    Failed(String),
}

impl Acts {
    /// One that begins; the number of the other one if something is being done with letters of the queue.
    pub(super) fn begin(
        &self,
        what: &'static str,
        queue: &str,
        which: Option<String>,
        who: &str,
        expected: usize,
    ) -> Result<Arc<Act>, u64> {
        let mut known = self.lock();
        if let Some(other) = at_work_in(&known, queue) {
            return Err(other);
        }
        let number = self.last.fetch_add(1, Relaxed) + 1;
        let act = Arc::new(Act {
            number,
            what,
            queue: queue.to_owned(),
            which: which.map_or_else(|| "all".to_owned(), |which| beginning(&which, MOST_WORDS)),
            who: who.to_owned(),
            since: SystemTime::now(),
            stop: CancellationToken::new(),
            progress: Mutex::new(Progress {
                expected,
                ..Progress::default()
            }),
        });
        let over: Vec<_> = known
            .values()
            .filter(|act| act.progress().ended.is_some())
            .map(|act| act.number)
            .collect();
        let too_many = (known.len() + 1).saturating_sub(MOST);
        for number in over.into_iter().take(too_many) {
            known.remove(&number);
        }
        known.insert(number, act.clone());
        Ok(act)
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<Act>> {
        self.lock().get(&number).cloned()
    }

    /// The last ones first.
    pub(super) fn all(&self) -> Vec<Arc<Act>> {
        self.lock().values().rev().cloned().collect()
    }

    /// The number of the one that holds letters of a queue.
    pub(super) fn at_work_in(&self, queue: &str) -> Option<u64> {
        at_work_in(&self.lock(), queue)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<Act>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn at_work_in(acts: &BTreeMap<u64, Arc<Act>>, queue: &str) -> Option<u64> {
    let mut acts = acts.values();
    let found = acts.find(|act| act.queue == queue && act.progress().ended.is_none());
    found.map(|act| act.number)
}

impl Act {
    pub(super) fn progress(&self) -> Progress {
        self.lock().clone()
    }

    pub(super) fn step(&self) {
        self.lock().done += 1;
    }

    pub(super) fn end(&self, ended: Ended) {
        self.lock().ended = Some(ended);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    pub(super) fn words(&self) -> String {
        let done = count(self.done);
        match &self.ended {
            None => format!(
                "{done} of about {} so far",
                count(self.expected.max(self.done))
            ),
            Some(Ended::Done) => format!("{done} done"),
            Some(Ended::Stopped) => {
                format!("stopped after {done}: the other letters are where they were")
            }
            Some(Ended::Failed(why)) => format!("{done} done, then it failed: {why}"),
        }
    }

    /// As a colour.
    pub(super) fn state(&self) -> &'static str {
        match &self.ended {
            None => "none",
            Some(Ended::Done) => "ok",
            Some(Ended::Stopped) => "warn",
            Some(Ended::Failed(_)) => "bad",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_forgotten_and_what_is_at_work_is_not() {
        let acts = Acts::default();
        let words = Some("x".repeat(1_000_000));
        let first = acts.begin("replay", "billing", words, "ada", 5).unwrap();
        assert_eq!(first.which.chars().count(), MOST_WORDS + 1);
        assert_eq!(
            acts.begin("discard", "billing", None, "bob", 5)
                .unwrap_err(),
            first.number
        );
        for _ in 0..2 * MOST {
            let act = acts.begin("replay", "mail", None, "ada", 1).unwrap();
            act.end(Ended::Done);
        }
        assert_eq!(acts.all().len(), MOST);
        assert_eq!(acts.at_work_in("billing"), Some(first.number));
        assert_eq!(acts.at_work_in("mail"), None);
        first.step();
        assert_eq!(first.progress().words(), "1 of about 5 so far");
        first.end(Ended::Failed("no luck".to_owned()));
        assert_eq!(first.progress().words(), "1 done, then it failed: no luck");
        assert_eq!(acts.at_work_in("billing"), None);
    }
}
