use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Claim, ClaimToken, DedupStore};

/// The ids of one process, in its memory.
///
/// It forgets an id after its window, ten minutes unless told otherwise, or earlier where there are more
/// than its capacity, 100,000: then the oldest of those that are done. An id takes about 200 bytes. What
/// other processes handled, and what this one did before it was started again, it does not know.
///
/// ```
/// use ploomby::dedup::{Claim, ClaimToken, DedupStore, MemoryDedup};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = MemoryDedup::new();
/// let (first, second) = (ClaimToken::random(), ClaimToken::random());
/// assert_eq!(store.claim("orders", "7", first).await, Ok(Claim::New));
/// assert_eq!(store.claim("orders", "7", second).await, Ok(Claim::InProgress));
/// store.complete("orders", "7", first).await.expect("it cannot fail");
/// assert_eq!(store.claim("orders", "7", second).await, Ok(Claim::Done));
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
    token: ClaimToken,
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set(&mut self, id: &str, claim: Claim, token: ClaimToken) {
        let id: Arc<str> = id.into();
        let since = Instant::now();
        let known = Known {
            claim,
            token,
            since,
        };
        self.ids.insert(id.clone(), known);
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

/// Queue and id as one: neither holds the byte between them.
fn joined(queue: &str, id: &str) -> String {
    format!("{queue}\0{id}")
}

/// Nothing happens before it is awaited.
impl DedupStore for MemoryDedup {
    type Error = Infallible;

    async fn claim(&self, queue: &str, id: &str, token: ClaimToken) -> Result<Claim, Infallible> {
        let id = joined(queue, id);
        let mut state = self.lock();
        state.forget(self.window, self.capacity);
        Ok(match state.ids.get(&*id) {
            Some(known) if known.claim == Claim::InProgress && known.token == token => Claim::New,
            Some(known) => known.claim,
            None => {
                state.set(&id, Claim::InProgress, token);
                Claim::New
            }
        })
    }

    async fn complete(&self, queue: &str, id: &str, token: ClaimToken) -> Result<(), Infallible> {
        let id = joined(queue, id);
        let mut state = self.lock();
        // a claim that is forgotten by now is nobody else's
        let is_others = |known: &Known| known.token != token || known.claim == Claim::Done;
        if !state.ids.get(&*id).is_some_and(is_others) {
            state.set(&id, Claim::Done, token);
        }
        state.forget(self.window, self.capacity);
        Ok(())
    }

    async fn release(&self, queue: &str, id: &str, token: ClaimToken) -> Result<(), Infallible> {
        let id = joined(queue, id);
        let mut state = self.lock();
        let is_own = |known: &Known| known.token == token && known.claim == Claim::InProgress;
        if state.ids.get(&*id).is_some_and(is_own) {
            state.ids.remove(&*id);
        }
        Ok(())
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

    const Q: &str = "q";

    /// Each claim of a test is of the same handler's, unless it says otherwise.
    const TOKEN: ClaimToken = ClaimToken(1);
    const OTHER: ClaimToken = ClaimToken(2);

    async fn claim_as(store: &MemoryDedup, id: &str, token: ClaimToken) -> Claim {
        store.claim(Q, id, token).await.expect("it cannot fail")
    }

    /// A claim of somebody else's.
    async fn claim(store: &MemoryDedup, id: &str) -> Claim {
        let claim = claim_as(store, id, OTHER).await;
        if claim == Claim::New {
            release(store, id, OTHER).await;
            assert_eq!(claim_as(store, id, TOKEN).await, Claim::New);
        }
        claim
    }

    async fn complete(store: &MemoryDedup, id: &str) {
        store.complete(Q, id, TOKEN).await.expect("it cannot fail");
    }

    async fn release(store: &MemoryDedup, id: &str, token: ClaimToken) {
        store.release(Q, id, token).await.expect("it cannot fail");
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_is_asked_for_again_by_its_token_and_an_old_token_changes_nothing() {
        let store = MemoryDedup::new().window(Duration::from_secs(60));
        assert_eq!(claim_as(&store, "1", TOKEN).await, Claim::New);
        assert_eq!(claim_as(&store, "1", TOKEN).await, Claim::New);
        assert_eq!(claim_as(&store, "1", OTHER).await, Claim::InProgress);
        release(&store, "1", OTHER).await;
        assert_eq!(claim_as(&store, "1", OTHER).await, Claim::InProgress);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(claim_as(&store, "1", OTHER).await, Claim::New);
        release(&store, "1", TOKEN).await;
        complete(&store, "1").await;
        assert_eq!(claim_as(&store, "1", TOKEN).await, Claim::InProgress);
        store.complete(Q, "1", OTHER).await.expect("it cannot fail");
        assert_eq!(claim_as(&store, "1", OTHER).await, Claim::Done);
        release(&store, "1", OTHER).await;
        assert_eq!(claim_as(&store, "1", TOKEN).await, Claim::Done);
    }

    #[tokio::test]
    async fn nothing_is_noted_before_it_is_awaited() {
        let store = MemoryDedup::new();
        drop(store.claim(Q, "1", TOKEN));
        assert_eq!(claim_as(&store, "1", OTHER).await, Claim::New);
        drop(store.complete(Q, "1", OTHER));
        drop(store.release(Q, "1", OTHER));
        assert_eq!(claim_as(&store, "1", TOKEN).await, Claim::InProgress);
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
        release(&store, "1", TOKEN).await;
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
