use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::gate::Gate;
use crate::handler::QueuePolicy;

/// How many handlers of a queue may run at the same time, and how much they may hold.
pub(super) struct Room {
    handlers: Gate,
    bytes: Option<Bytes>,
    /// What waits for its turn before it takes a place: a source may be without a prefetch.
    waiting: Arc<Semaphore>,
}

/// Bodies are counted in whole KiB.
struct Bytes {
    kib: Semaphore,
    all: u32,
}

/// A place for one handler.
pub(super) struct Place<'a> {
    handlers: Entered<'a>,
    body: Option<SemaphorePermit<'a>>,
}

const KIB: usize = 1024;

impl Room {
    pub(super) fn new(policy: &QueuePolicy) -> Self {
        let by_default = policy.default_concurrency();
        let concurrency = policy.concurrency.unwrap_or(by_default);
        let semaphore = |permits: usize| Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            handlers: Gate::new(concurrency),
            waiting: Arc::new(semaphore(by_default)),
            bytes: policy.max_in_flight_bytes.map(Bytes::new),
        }
    }

    /// A place, where there is one at once.
    #[inline]
    pub(super) fn try_enter(&self) -> Option<Place<'_>> {
        // with a limit in bytes, a place is more than one of the gate's
        let has_entered = self.bytes.is_none() && self.handlers.try_enter();
        has_entered.then(|| Place {
            handlers: Entered(Some(&self.handlers)),
            body: None,
        })
    }

    /// Waits for a place.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it takes none.
    pub(super) async fn enter(&self, body_len: usize) -> Place<'_> {
        self.handlers.enter().await;
        let handlers = Entered(Some(&self.handlers));
        let body = match &self.bytes {
            Some(bytes) => {
                let kib = bytes.kib.acquire_many(bytes.count(body_len));
                Some(kib.await.expect(NEVER_CLOSED))
            }
            None => None,
        };
        Place { handlers, body }
    }

    /// Waits for room to wait in.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it takes none.
    pub(super) async fn wait(&self) -> OwnedSemaphorePermit {
        let room = self.waiting.clone().acquire_owned();
        room.await.expect(NEVER_CLOSED)
    }

    /// Gives back a place that was [kept](Place::keep).
    pub(super) fn leave(&self, body_len: usize) {
        self.handlers.leave();
        if let Some(bytes) = &self.bytes {
            let kib = bytes.count(body_len);
            bytes
                .kib
                .add_permits(usize::try_from(kib).unwrap_or(usize::MAX));
        }
    }
}

const NEVER_CLOSED: &str = "the semaphore is never closed";

/// A place that is given back when it is dropped.
struct Entered<'a>(Option<&'a Gate>);

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(gate) = self.0 {
            gate.leave();
        }
    }
}

impl Place<'_> {
    /// Keeps the place until [`Room::leave`].
    pub(super) fn keep(mut self) {
        self.handlers.0 = None;
        if let Some(body) = self.body {
            body.forget();
        }
    }
}

impl Bytes {
    fn new(most: usize) -> Self {
        let all = (most / KIB).clamp(1, Semaphore::MAX_PERMITS);
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        Self {
            kib: Semaphore::new(usize::try_from(all).unwrap_or(usize::MAX)),
            all,
        }
    }

    /// A single larger body takes all there is.
    fn count(&self, body_len: usize) -> u32 {
        u32::try_from(body_len.div_ceil(KIB)).map_or(self.all, |kib| kib.min(self.all))
    }
}
