//! Which messages were handled already, by their ids.
//!
//! A broker delivers a message again where its acknowledgement was lost, and a sender sends it again
//! where the confirm was: both times with the same message id. A store of those ids lets a handler run
//! once for each.
//!
//! # Limits
//!
//! It narrows the gap and does not close it: a process that crashes between what its handler did and
//! [`DedupStore::complete`] handles the message once more. Only what is written in one transaction with
//! the handler's own work does not. An id counts as long as the store remembers it, its *window*: a
//! duplicate that comes later is handled. A message without an id is never known.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    fmt,
    future::{Future, ready},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

pub use self::layer::{Dedup, DedupService};

mod layer;

/// Remembers the ids of messages that were handled.
///
/// An id is claimed before its handler runs, and completed or released after. Several programs that
/// consume one queue need a store that they share; [`MemoryDedup`] is that of one process.
pub trait DedupStore: Send + Sync + 'static {
    /// What can go wrong at the store.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Claims an id, in one step with the look-up: of two at the same time one alone gets
    /// [`Claim::New`].
    ///
    /// A claim that is neither completed nor released, as that of a process that crashed, ends after
    /// some time of the store's choice.
    ///
    /// # Errors
    ///
    /// The store cannot tell.
    fn claim(&self, id: &str) -> impl Future<Output = Result<Claim, Self::Error>> + Send;

    /// The handler of a claimed id is done: from now on it is [`Claim::Done`].
    ///
    /// # Errors
    ///
    /// The store may not have noted it.
    fn complete(&self, id: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The handler of a claimed id failed, or was dropped: it may be tried again.
    ///
    /// # Errors
    ///
    /// The store may not have noted it.
    fn release(&self, id: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// What a store knows of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing. It is the caller's now.
    New,
    /// Its handler runs, here or elsewhere, and may still fail.
    InProgress,
    /// Its handler is done.
    Done,
}

/// The ids of one process, in its memory.
///
/// It forgets an id after its window, ten minutes unless told otherwise, or earlier where there are more
/// than its capacity, 100,000: then the oldest of those that are done. An id takes about 200 bytes. What
/// other processes handled, and what this one did before it was started again, it does not know.
///
/// ```
/// use ploomby::dedup::{Claim, DedupStore, MemoryDedup};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = MemoryDedup::new();
/// assert_eq!(store.claim("7").await, Ok(Claim::New));
/// assert_eq!(store.claim("7").await, Ok(Claim::InProgress));
/// store.complete("7").await.expect("it cannot fail");
/// assert_eq!(store.claim("7").await, Ok(Claim::Done));
/// # }
/// ```
pub struct MemoryDedup {
    window: Duration,
    capacity: usize,
    state: Mutex<State>,
}

const WINDOW: Duration = Duration::from_secs(10 * 60);
const CAPACITY: usize = 100_000;

#[derive(Default)]
struct State {
    ids: HashMap<Arc<str>, Known>,
    claimed: VecDeque<Noted>,
    done: VecDeque<Noted>,
}

/// What is known of an id, and since when.
#[derive(Clone, Copy)]
struct Known {
    claim: Claim,
    since: Instant,
}

/// An id and when it was noted; it may be known otherwise by now.
struct Noted {
    id: Arc<str>,
    at: Instant,
}

impl MemoryDedup {
    /// With the default window and capacity.
    #[must_use]
    pub fn new() -> Self {
        Self {
            window: WINDOW,
            capacity: CAPACITY,
            state: Mutex::default(),
        }
    }

    /// How long an id is remembered (default: 10 min), counted from when its handler was done. A claim
    /// that is neither completed nor released ends after this time as well.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// How many ids are remembered whose handler is done (default: 100,000).
    #[must_use]
    pub fn capacity(mut self, ids: usize) -> Self {
        self.capacity = ids;
        self
    }

    fn set(&self, id: &str, claim: Claim) {
        let mut state = self.lock();
        state.set(id, claim, Instant::now());
        state.forget(self.window, self.capacity);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set(&mut self, id: &str, claim: Claim, since: Instant) {
        let id: Arc<str> = id.into();
        self.ids.insert(id.clone(), Known { claim, since });
        let noted = Noted { id, at: since };
        match claim {
            Claim::Done => self.done.push_back(noted),
            Claim::New | Claim::InProgress => self.claimed.push_back(noted),
        }
    }

    /// Forgets what is too old, and the oldest of what is too much.
    fn forget(&mut self, window: Duration, capacity: usize) {
        for claim in [Claim::InProgress, Claim::Done] {
            let (noted, most) = match claim {
                Claim::Done => (&mut self.done, capacity),
                Claim::New | Claim::InProgress => (&mut self.claimed, usize::MAX),
            };
            while let Some(oldest) = noted.front() {
                let known = self.ids.get(&oldest.id);
                let is_current =
                    known.is_some_and(|known| known.claim == claim && known.since == oldest.at);
                let is_over = noted.len() > most || oldest.at.elapsed() >= window;
                if is_current && !is_over {
                    break;
                }
                if is_current {
                    self.ids.remove(&oldest.id);
                }
                noted.pop_front();
            }
        }
        // one that is claimed for long does not keep those behind it
        if self.claimed.len() > 2 * self.ids.len() + 64 {
            let ids = &self.ids;
            self.claimed.retain(|noted| {
                ids.get(&noted.id).is_some_and(|known| {
                    known.claim == Claim::InProgress && known.since == noted.at
                })
            });
        }
    }
}

impl DedupStore for MemoryDedup {
    type Error = Infallible;

    fn claim(&self, id: &str) -> impl Future<Output = Result<Claim, Infallible>> + Send {
        let mut state = self.lock();
        state.forget(self.window, self.capacity);
        let known = state.ids.get(id).map(|known| known.claim);
        if known.is_none() {
            state.set(id, Claim::InProgress, Instant::now());
        }
        ready(Ok(known.unwrap_or(Claim::New)))
    }

    fn complete(&self, id: &str) -> impl Future<Output = Result<(), Infallible>> + Send {
        self.set(id, Claim::Done);
        ready(Ok(()))
    }

    fn release(&self, id: &str) -> impl Future<Output = Result<(), Infallible>> + Send {
        let mut state = self.lock();
        let known = state.ids.get(id).map(|known| known.claim);
        if known == Some(Claim::InProgress) {
            state.ids.remove(id);
        }
        ready(Ok(()))
    }
}

impl Default for MemoryDedup {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryDedup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDedup")
            .field("window", &self.window)
            .field("capacity", &self.capacity)
            .field("known", &self.lock().ids.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn claim(store: &MemoryDedup, id: &str) -> Claim {
        store.claim(id).await.expect("it cannot fail")
    }

    async fn complete(store: &MemoryDedup, id: &str) {
        store.complete(id).await.expect("it cannot fail");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_is_known_within_the_window() {
        let store = MemoryDedup::new().window(Duration::from_secs(60));
        assert_eq!(claim(&store, "1").await, Claim::New);
        tokio::time::advance(Duration::from_secs(40)).await;
        complete(&store, "1").await;
        // the window counts from when it was done
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(claim(&store, "1").await, Claim::Done);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(claim(&store, "1").await, Claim::New);
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_may_be_tried_again_and_an_old_claim_ends() {
        let store = MemoryDedup::new().window(Duration::from_secs(60));
        assert_eq!(claim(&store, "1").await, Claim::New);
        assert_eq!(claim(&store, "1").await, Claim::InProgress);
        store.release("1").await.expect("it cannot fail");
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(claim(&store, "1").await, Claim::New);
        // that of the claim before is over, and this one is not
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(claim(&store, "1").await, Claim::InProgress);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(claim(&store, "1").await, Claim::New);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_forgotten_where_there_are_too_many_and_none_in_progress() {
        let store = MemoryDedup::new().capacity(2);
        for id in ["in progress", "1", "2", "3"] {
            assert_eq!(claim(&store, id).await, Claim::New);
            if id != "in progress" {
                complete(&store, id).await;
            }
        }
        assert_eq!(claim(&store, "in progress").await, Claim::InProgress);
        assert_eq!(claim(&store, "3").await, Claim::Done);
        assert_eq!(claim(&store, "2").await, Claim::Done);
        assert_eq!(claim(&store, "1").await, Claim::New);
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_grow_beyond_its_limits() {
        let store = MemoryDedup::new().capacity(10);
        for number in 0..1_000 {
            let id = number.to_string();
            assert_eq!(claim(&store, &id).await, Claim::New);
            complete(&store, &id).await;
        }
        let state = store.lock();
        assert_eq!(state.ids.len(), 10);
        assert!(state.done.len() <= 10);
        assert!(state.claimed.len() <= 1, "{}", state.claimed.len());
    }
}
