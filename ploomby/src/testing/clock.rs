use std::{collections::BTreeMap, fmt, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::director::GoesOn;

/// A clock that stands still until it is moved, or real time, and who waits for it.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    now: Instant,
    pub(super) real: bool,
    last: u64,
    waiting: BTreeMap<TimerId, oneshot::Sender<GoesOn>>,
}

/// In the order in which they are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimerId(Instant, u64);

impl TimerId {
    pub(super) fn at(self) -> Instant {
        self.0
    }
}

impl Clock {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now,
            real: false,
            last: 0,
            waiting: BTreeMap::new(),
        }
    }

    /// From here on, time is real.
    pub(super) fn is_real(&mut self) {
        self.real = true;
        self.start = Instant::now();
    }

    pub(super) fn now(&self) -> Instant {
        if self.real { Instant::now() } else { self.now }
    }

    /// How far it was moved.
    pub(super) fn elapsed(&self) -> Duration {
        self.now() - self.start
    }

    pub(super) fn wait(&mut self, time: Duration) -> (TimerId, oneshot::Receiver<GoesOn>) {
        // what the clock cannot count to never comes
        let far = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        let at = self.now() + time.min(far);
        self.last += 1;
        let id = TimerId(at, self.last);
        let (sender, receiver) = oneshot::channel();
        self.waiting.insert(id, sender);
        (id, receiver)
    }

    pub(super) fn forget(&mut self, id: TimerId) {
        self.waiting.remove(&id);
    }

    /// When the first of those who wait is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let (TimerId(at, _), _) = self.waiting.first_key_value()?;
        Some(*at)
    }

    /// Moves on, never back. Those who are due are to be told.
    pub(super) fn move_to(&mut self, now: Instant) -> Vec<oneshot::Sender<GoesOn>> {
        self.now = self.now.max(now);
        let mut due = Vec::new();
        while self.due().is_some_and(|at| at <= self.now) {
            due.extend(self.waiting.pop_first().map(|(_, sender)| sender));
        }
        due
    }
}

/// A time as people write it: `1h30m`, `250ms`.
pub(super) struct Time(pub(super) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let mut left = millis;
        for (unit, length) in [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1_000),
            ("ms", 1),
        ] {
            if left >= length {
                write!(f, "{}{unit}", left / length)?;
                left %= length;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_as_people_write_it() {
        let times = [0, 250, 1_000, 5_400_000, 90_061_001].map(Duration::from_millis);
        let texts = times.map(|time| Time(time).to_string());
        assert_eq!(texts, ["0s", "250ms", "1s", "1h30m", "1d1h1m1s1ms"]);
    }
}
