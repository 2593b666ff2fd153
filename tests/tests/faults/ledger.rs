use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ploomby_tests::{Received, eventually};

/// When each number was handled.
///
/// It lives as long as the process, so that handlers can copy it.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<u32, Vec<Instant>>>);

impl Ledger {
    pub(crate) fn new() -> &'static Self {
        Box::leak(Box::default())
    }

    pub(crate) fn note(&self, number: u32) {
        self.lock().entry(number).or_default().push(Instant::now());
    }

    /// How many numbers were handled.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn numbers(&self) -> BTreeSet<u32> {
        self.lock().keys().copied().collect()
    }

    /// How many were handled more than once.
    pub(crate) fn duplicates(&self) -> usize {
        self.lock().values().filter(|times| times.len() > 1).count()
    }

    /// How many were handled more than so long before that moment, and again after it.
    pub(crate) fn duplicates_of_before(&self, moment: Instant, long: Duration) -> usize {
        let is_one = |times: &&Vec<Instant>| {
            times.iter().any(|&time| time + long < moment)
                && times.iter().any(|&time| time > moment)
        };
        self.lock().values().filter(is_one).count()
    }

    /// When something was handled first after that moment.
    pub(crate) fn first_after(&self, moment: Instant) -> Option<Instant> {
        let ledger = self.lock();
        let after = ledger.values().flatten().filter(|&&time| time > moment);
        after.min().copied()
    }

    /// Waits until so many numbers were handled.
    #[track_caller]
    pub(crate) fn until(&self, len: usize, deadline: Duration) -> impl Future<Output = ()> {
        eventually(deadline, async move || self.len() >= len)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Vec<Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The numbers in the bodies, and how many came more than once.
pub(crate) fn numbers(messages: &[Received]) -> (BTreeSet<u32>, usize) {
    let number = |message: &Received| String::from_utf8_lossy(&message.body).parse().unwrap();
    let numbers: BTreeSet<u32> = messages.iter().map(number).collect();
    let duplicates = messages.len() - numbers.len();
    (numbers, duplicates)
}
