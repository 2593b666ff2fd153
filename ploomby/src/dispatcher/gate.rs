use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::{Mutex, Notify};

/// Lets so many pass at the same time, the others in the order in which they came.
///
/// It is what a `Semaphore` is, for one place at a time, without the lock that this takes to give a
/// place back: most handlers are done before another message could ask for their place.
pub(super) struct Gate {
    places: usize,
    taken: AtomicUsize,
    waiting: AtomicUsize,
    /// Held by the first of those who wait; the others are behind in the lock's own queue.
    first: Mutex<()>,
    left: Notify,
}

impl Gate {
    pub(super) fn new(places: usize) -> Self {
        Self {
            places: places.max(1),
            taken: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            first: Mutex::new(()),
            left: Notify::new(),
        }
    }

    /// Takes a place, where there is one and nobody waits for it.
    #[inline]
    pub(super) fn try_enter(&self) -> bool {
        self.waiting.load(SeqCst) == 0 && self.take()
    }

    /// Waits for a place, which is taken until [`leave`](Self::leave).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it takes none.
    pub(super) async fn enter(&self) {
        if self.try_enter() {
            return;
        }
        self.waiting.fetch_add(1, SeqCst);
        let _waiting = Waiting(&self.waiting);
        let _first = self.first.lock().await;
        loop {
            let left = self.left.notified();
            // one who leaves after this look wakes `left`, since it sees who waits
            if self.take() {
                return;
            }
            left.await;
        }
    }

    /// Gives a place back.
    #[inline]
    pub(super) fn leave(&self) {
        self.taken.fetch_sub(1, SeqCst);
        if self.waiting.load(SeqCst) > 0 {
            self.left.notify_one();
        }
    }

    #[inline]
    fn take(&self) -> bool {
        self.taken
            .fetch_update(SeqCst, SeqCst, |taken| {
                (taken < self.places).then_some(taken + 1)
            })
            .is_ok()
    }
}

/// One who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicUsize},
        time::Duration,
    };

    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_pass_than_there_are_places_and_all_pass_in_the_end() {
        let gate = Arc::new(Gate::new(3));
        let inside = Arc::new(AtomicUsize::new(0));
        let all = (0..2_000).map(|number: u32| {
            let (gate, inside) = (gate.clone(), inside.clone());
            tokio::spawn(async move {
                // some give up while they wait
                let patience = Duration::from_micros(if number % 7 == 0 { 1 } else { u64::MAX });
                if timeout(patience, gate.enter()).await.is_err() {
                    return;
                }
                assert!(inside.fetch_add(1, SeqCst) < 3);
                if number % 3 == 0 {
                    tokio::task::yield_now().await;
                }
                inside.fetch_sub(1, SeqCst);
                gate.leave();
            })
        });
        let all = futures_util::future::join_all(all.collect::<Vec<_>>());
        for passed in timeout(Duration::from_secs(60), all).await.unwrap() {
            passed.unwrap();
        }
        assert_eq!(gate.taken.load(SeqCst), 0);
        assert_eq!(gate.waiting.load(SeqCst), 0);
    }

    #[tokio::test]
    async fn who_waits_goes_before_who_comes_later() {
        let gate = Arc::new(Gate::new(1));
        gate.enter().await;
        let mut first = Box::pin(gate.enter());
        assert!(first.as_mut().now_or_never().is_none());
        gate.leave();
        let mut second = Box::pin(gate.enter());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(first.as_mut().now_or_never().is_some());
        gate.leave();
        assert!(second.as_mut().now_or_never().is_some());
    }
}
