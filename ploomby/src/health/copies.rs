use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::Trouble;

/// A copy that is not safe by then is a trouble.
const SLOW: Duration = Duration::from_secs(5);

/// Longer than a message is held whose copy was not kept: after that it was tried again, or needs
/// no copy any more.
const STALE: Duration = Duration::from_secs(120);

/// How it goes with the copies of messages of one queue.
#[derive(Debug, Default)]
pub(crate) struct Copies(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// When each copy was handed over that is not safe yet.
    waiting: BTreeMap<u64, SystemTime>,
    failed: Option<(Trouble, Instant)>,
}

impl Copies {
    /// Takes note of how long a copy takes, and of what comes of it.
    pub(crate) async fn watch<E: fmt::Display>(
        &self,
        copying: impl Future<Output = Result<(), E>>,
        is_trouble: impl FnOnce(&E) -> bool,
    ) -> Result<(), E> {
        let waiting = self.enter();
        let copied = copying.await;
        drop(waiting);
        let mut state = self.lock();
        match &copied {
            Ok(()) => state.failed = None,
            Err(error) if !is_trouble(error) => {}
            Err(error) => {
                let mut trouble = Trouble::now(error);
                if let Some((earlier, _)) = &state.failed {
                    trouble.since = earlier.since;
                }
                state.failed = Some((trouble, Instant::now()));
            }
        }
        copied
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        let mut state = self.lock();
        state.failed.take_if(|(_, at)| at.elapsed() > STALE);
        if let Some((trouble, _)) = &state.failed {
            return Some(trouble.clone());
        }
        let (_, since) = state.waiting.first_key_value()?;
        since
            .elapsed()
            .is_ok_and(|age| age >= SLOW)
            .then(|| Trouble {
                since: *since,
                reason: "a copy is not confirmed: the broker may be short of memory or disk"
                    .to_owned(),
            })
    }

    fn enter(&self) -> Waiting<'_> {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.waiting.insert(id, SystemTime::now());
        Waiting { copies: self, id }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy under way; it leaves the list also when it is dropped.
struct Waiting<'a> {
    copies: &'a Copies,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.copies.lock().waiting.remove(&self.id);
    }
}
