//! Handlers that keep a thread of the runtime: those that compute or block for long without an await.
//!
//! Each thread notes which handler it polls, by two stores without a lock. One thread of the process looks at
//! all of these notes now and then, and sleeps as long as no handler is at work: nothing on the runtime could
//! tell, where the runtime has but one thread.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, Thread},
    time::{Duration, Instant, SystemTime},
};

use tracing::{error, info, warn};

use super::Trouble;

/// A handler that has not yielded for as long is told of.
const LONG: Duration = Duration::from_secs(5);

/// How often the threads are looked at while handlers are at work.
const LOOK: Duration = Duration::from_millis(2_500);

/// The handlers of a queue that keep their threads at the moment.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    queue: String,
    number: u32,
    handlers: Mutex<BTreeMap<u64, Trouble>>,
}

/// A handler of a queue, as threads note it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtWork(u64);

/// No handler.
const NONE: u64 = 0;

/// Whether the watch sleeps, to be woken by who begins with a handler.
static ASLEEP: AtomicBool = AtomicBool::new(false);

static WATCH: OnceLock<Watch> = OnceLock::new();

struct Watch {
    thread: Option<Thread>,
}

/// What is watched, and the names of it.
#[derive(Default)]
struct Known {
    threads: Vec<Weak<Slot>>,
    queues: HashMap<u32, Weak<Blocked>>,
    last_queue: u32,
    handlers: Vec<&'static str>,
    by_name: HashMap<&'static str, u32>,
}

static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();

fn known() -> MutexGuard<'static, Known> {
    let known = KNOWN.get_or_init(Mutex::default);
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a thread is at.
#[derive(Default)]
struct Slot {
    what: AtomicU64,
    /// How many handlers were polled here: the same one may be polled again.
    polls: AtomicU64,
}

thread_local! {
    static SLOT: Arc<Slot> = {
        let slot = Arc::new(Slot::default());
        known().threads.push(Arc::downgrade(&slot));
        slot
    };
}

impl Blocked {
    /// For the handlers of a queue.
    pub(crate) fn new(queue: &str) -> Arc<Self> {
        WATCH.get_or_init(Watch::start);
        let mut known = known();
        // not when one is dropped: that may be while they are looked at
        known.queues.retain(|_, queue| queue.strong_count() > 0);
        known.last_queue = known.last_queue.wrapping_add(1).max(1);
        let number = known.last_queue;
        let blocked = Arc::new(Self {
            queue: queue.to_owned(),
            number,
            handlers: Mutex::default(),
        });
        known.queues.insert(number, Arc::downgrade(&blocked));
        blocked
    }

    /// One handler of the queue.
    pub(crate) fn handler(&self, number: HandlerNumber) -> AtWork {
        AtWork((u64::from(self.number) << 32) | u64::from(number.0))
    }

    /// Since when each keeps its thread.
    pub(super) fn now(&self) -> Vec<Trouble> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Trouble>> {
        self.handlers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands for a handler, in any queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandlerNumber(u32);

impl HandlerNumber {
    /// That of what is settled without a handler.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn of(name: &'static str) -> Self {
        let known = &mut *known();
        if known.handlers.is_empty() {
            known.handlers.push("(no handler)");
        }
        let new = known.handlers.len() as u32;
        let number = *known.by_name.entry(name).or_insert(new);
        if number == new {
            known.handlers.push(name);
        }
        Self(number)
    }
}

impl AtWork {
    /// Polls the handler.
    #[inline]
    pub(crate) fn poll<T>(self, poll: impl FnOnce() -> T) -> T {
        SLOT.with(|slot| {
            // no other thread writes these
            let polls = slot.polls.load(Relaxed).wrapping_add(1);
            slot.polls.store(polls, Relaxed);
            let before = slot.what.load(Relaxed);
            slot.what.store(self.0, Relaxed);
            let _noted = Noted { slot, before };
            if ASLEEP.load(Relaxed) {
                wake();
            }
            poll()
        })
    }
}

/// A handler may be polled inside of another's poll, and may panic.
struct Noted<'a> {
    slot: &'a Slot,
    before: u64,
}

impl Drop for Noted<'_> {
    #[inline]
    fn drop(&mut self) {
        self.slot.what.store(self.before, Relaxed);
    }
}

#[cold]
fn wake() {
    if ASLEEP.swap(false, SeqCst) {
        if let Some(Watch {
            thread: Some(thread),
        }) = WATCH.get()
        {
            thread.unpark();
        }
    }
}

impl Watch {
    fn start() -> Self {
        let watching = thread::Builder::new()
            .name("ploomby-watch".to_owned())
            .spawn(watch);
        match watching {
            Ok(thread) => Self {
                thread: Some(thread.thread().clone()),
            },
            Err(error) => {
                error!(%error, "handlers that block are not told of: there is no thread to watch them");
                Self { thread: None }
            }
        }
    }
}

/// What a thread was seen at.
struct Seen {
    slot: Weak<Slot>,
    what: u64,
    polls: u64,
    since: Instant,
    /// It was told of.
    told: bool,
}

fn watch() {
    let mut seen: Vec<Seen> = Vec::new();
    loop {
        thread::sleep(LOOK);
        if look(&mut seen) {
            continue;
        }
        ASLEEP.store(true, SeqCst);
        // one may have begun before it could see that nobody looks
        if look(&mut seen) {
            ASLEEP.store(false, SeqCst);
            continue;
        }
        while ASLEEP.load(SeqCst) {
            thread::park();
        }
    }
}

/// Looks at all threads. Says whether a handler is at work on one of them.
fn look(seen: &mut Vec<Seen>) -> bool {
    let now = Instant::now();
    let mut known = known();
    known.threads.retain(|slot| slot.strong_count() > 0);
    for slot in &known.threads[..] {
        if !seen.iter().any(|seen| Weak::ptr_eq(&seen.slot, slot)) {
            seen.push(Seen {
                slot: slot.clone(),
                what: NONE,
                polls: 0,
                since: now,
                told: false,
            });
        }
    }
    let mut is_busy = false;
    seen.retain_mut(|seen| {
        let Some(slot) = seen.slot.upgrade() else {
            seen.is_over(&known);
            return false;
        };
        let (what, polls) = (slot.what.load(Relaxed), slot.polls.load(Relaxed));
        is_busy |= what != NONE;
        if (what, polls) != (seen.what, seen.polls) {
            seen.is_over(&known);
            (seen.what, seen.polls, seen.since) = (what, polls, now);
        } else if what != NONE && !seen.told && now - seen.since >= LONG {
            seen.tell(&known, now);
        }
        true
    });
    is_busy
}

impl Seen {
    fn tell(&mut self, known: &Known, now: Instant) {
        let Some((blocked, handler)) = known.find(self.what) else {
            return;
        };
        self.told = true;
        let time = now - self.since;
        warn!(
            queue = blocked.queue,
            handler,
            "a handler has not yielded for {time:.0?}, and everything else on its thread waits: what computes or blocks \
             belongs into `tokio::task::spawn_blocking`"
        );
        let since = SystemTime::now() - time;
        let reason = format!("`{handler}` has not yielded");
        blocked.lock().insert(self.what, Trouble { since, reason });
    }

    fn is_over(&mut self, known: &Known) {
        if !std::mem::take(&mut self.told) {
            return;
        }
        if let Some((blocked, handler)) = known.find(self.what) {
            blocked.lock().remove(&self.what);
            let time = self.since.elapsed();
            info!(
                queue = blocked.queue,
                handler, "it has yielded after {time:.0?}"
            );
        }
    }
}

impl Known {
    fn find(&self, what: u64) -> Option<(Arc<Blocked>, &'static str)> {
        let queue = u32::try_from(what >> 32).ok()?;
        let handler = usize::try_from(what & u64::from(u32::MAX)).ok()?;
        Some((
            self.queues.get(&queue)?.upgrade()?,
            self.handlers.get(handler)?,
        ))
    }
}
