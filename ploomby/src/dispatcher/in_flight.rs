use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The handlers that are waiting for something, to be named when the deadline cuts them off.
#[derive(Default)]
pub(super) struct InFlight(Mutex<Running>);

#[derive(Default)]
struct Running {
    next: u64,
    names: HashMap<u64, &'static str>,
}

impl InFlight {
    pub(super) fn enter(&self, name: &'static str) -> u64 {
        let mut running = self.lock();
        let id = running.next;
        running.next += 1;
        running.names.insert(id, name);
        id
    }

    pub(super) fn leave(&self, id: u64) {
        self.lock().names.remove(&id);
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.lock().names.values().copied().collect();
        names.sort_unstable();
        names
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
