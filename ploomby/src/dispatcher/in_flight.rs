use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::delivery::Delivery;

/// The handlers that are waiting for something, to be named when the deadline cuts them off.
#[derive(Default)]
pub(super) struct InFlight(Mutex<Running>);

#[derive(Default)]
struct Running {
    next: u64,
    handlers: HashMap<u64, (&'static str, Delivery, Instant)>,
}

/// A handler that was cut off by the deadline of a shutdown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct CutOff {
    /// The function's name.
    pub handler: &'static str,
    /// The key of its message, where it had one.
    pub key: Option<String>,
}

impl InFlight {
    pub(super) fn enter(&self, handler: &'static str, delivery: Delivery) -> u64 {
        let mut running = self.lock();
        let id = running.next;
        running.next += 1;
        running
            .handlers
            .insert(id, (handler, delivery, Instant::now()));
        id
    }

    pub(super) fn leave(&self, id: u64) {
        self.lock().handlers.remove(&id);
    }

    /// The handler that has held its message for the longest time.
    pub(super) fn longest(&self) -> Option<(&'static str, Duration)> {
        let running = self.lock();
        let oldest = running.handlers.values().min_by_key(|(_, _, since)| *since);
        oldest.map(|(handler, _, since)| (*handler, since.elapsed()))
    }

    pub(super) fn cut_off(&self) -> Vec<CutOff> {
        let running = self.lock();
        let mut cut_off: Vec<_> = running
            .handlers
            .values()
            .map(|(handler, delivery, _)| CutOff {
                handler,
                key: delivery.key().map(|key| key.into_owned()),
            })
            .collect();
        cut_off.sort_unstable();
        cut_off
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.handler)?;
        match &self.key {
            Some(key) => write!(f, " (key {key:?})"),
            None => Ok(()),
        }
    }
}
