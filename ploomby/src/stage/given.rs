//! Stages that a URL names, as `memory://name` names a broker: what connects by the URL of a test is part of the test.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::Stage;

/// The parameter of a URL that names a stage.
pub(crate) const PARAMETER: &str = "ploomby_testing";

static GIVEN: Mutex<BTreeMap<u64, Stage>> = Mutex::new(BTreeMap::new());

/// A stage that URLs name, until this is dropped.
#[derive(Debug)]
pub(crate) struct Given(u64);

impl Given {
    pub(crate) fn new(stage: Stage) -> Self {
        // never twice: a URL may outlive its test
        static NUMBER: AtomicU64 = AtomicU64::new(1);

        let number = NUMBER.fetch_add(1, Relaxed);
        lock().insert(number, stage);
        Self(number)
    }

    /// The URL with the name of the stage.
    pub(crate) fn named_by(&self, url: &str) -> String {
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}{PARAMETER}={}", self.0)
    }
}

/// The stage that the value of the parameter means.
pub(crate) fn find(value: &str) -> Option<Stage> {
    lock().get(&value.parse().ok()?).cloned()
}

fn lock() -> MutexGuard<'static, BTreeMap<u64, Stage>> {
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Given {
    fn drop(&mut self) {
        let forgotten = lock().remove(&self.0);
        drop(forgotten);
    }
}
