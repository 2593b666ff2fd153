//! Whether a program does its work: for a health route, an alarm, a test.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

pub(crate) use self::{
    blocked::{AtWork, Blocked, HandlerNumber},
    copies::Copies,
};
use crate::{
    brake::{BrakeCause, Braked, Brakes, CheckHealth, Checks},
    delivery::{Loss, LostReplies},
};

mod blocked;
#[cfg(feature = "admin")]
mod control;
mod copies;

/// Whether each queue is consumed, and why not. Cheap to clone: all clones tell the same.
///
/// ```
/// # use ploomby::{App, HandlerRegistry, Queue};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// # let app = App::new("memory://health-example")
/// #     .handlers(HandlerRegistry::new().register("nothing", || async {}));
/// let running = app.queue(Queue::new("users").consumers(2)).start().await?;
/// let health = running.health();
/// // in a health route: 200 if it is healthy, else 503, and the text as the body
/// assert!(health.is_healthy());
/// assert_eq!(health.to_string(), "users: 2 of 2 consuming");
/// # running.shut_down().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Health(Arc<Known>);

#[derive(Default)]
struct Known {
    queues: Mutex<BTreeMap<String, Vec<Arc<ConsumerHealth>>>>,
    checks: Mutex<Checks>,
}

impl Health {
    /// Whether all consumers of all queues consume, what the program binds leads to them, and copies of messages that cannot
    /// be handled are kept.
    ///
    /// It is no longer so once a consumer has shut down.
    pub fn is_healthy(&self) -> bool {
        self.queues().iter().all(QueueHealth::is_healthy)
    }

    /// Each queue as it is now, by name.
    pub fn queues(&self) -> Vec<QueueHealth> {
        let queues = self.lock();
        let now = queues.iter().map(|(queue, consumers)| QueueHealth {
            queue: queue.clone(),
            consumers: consumers.len(),
            not_consuming: consumers.iter().filter_map(|one| one.trouble()).collect(),
            ended: consumers
                .iter()
                .filter(|one| one.is_over.load(Relaxed))
                .count(),
            unwired: consumers.iter().find_map(|one| one.unwired_for()),
            reconnects: consumers.iter().map(|one| one.returns.load(Relaxed)).sum(),
            copies: consumers.first().and_then(|one| one.copies.trouble()),
            lost_replies: consumers.first().map(|one| one.lost_replies.clone()),
            blocking: consumers
                .first()
                .map_or_else(Vec::new, |one| one.blocked.now()),
            brakes: consumers.first().map_or_else(Vec::new, |one| one.brakes()),
            paused_by: consumers.first().and_then(|one| one.paused_by()),
        });
        now.collect()
    }

    /// The program's own [checks](crate::App::check), by name. If one fails, the program is healthy all the same: a
    /// restart would bring nothing back.
    pub fn checks(&self) -> Vec<CheckHealth> {
        self.lock_checks().now()
    }

    pub(crate) fn watch_checks(&self, checks: Checks) {
        *self.lock_checks() = checks;
    }

    /// Takes the place of what was known of the queue.
    pub(crate) fn watch(&self, queue: &str, consumers: Vec<Arc<ConsumerHealth>>) {
        self.lock().insert(queue.to_owned(), consumers);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Arc<ConsumerHealth>>>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_checks(&self) -> MutexGuard<'_, Checks> {
        self.0.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line for each queue, and for each check that fails.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, queue) in self.queues().iter().enumerate() {
            let line = if at == 0 { "" } else { "\n" };
            write!(f, "{line}{queue}")?;
        }
        for check in self.checks().iter().filter(|check| !check.is_passing()) {
            write!(f, "\n{check}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.queues()).finish()
    }
}

/// One queue at the moment when it was asked for.
#[derive(Clone, Debug)]
pub struct QueueHealth {
    queue: String,
    consumers: usize,
    not_consuming: Vec<Trouble>,
    ended: usize,
    unwired: Option<Trouble>,
    reconnects: u64,
    copies: Option<Trouble>,
    lost_replies: Option<Arc<LostReplies>>,
    blocking: Vec<Trouble>,
    brakes: Vec<Braked>,
    paused_by: Option<String>,
}

impl QueueHealth {
    /// The queue's name.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// How many consumers it should have from this program.
    pub fn consumers(&self) -> usize {
        self.consumers
    }

    /// How many of them consume.
    pub fn consuming(&self) -> usize {
        self.consumers - self.not_consuming.len()
    }

    /// Since when and why the others do not.
    pub fn not_consuming(&self) -> &[Trouble] {
        &self.not_consuming
    }

    /// How many of them are over: they failed for good, or the program shuts down. They do not come back.
    pub fn ended(&self) -> usize {
        self.ended
    }

    /// How often a consumer came back that had not consumed: once for each consumer and outage.
    pub fn reconnects(&self) -> u64 {
        self.reconnects
    }

    /// Since when and why an exchange or a binding is missing that leads to the queue: the broker refused it after a lost
    /// connection. It is tried again every 30 seconds, unless the broker closed the connection over it.
    pub fn unwired(&self) -> Option<&Trouble> {
        self.unwired.as_ref()
    }

    /// Since when and why copies of messages that cannot be handled are not kept. The messages
    /// themselves stay in the queue then.
    pub fn copies(&self) -> Option<&Trouble> {
        self.copies.as_ref()
    }

    /// How many replies were dropped since the start: those that may not go where their requests say, those that
    /// are too large for a queue, and those that the broker did not take in time.
    pub fn dropped_replies(&self) -> u64 {
        let lost = |by| self.lost_by(by);
        lost(Loss::Refused) + lost(Loss::TooLarge) + lost(Loss::Failed)
    }

    /// The same by why: `refused`, `too-large`, `failed`.
    #[cfg(feature = "metrics")]
    pub(crate) fn dropped_replies_by(&self) -> [(&'static str, u64); 3] {
        [
            ("refused", self.lost_by(Loss::Refused)),
            ("too-large", self.lost_by(Loss::TooLarge)),
            ("failed", self.lost_by(Loss::Failed)),
        ]
    }

    /// How many replies reached nobody since the start, for there was no such queue.
    pub fn unroutable_replies(&self) -> u64 {
        self.lost_by(Loss::Unroutable)
    }

    fn lost_by(&self, loss: Loss) -> u64 {
        let lost = self.lost_replies.as_ref();
        lost.map_or(0, |lost| lost.lost_by(loss))
    }

    /// Since when handlers have not yielded, and which: those that compute or block for more than five seconds
    /// without an await. Everything else on their threads waits for them, the other queues among it. It is no
    /// reason to restart the program: they would begin anew.
    pub fn blocking(&self) -> &[Trouble] {
        &self.blocking
    }

    /// Who has [paused](crate::Running::pause) it. A queue that is paused is healthy.
    pub fn paused_by(&self) -> Option<&str> {
        self.paused_by.as_deref()
    }

    /// The handlers that get no messages, or few, since something that they need is away or somebody paused them. The queue is healthy all
    /// the same: a restart of the program would bring nothing back.
    pub fn brakes(&self) -> &[Braked] {
        &self.brakes
    }

    /// Whether all its consumers consume, what the program binds leads to it, and copies are kept.
    pub fn is_healthy(&self) -> bool {
        self.not_consuming.is_empty() && self.unwired.is_none() && self.copies.is_none()
    }
}

impl fmt::Display for QueueHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (consuming, consumers) = (self.consuming(), self.consumers);
        write!(f, "{}: {consuming} of {consumers} consuming", self.queue)?;
        for trouble in &self.not_consuming {
            write!(f, "; not consuming {trouble}")?;
        }
        if let Some(trouble) = &self.unwired {
            write!(f, "; not bound {trouble}")?;
        }
        if let Some(trouble) = &self.copies {
            write!(f, "; no copies kept {trouble}")?;
        }
        if let Some(by) = &self.paused_by {
            write!(f, "; paused by {by}")?;
        }
        for braked in self.brakes.iter().filter(|_| self.paused_by.is_none()) {
            match braked.cause() {
                BrakeCause::Paused => write!(f, "; waits: {braked}")?,
                _ => write!(f, "; waits for what it needs: {braked}")?,
            }
        }
        for trouble in &self.blocking {
            write!(f, "; a handler blocks its thread {trouble}")?;
        }
        Ok(())
    }
}

/// What does not work, since when, and why.
#[derive(Clone, Debug)]
pub struct Trouble {
    since: SystemTime,
    reason: String,
}

impl Trouble {
    fn now(reason: impl fmt::Display) -> Self {
        Self {
            since: SystemTime::now(),
            reason: reason.to_string(),
        }
    }

    /// When it began.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// What the last try ended with.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // a clock that was set back counts as no time
        let age = self.since.elapsed().unwrap_or(Duration::ZERO).as_secs();
        write!(f, "for {age} s: {}", self.reason)
    }
}

/// What one consumer has reported last.
#[derive(Debug, Default)]
pub(crate) struct ConsumerHealth {
    trouble: Mutex<Option<Trouble>>,
    is_over: AtomicBool,
    /// How often it consumed again.
    returns: AtomicU64,
    unwired: Mutex<Option<Trouble>>,
    /// Those of its queue.
    copies: Arc<Copies>,
    lost_replies: Arc<LostReplies>,
    blocked: Arc<Blocked>,
    brakes: Option<Arc<Brakes>>,
}

impl ConsumerHealth {
    pub(crate) fn new(
        copies: Arc<Copies>,
        lost_replies: Arc<LostReplies>,
        blocked: Arc<Blocked>,
        brakes: Arc<Brakes>,
    ) -> Self {
        Self {
            trouble: Mutex::default(),
            is_over: AtomicBool::new(false),
            returns: AtomicU64::new(0),
            unwired: Mutex::default(),
            copies,
            lost_replies,
            blocked,
            brakes: Some(brakes),
        }
    }

    fn paused_by(&self) -> Option<String> {
        self.brakes.as_ref().and_then(|brakes| brakes.paused_by())
    }

    fn brakes(&self) -> Vec<Braked> {
        self.brakes
            .as_ref()
            .map_or_else(Vec::new, |brakes| brakes.now())
    }

    /// Returns whether it did not consume before.
    pub(crate) fn consuming(&self) -> bool {
        let is_back = self.lock().take().is_some();
        if is_back {
            self.returns.fetch_add(1, Relaxed);
        }
        is_back
    }

    /// Returns whether it consumed before.
    pub(crate) fn not_consuming(&self, reason: impl fmt::Display) -> bool {
        let mut trouble = self.lock();
        match &mut *trouble {
            Some(trouble) => {
                trouble.reason = reason.to_string();
                false
            }
            None => {
                *trouble = Some(Trouble::now(reason));
                true
            }
        }
    }

    pub(crate) fn unwired(&self, reason: impl fmt::Display) {
        lock(&self.unwired).get_or_insert_with(|| Trouble::now(reason));
    }

    pub(crate) fn wired(&self) {
        *lock(&self.unwired) = None;
    }

    fn unwired_for(&self) -> Option<Trouble> {
        lock(&self.unwired).clone()
    }

    /// The reason that was told before stands.
    pub(crate) fn ended(&self) {
        self.is_over.store(true, Relaxed);
        self.lock()
            .get_or_insert_with(|| Trouble::now("the consumer has ended"));
    }

    fn trouble(&self) -> Option<Trouble> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        lock(&self.trouble)
    }
}

fn lock(trouble: &Mutex<Option<Trouble>>) -> MutexGuard<'_, Option<Trouble>> {
    trouble.lock().unwrap_or_else(PoisonError::into_inner)
}
