use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};

/// When acknowledgements are sent, though there is room for more in one.
///
/// Each is work for the broker, most of all in a quorum queue. So where messages come one close behind the
/// other, they are held back over the moments in which none is there. What is alone never waits, nor do the
/// first of many.
pub(super) struct Pace {
    /// When there was no message at hand, last.
    idle: Instant,
    /// The last delivery before those that came close behind one another.
    before: u64,
    /// Until when acknowledgements are held back.
    until: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

/// A message that comes this soon after there was none at hand is close behind the last one.
const CLOSE: Duration = Duration::from_micros(200);

/// So many in a row are no accident: a moment in which the machine did something else brings a few.
const MANY: u64 = 16;

/// How long acknowledgements are held back; tokio's clock may take one millisecond more.
const HOLD: Duration = Duration::from_millis(1);

impl Pace {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            idle: now,
            before: 0,
            until: None,
            sleep: Box::pin(sleep_until(now)),
        }
    }

    /// Messages have come after none was at hand, the first of them behind this one.
    pub(super) fn begins(&mut self, last: u64) {
        if self.idle.elapsed() >= CLOSE {
            self.before = last;
        }
    }

    /// Whether to hold back what there is to acknowledge up to this delivery, now that none is at hand.
    ///
    /// `can_wait` says whether there is something, and the broker can deliver on without it.
    pub(super) fn holds(&mut self, last: u64, can_wait: impl FnOnce() -> bool) -> bool {
        let now = Instant::now();
        self.idle = now;
        let may_hold = match self.until {
            Some(until) => now < until,
            None => last - self.before >= MANY,
        };
        if !may_hold || !can_wait() {
            self.until = None;
            return false;
        }
        if self.until.is_none() {
            let until = now + HOLD;
            self.until = Some(until);
            self.sleep.as_mut().reset(until);
        }
        true
    }

    /// Whether acknowledgements are held back.
    pub(super) fn is_holding(&self) -> bool {
        self.until.is_some()
    }

    /// Resolves when they are held back no longer.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub(super) async fn over(&mut self) {
        self.sleep.as_mut().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_alone_never_waits() {
        let mut pace = Pace::new();
        for last in 0..MANY * 2 {
            advance(CLOSE).await;
            pace.begins(last);
            assert!(!pace.holds(last + 1, || true));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_come_close_behind_one_another_wait_for_a_moment_together() {
        let mut pace = Pace::new();
        for last in 0..MANY - 1 {
            advance(CLOSE / 2).await;
            pace.begins(last);
            assert!(!pace.holds(last + 1, || true), "{last} is one of a few");
        }
        let start = Instant::now();
        assert!(pace.holds(MANY, || true));
        advance(CLOSE / 2).await;
        pace.begins(MANY);
        assert!(pace.holds(MANY + 1, || true));
        pace.over().await;
        let took = start.elapsed();
        assert!(HOLD <= took && took < 3 * HOLD, "{took:?}");
        assert!(!pace.holds(MANY + 1, || true));
        assert!(!pace.is_holding());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_that_the_broker_waits_for() {
        let mut pace = Pace::new();
        assert!(!pace.holds(MANY, || false));
        assert!(pace.holds(MANY, || true));
        assert!(!pace.holds(MANY, || false));
        assert!(!pace.is_holding());
    }
}
