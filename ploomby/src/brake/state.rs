use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

pub(super) use self::pauses::Whole;
use self::{
    pauses::{Paused, Pauses},
    row::{Hint, MANY_FAILURES, Row},
};
use super::BrakeCause;

mod pauses;
mod row;

/// The first pause before a probe, and the longest, where the error does not say how long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What an error may ask for, at most.
const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);

/// The pause where failures count: what fails on its own account must not wait for long.
const FAILURES_PAUSE: Duration = Duration::from_secs(1);

/// By how many percent chance shortens a pause, at most: programs that were braked together do not probe together.
const JITTER: u32 = 25;

/// Without a failure for as long, the brake is off. So it goes on and off no more often than that.
const STEADY: Duration = Duration::from_secs(10);

/// A window that is as wide is open.
const OPEN: u32 = 64;

/// What a brake knows. Whoever holds it tells the time.
#[derive(Debug)]
pub(super) struct State {
    /// After how many failures in a row it goes on.
    after: Option<u32>,
    row: Row,
    hint: Hint,
    engaged: Option<Engaged>,
    /// A check tells when what the handler needs is back, in place of probes.
    has_checks: bool,
    /// The checks that fail.
    failing: BTreeSet<String>,
    pauses: Pauses,
    /// Each pull begins a new one: what was let through before says nothing any more.
    epoch: u64,
}

/// A brake that is on.
#[derive(Debug)]
pub(super) struct Engaged {
    pub(super) cause: BrakeCause,
    pub(super) reason: String,
    since: Instant,
    pub(super) since_when: SystemTime,
    /// The last one.
    pause: Duration,
    phase: Phase,
    probes: u64,
    waited: u64,
}

#[derive(Debug)]
enum Phase {
    /// No message until then.
    Waiting { until: Instant },
    /// One message is with the handler.
    Probing,
    /// So many messages at a time, and more with each round of successes.
    Opening {
        since: Instant,
        limit: u32,
        running: u32,
        successes: u32,
    },
}

/// Whether a message may go to the handler.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// What comes of it is told with this epoch.
    Go(Option<u64>),
    At(Instant),
    /// When another message is done.
    Later,
}

/// What is worth a line in the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    On(BrakeCause),
    Off {
        cause: BrakeCause,
        lasted: Duration,
        waited: u64,
        probes: u64,
    },
    /// A brake would have helped.
    Hint,
}

impl State {
    pub(super) fn new(after: Option<u32>, has_checks: bool) -> Self {
        Self {
            after,
            row: Row::default(),
            hint: Hint::default(),
            engaged: None,
            has_checks,
            failing: BTreeSet::new(),
            pauses: Pauses::default(),
            epoch: 0,
        }
    }

    pub(super) fn engaged(&self) -> Option<&Engaged> {
        self.engaged.as_ref()
    }

    /// Whether it has to see each message.
    pub(super) fn is_watching(&self) -> bool {
        self.is_paused()
            || self.engaged.is_some()
            || self.row.is_open()
            || matches!(self.hint, Hint::Watching)
    }

    pub(super) fn paused(&self) -> Option<&Paused> {
        self.pauses.now()
    }

    fn is_paused(&self) -> bool {
        self.paused().is_some()
    }

    pub(super) fn pause(&mut self, whole: Whole, by: &str, now: Instant) {
        self.pauses.begin(whole, by, now);
    }

    /// Whether it was paused.
    pub(super) fn resume(&mut self, whole: Whole) -> bool {
        self.pauses.end(whole)
    }

    /// How long it has been on, or paused.
    pub(super) fn on_for(&self, now: Instant) -> Duration {
        let paused = self.paused().map(|paused| now - paused.from);
        let engaged = self.engaged().map(|on| on.lasted(now));
        paused.max(engaged).unwrap_or_default()
    }

    /// Whether its messages are better in their queue, if all others wait as well. Where failures count, one after another
    /// is to come and fail.
    pub(super) fn may_rest(&self) -> bool {
        let by_failures = self
            .engaged()
            .is_some_and(|on| on.cause == BrakeCause::Failures);
        self.is_paused() || (self.is_on() && !by_failures)
    }

    /// Whether no message goes to the handler but a probe.
    pub(super) fn is_on(&self) -> bool {
        self.is_paused() || self.engaged.as_ref().is_some_and(|on| !on.is_opening())
    }

    /// When the next message goes to the handler, where that is known.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        let engaged = self.engaged.as_ref()?;
        match engaged.phase {
            Phase::Waiting { until } if !self.waits_for_check(engaged) => Some(until),
            _ => None,
        }
    }

    /// Whether a check is what lets the next message come.
    fn waits_for_check(&self, engaged: &Engaged) -> bool {
        self.is_paused()
            || !self.failing.is_empty()
            || (self.has_checks && engaged.cause != BrakeCause::Failures)
    }

    pub(super) fn enter(&mut self, now: Instant) -> Turn {
        if self.is_paused() {
            return Turn::Later;
        }
        let is_failing = !self.failing.is_empty();
        let waits = self
            .engaged
            .as_ref()
            .is_some_and(|engaged| self.waits_for_check(engaged));
        let Some(engaged) = &mut self.engaged else {
            return Turn::Go(None);
        };
        match &mut engaged.phase {
            _ if is_failing => Turn::Later,
            Phase::Waiting { .. } if waits => Turn::Later,
            Phase::Waiting { until } if now < *until => Turn::At(*until),
            Phase::Waiting { .. } => {
                engaged.phase = Phase::Probing;
                engaged.probes += 1;
                Turn::Go(Some(self.epoch))
            }
            Phase::Opening { limit, running, .. } if *running < *limit => {
                *running += 1;
                Turn::Go(Some(self.epoch))
            }
            Phase::Probing | Phase::Opening { .. } => Turn::Later,
        }
    }

    /// Whether what was let through with this epoch may still go to the handler.
    pub(super) fn still_lets(&self, epoch: Option<u64>) -> bool {
        let is_of_now = match epoch {
            Some(epoch) => epoch == self.epoch,
            None => self.engaged.is_none(),
        };
        is_of_now && !self.is_paused() && self.failing.is_empty()
    }

    /// One more message has to wait.
    pub(super) fn waits(&mut self) {
        if let Some(engaged) = &mut self.engaged {
            engaged.waited += 1;
        }
    }

    pub(super) fn succeeded(&mut self, epoch: Option<u64>, now: Instant) -> Option<Change> {
        self.row = Row::default();
        if !matches!(self.hint, Hint::Told) {
            self.hint = Hint::default();
        }
        match self.phase_of(epoch)? {
            Phase::Waiting { .. } => {}
            phase @ Phase::Probing => {
                *phase = Phase::Opening {
                    since: now,
                    limit: 2,
                    running: 0,
                    successes: 0,
                };
            }
            Phase::Opening {
                limit,
                running,
                successes,
                ..
            } => {
                *running = running.saturating_sub(1);
                *successes += 1;
                if *successes >= *limit {
                    *limit = limit.saturating_mul(2);
                    *successes = 0;
                }
            }
        }
        self.look(now)
    }

    /// What the handler needs is away.
    pub(super) fn unavailable(
        &mut self,
        epoch: Option<u64>,
        reason: &str,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Option<Change> {
        let asked = retry_after.map(|pause| pause.min(LONGEST_ASKED));
        let Some(engaged) = &mut self.engaged else {
            let pause = asked.unwrap_or(FIRST_PAUSE);
            self.pull(BrakeCause::Unavailable, reason, pause, now);
            return Some(Change::On(BrakeCause::Unavailable));
        };
        if epoch != Some(self.epoch) {
            // it began before the brake was on
            return None;
        }
        reason.clone_into(&mut engaged.reason);
        let grown = match engaged.phase {
            // a dependency that has just been back is not away for long
            Phase::Opening { .. } => engaged.pause,
            _ => (engaged.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
        };
        engaged.pause = asked.unwrap_or(grown);
        let until = now + asked.unwrap_or_else(|| with_jitter(grown));
        engaged.phase = Phase::Waiting { until };
        self.epoch += 1;
        None
    }

    /// A check says that something which the handler needs is away.
    pub(super) fn check_failed(
        &mut self,
        name: &str,
        reason: &str,
        now: Instant,
    ) -> Option<Change> {
        self.failing.insert(name.to_owned());
        if let Some(engaged) = &mut self.engaged {
            if !matches!(engaged.phase, Phase::Waiting { .. }) {
                engaged.phase = Phase::Waiting { until: now };
                self.epoch += 1;
            }
            reason.clone_into(&mut engaged.reason);
            return None;
        }
        self.pull(BrakeCause::Check, reason, Duration::ZERO, now);
        Some(Change::On(BrakeCause::Check))
    }

    /// A check says that something which the handler needs is there.
    pub(super) fn check_passed(&mut self, name: &str, now: Instant) {
        self.failing.remove(name);
        if !self.failing.is_empty() {
            return;
        }
        let Some(engaged) = &mut self.engaged else {
            return;
        };
        let is_over = matches!(engaged.phase, Phase::Waiting { until } if until <= now);
        if is_over && engaged.cause != BrakeCause::Failures {
            engaged.phase = Phase::Opening {
                since: now,
                limit: 1,
                running: 0,
                successes: 0,
            };
            self.epoch += 1;
        }
    }

    /// The handler failed, for whatever reason.
    pub(super) fn failed(
        &mut self,
        epoch: Option<u64>,
        message: u64,
        reason: &str,
        now: Instant,
    ) -> Option<Change> {
        if let Some(phase) = self.phase_of(epoch) {
            let is_probe = matches!(phase, Phase::Probing);
            let by_failures = self.engaged()?.cause == BrakeCause::Failures;
            if !is_probe && !by_failures {
                self.passed(epoch, now);
                return None;
            }
            let engaged = self.engaged.as_mut()?;
            reason.clone_into(&mut engaged.reason);
            let until = now + engaged.pause.min(FAILURES_PAUSE);
            engaged.phase = Phase::Waiting { until };
            self.epoch += 1;
            return None;
        }
        if self.engaged.is_some() {
            return None;
        }
        self.hint.count(now);
        let is_hint = self.after.is_none();
        if is_hint && !matches!(self.hint, Hint::Watching) {
            return None;
        }
        let wanted = self.after.unwrap_or(MANY_FAILURES);
        if !self.row.add(message, wanted, now) {
            return None;
        }
        if is_hint {
            self.row = Row::default();
            self.hint = Hint::Told;
            return Some(Change::Hint);
        }
        self.pull(BrakeCause::Failures, reason, FAILURES_PAUSE, now);
        Some(Change::On(BrakeCause::Failures))
    }

    /// What was let through says nothing about what the handler needs: the next message may.
    pub(super) fn passed(&mut self, epoch: Option<u64>, now: Instant) {
        match self.phase_of(epoch) {
            Some(phase @ Phase::Probing) => *phase = Phase::Waiting { until: now },
            Some(Phase::Opening { running, .. }) => *running = running.saturating_sub(1),
            _ => {}
        }
    }

    /// Whether the brake is off by now.
    pub(super) fn look(&mut self, now: Instant) -> Option<Change> {
        let engaged = self.engaged.as_ref()?;
        let Phase::Opening { since, limit, .. } = &engaged.phase else {
            return None;
        };
        let lasted = now - engaged.since;
        let is_steady = now - *since >= STEADY || (*limit >= OPEN && lasted >= STEADY);
        if !is_steady {
            return None;
        }
        let engaged = self.engaged.take()?;
        self.epoch += 1;
        Some(Change::Off {
            cause: engaged.cause,
            lasted,
            waited: engaged.waited,
            probes: engaged.probes,
        })
    }

    fn pull(&mut self, cause: BrakeCause, reason: &str, pause: Duration, now: Instant) {
        self.row = Row::default();
        self.epoch += 1;
        self.engaged = Some(Engaged {
            cause,
            reason: reason.to_owned(),
            since: now,
            since_when: SystemTime::now(),
            pause,
            phase: Phase::Waiting { until: now + pause },
            probes: 0,
            waited: 0,
        });
    }

    /// The phase that a message was let through in, while it lasts.
    fn phase_of(&mut self, epoch: Option<u64>) -> Option<&mut Phase> {
        let is_now = epoch == Some(self.epoch);
        let engaged = self.engaged.as_mut().filter(|_| is_now)?;
        Some(&mut engaged.phase)
    }
}

impl Engaged {
    /// Whether messages flow again, if not all of them.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Opening { .. })
    }

    pub(super) fn lasted(&self, now: Instant) -> Duration {
        now - self.since
    }
}

/// How long a brake that opens is looked at again after.
pub(super) const LOOK_AGAIN: Duration = STEADY;

fn with_jitter(pause: Duration) -> Duration {
    pause - pause / 100 * fastrand::u32(..=JITTER)
}

#[cfg(test)]
mod tests;
