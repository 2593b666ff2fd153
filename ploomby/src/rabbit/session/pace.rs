use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};

/// When acknowledgements are sent, though there is room for more in one.
///
/// Each is work for the broker, most of all in a quorum queue. So where messages come close behind one
/// another, they are held back over the moments in which none is there. What is alone never waits, nor do the
/// first of many.
pub(super) struct Pace {
    /// Since when there is no message at hand.
    idle: Option<Instant>,
    /// The last delivery by then.
    last: u64,
    /// A leaky bucket: each message fills it by [`CLOSE`], and all time without one empties it.
    level: Duration,
    /// Until when acknowledgements are held back.
    until: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

/// Messages with less idle time than this before each of them are close behind one another.
const CLOSE: Duration = Duration::from_micros(200);

/// So many are no accident: a moment in which the machine did something else brings a few.
const MANY: u32 = 16;

/// How many count at most: those that come after a pause of three milliseconds belong to those before.
const MOST: u32 = 2 * MANY;

/// How long acknowledgements are held back; tokio's clock may take one millisecond more.
const HOLD: Duration = Duration::from_millis(1);

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            idle: None,
            last: 0,
            level: Duration::ZERO,
            until: None,
            sleep: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Messages have come after none was at hand.
    pub(super) fn begins(&mut self) {
        if let Some(idle) = self.idle.take() {
            self.level = self.level.saturating_sub(idle.elapsed());
        }
    }

    /// Whether to hold back what there is to acknowledge up to this delivery, now that none is at hand.
    ///
    /// `can_wait` says whether there is something, and the broker can deliver on without it.
    pub(super) fn holds(&mut self, last: u64, can_wait: impl FnOnce() -> bool) -> bool {
        self.begins();
        let now = Instant::now();
        self.idle = Some(now);
        let came = u32::try_from(last - self.last).map_or(MOST, |came| came.min(MOST));
        self.last = last;
        self.level = (self.level + CLOSE * came).min(CLOSE * MOST);
        let may_hold = match self.until {
            Some(until) => now < until,
            None => self.level >= CLOSE * MANY,
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

    /// What there was to acknowledge is sent: what comes next is held back for a time of its own.
    pub(super) fn sent(&mut self) {
        self.until = None;
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

    /// So many messages, after so long a time without one; whether their acknowledgements are held back.
    async fn come(pace: &mut Pace, count: u32, after: Duration) -> bool {
        advance(after).await;
        pace.begins();
        pace.holds(pace.last + u64::from(count), || true)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_alone_never_waits() {
        let mut pace = Pace::new();
        for _ in 0..MOST * 2 {
            assert!(!come(&mut pace, 1, CLOSE).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_come_close_behind_one_another_wait_for_a_moment_together() {
        let mut pace = Pace::new();
        // each leaves half of it
        for number in 1..2 * MANY - 1 {
            assert!(!come(&mut pace, 1, CLOSE / 2).await, "{number} are a few");
        }
        let start = Instant::now();
        assert!(come(&mut pace, 1, CLOSE / 2).await);
        assert!(come(&mut pace, 1, CLOSE / 2).await);
        pace.over().await;
        let took = start.elapsed();
        assert!(HOLD <= took && took < 3 * HOLD, "{took:?}");
        assert!(!pace.holds(pace.last, || true));
        assert!(!pace.is_holding());
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_a_full_acknowledgement_has_its_own_time() {
        let mut pace = Pace::new();
        assert!(come(&mut pace, MANY, Duration::ZERO).await);
        advance(HOLD / 2).await;
        pace.sent();
        assert!(come(&mut pace, MANY, Duration::ZERO).await);
        assert!(come(&mut pace, MANY, HOLD / 2).await);
        assert!(!come(&mut pace, MANY, HOLD / 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_pause_are_many_still_and_one_much_later_is_alone() {
        let mut pace = Pace::new();
        assert!(come(&mut pace, 1000, Duration::ZERO).await);
        pace.over().await;
        assert!(!pace.holds(pace.last, || true));
        assert!(come(&mut pace, 7, HOLD).await);
        pace.over().await;
        assert!(!pace.holds(pace.last, || true));
        assert!(!come(&mut pace, 1, 4 * HOLD).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_that_the_broker_waits_for() {
        let mut pace = Pace::new();
        assert!(!pace.holds(u64::from(MANY), || false));
        assert!(pace.holds(u64::from(MANY), || true));
        assert!(!pace.holds(u64::from(MANY), || false));
        assert!(!pace.is_holding());
    }
}
