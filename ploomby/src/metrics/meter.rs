use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    UNKNOWN,
    histogram::{Distribution, Histogram},
};
use crate::{
    delivery::Delivery,
    message::header_names::SENT_AT,
    outcome::{Failure, Outcome, Reason},
};

/// What is counted of a queue.
#[derive(Clone)]
pub(crate) struct QueueMeter(Arc<OfQueue>);

struct OfQueue {
    /// Those that have had a message.
    handlers: Mutex<Vec<HandlerMeter>>,
    unknown: HandlerMeter,
}

impl QueueMeter {
    pub(crate) fn new() -> Self {
        Self(Arc::new(OfQueue {
            handlers: Mutex::default(),
            unknown: HandlerMeter::new(UNKNOWN),
        }))
    }

    /// One more handler of the queue.
    pub(crate) fn handler(&self, name: &'static str) -> HandlerMeter {
        let meter = HandlerMeter::new(name);
        self.lock().push(meter.clone());
        meter
    }

    /// What is counted of messages that have no handler.
    pub(crate) fn unknown(&self) -> &HandlerMeter {
        &self.0.unknown
    }

    /// Those that have had a message, by name, and what had no handler.
    pub(super) fn all(&self) -> Vec<HandlerMeter> {
        let mut all = self.lock().clone();
        all.sort_by_key(|meter| meter.0.name);
        all.push(self.0.unknown.clone());
        all
    }

    fn lock(&self) -> MutexGuard<'_, Vec<HandlerMeter>> {
        let handlers = self.0.handlers.lock();
        handlers.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is counted of a handler on one queue.
///
/// In the way of a message whose handler waits for nothing these are four additions and one look at the clock. What is
/// rare is not there before it is needed.
#[derive(Clone)]
pub(crate) struct HandlerMeter(Arc<OfHandler>);

struct OfHandler {
    name: &'static str,
    begun: AtomicU64,
    /// They were dropped before they were done.
    dropped: AtomicU64,
    /// How long those took that did not fail.
    done: Histogram,
    acked: AtomicU64,
    rare: OnceLock<Box<Rare>>,
    waited: OnceLock<Box<Histogram>>,
}

const OUTCOMES: usize = 5;

struct Rare {
    failed: [OnceLock<Box<Histogram>>; Reason::COUNT],
    /// Failed without a handler.
    refused: [AtomicU64; Reason::COUNT],
    /// By outcome, then by reason; the last one is for what has none.
    settled: [[AtomicU64; Reason::COUNT + 1]; OUTCOMES],
}

impl HandlerMeter {
    fn new(name: &'static str) -> Self {
        Self(Arc::new(OfHandler {
            name,
            begun: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            done: Histogram::default(),
            acked: AtomicU64::new(0),
            rare: OnceLock::new(),
            waited: OnceLock::new(),
        }))
    }

    /// A message goes to the handler.
    #[inline]
    pub(crate) fn begins(&self) {
        self.0.begun.fetch_add(1, Relaxed);
    }

    /// The handler is done with it, after so many nanoseconds.
    #[inline]
    pub(crate) fn ends(&self, nanos: impl FnOnce() -> u64, failure: Option<&Failure>) {
        match failure {
            None => self.0.done.note(nanos()),
            Some(failure) => self.fails(nanos(), failure.reason),
        }
    }

    /// A message goes to the handler, whose end is noted by what is returned.
    pub(crate) fn at_work(&self) -> AtWork {
        self.begins();
        self.still_at_work(Instant::now)
    }

    /// The same for a message that has begun already.
    pub(crate) fn still_at_work(&self, since: impl FnOnce() -> Instant) -> AtWork {
        AtWork {
            meter: self.clone(),
            since: since(),
            is_over: false,
        }
    }

    #[cold]
    fn fails(&self, nanos: u64, reason: Reason) {
        let failed = &self.rare().failed[reason.index()];
        failed.get_or_init(Box::default).note(nanos);
    }

    /// The message failed, and no handler had it.
    pub(crate) fn refuses(&self, failure: &Failure) {
        self.rare().refused[failure.reason.index()].fetch_add(1, Relaxed);
    }

    /// The source was told, or is told now.
    #[inline]
    pub(crate) fn settled(&self, outcome: Outcome, reason: Option<Reason>) {
        match (outcome, reason) {
            (Outcome::Ack, None) => _ = self.0.acked.fetch_add(1, Relaxed),
            _ => self.settled_otherwise(outcome, reason),
        }
    }

    #[cold]
    fn settled_otherwise(&self, outcome: Outcome, reason: Option<Reason>) {
        let reason = reason.map_or(Reason::COUNT, Reason::index);
        self.rare().settled[number(outcome)][reason].fetch_add(1, Relaxed);
    }

    /// Takes note of how long a message waited in its queue, if its sender says when it was sent. Of one that comes
    /// back that says nothing.
    #[cold]
    pub(crate) fn queue_time(&self, delivery: &Delivery) {
        let sent_at = delivery.headers().number(SENT_AT);
        let Some(sent_at) = sent_at.and_then(|sent_at| u64::try_from(sent_at).ok()) else {
            return;
        };
        if delivery.has_waited() || delivery.is_redelivered() {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        // the sender's clock may be ahead of this one
        let waited = now
            .unwrap_or_default()
            .saturating_sub(Duration::from_millis(sent_at));
        let waited = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.0.waited.get_or_init(Box::default).note(waited);
    }

    fn rare(&self) -> &Rare {
        self.0.rare.get_or_init(|| {
            Box::new(Rare {
                failed: [const { OnceLock::new() }; Reason::COUNT],
                refused: Default::default(),
                settled: Default::default(),
            })
        })
    }
}

/// What is read.
impl HandlerMeter {
    pub(super) fn name(&self) -> &'static str {
        self.0.name
    }

    pub(super) fn done(&self) -> Distribution {
        self.0.done.now()
    }

    pub(super) fn failed(&self, reason: Reason) -> Option<Distribution> {
        let failed = self.0.rare.get()?.failed[reason.index()].get()?;
        Some(failed.now())
    }

    pub(super) fn refused(&self, reason: Reason) -> u64 {
        let rare = self.0.rare.get();
        rare.map_or(0, |rare| rare.refused[reason.index()].load(Relaxed))
    }

    pub(super) fn settled_by(&self, outcome: Outcome, reason: Option<Reason>) -> u64 {
        if (outcome, reason) == (Outcome::Ack, None) {
            return self.0.acked.load(Relaxed);
        }
        let reason = reason.map_or(Reason::COUNT, Reason::index);
        let rare = self.0.rare.get();
        rare.map_or(0, |rare| {
            rare.settled[number(outcome)][reason].load(Relaxed)
        })
    }

    pub(super) fn waited(&self) -> Distribution {
        let waited = self.0.waited.get();
        waited.map_or_else(Distribution::default, |waited| waited.now())
    }

    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    pub(super) fn begun(&self) -> u64 {
        self.0.begun.load(Relaxed)
    }
}

fn number(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Ack => 0,
        Outcome::Retry => 1,
        Outcome::DeadLetter => 2,
        Outcome::Requeue => 3,
        Outcome::Discard => 4,
    }
}

/// A handler that goes on. Dropped before it [ends](Self::ends), it was cut off.
pub(crate) struct AtWork {
    meter: HandlerMeter,
    since: Instant,
    is_over: bool,
}

impl AtWork {
    pub(crate) fn ends(mut self, failure: Option<&Failure>) {
        self.is_over = true;
        // five hundred years fit
        let nanos = || self.since.elapsed().as_nanos() as u64;
        self.meter.ends(nanos, failure);
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if !self.is_over {
            self.meter.0.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Of which messages it is looked at how long they waited: as a rule of each, and above a thousand a second of a
/// thousand. To look for a header takes longer than all else that is counted.
#[derive(Default)]
pub(crate) struct Samples(AtomicU64);

const BETWEEN_SAMPLES: u64 = 1_000_000;

impl Samples {
    /// Whether it is looked at for a message that comes now, in nanoseconds of the consumer's clock.
    #[inline]
    pub(crate) fn is_due(&self, now: u64) -> bool {
        if now < self.0.load(Relaxed) {
            return false;
        }
        self.0.store(now + BETWEEN_SAMPLES, Relaxed);
        true
    }
}

impl fmt::Debug for QueueMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueMeter").finish_non_exhaustive()
    }
}
