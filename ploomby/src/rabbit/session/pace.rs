use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};

/// When acknowledgements are sent, though there is room for more in one.
///
/// Each is work for the broker, most of all in a quorum queue. So where many messages come, they are held back
/// over the moments in which none is there. What is alone never waits, nor do a few.
pub(super) struct Pace {
    /// A leaky bucket: each message fills it by [`CLOSE`], and time empties it.
    level: Duration,
    /// When it was looked at, last.
    looked: Instant,
    /// The last delivery by then.
    last: u64,
    /// Until when what there is to acknowledge is held back.
    until: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

/// Messages are many where they come this close behind one another, or closer, on average.
const CLOSE: Duration = Duration::from_micros(200);

/// So many are no accident: a moment in which the machine did something else brings a few.
const MANY: u32 = 16;

/// How many count at most: those that come after a pause of three milliseconds belong to those before.
const MOST: u32 = 2 * MANY;

/// How long acknowledgements are held back; tokio's clock may take one millisecond more.
const HOLD: Duration = Duration::from_millis(1);

impl Pace {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            level: Duration::ZERO,
            looked: now,
            last: 0,
            until: None,
            sleep: Box::pin(sleep_until(now)),
        }
    }

    /// Whether to hold back what there is to acknowledge up to this delivery, now that no message is at hand.
    /// Where not, it stays so until it is [`sent`](Self::sent).
    ///
    /// `can_wait` says whether there is something, and the broker can deliver on without it.
    pub(super) fn hold_back(&mut self, last: u64, can_wait: impl FnOnce() -> bool) -> bool {
        let now = Instant::now();
        self.fill(last, now);
        let may_hold = match self.until {
            Some(until) => now < until,
            None => self.level >= CLOSE * MANY,
        };
        if !may_hold || !can_wait() {
            return false;
        }
        if self.until.is_none() {
            let until = now + HOLD;
            self.until = Some(until);
            self.sleep.as_mut().reset(until);
        }
        true
    }

    fn fill(&mut self, last: u64, now: Instant) {
        let came = u32::try_from(last.saturating_sub(self.last)).unwrap_or(u32::MAX);
        let level = (self.level + CLOSE * came).saturating_sub(now - self.looked);
        self.level = level.min(CLOSE * MOST);
        (self.last, self.looked) = (last, now);
    }

    /// What there was to acknowledge is sent: what comes next is held back for a time of its own.
    pub(super) fn sent(&mut self) {
        self.until = None;
    }

    /// Whether acknowledgements are held back, or were until now.
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

    /// So many messages in so long a time; whether their acknowledgements are held back.
    async fn come(pace: &mut Pace, count: u32, within: Duration) -> bool {
        advance(within).await;
        pace.hold_back(pace.last + u64::from(count), || true)
    }

    /// Many, whose acknowledgements are held back.
    async fn busy() -> Pace {
        let mut pace = Pace::new();
        assert!(come(&mut pace, 1000, HOLD).await);
        pace
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_alone_never_waits() {
        let mut pace = Pace::new();
        for _ in 0..MOST * 2 {
            assert!(!come(&mut pace, 1, CLOSE).await);
            pace.sent();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_of_a_handler_that_computes_are_few() {
        let mut pace = Pace::new();
        for _ in 0..10 {
            assert!(!come(&mut pace, MOST, CLOSE * MOST).await);
            pace.sent();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_come_close_behind_one_another_wait_for_a_moment_together() {
        let mut pace = Pace::new();
        // each leaves half of it
        for number in 1..2 * MANY {
            assert!(!come(&mut pace, 1, CLOSE / 2).await, "{number} are a few");
            pace.sent();
        }
        let start = Instant::now();
        assert!(come(&mut pace, 1, CLOSE / 2).await);
        assert!(come(&mut pace, 1, CLOSE / 2).await);
        pace.over().await;
        let took = start.elapsed();
        assert!(HOLD <= took && took < 3 * HOLD, "{took:?}");
        assert!(!pace.hold_back(pace.last, || true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_waited_does_not_wait_again_however_many_come() {
        let mut pace = busy().await;
        assert!(!come(&mut pace, 1000, HOLD).await);
        assert!(!come(&mut pace, 1000, Duration::ZERO).await);
        pace.sent();
        assert!(come(&mut pace, 1000, HOLD).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_what_was_sent_has_its_own_time() {
        let mut pace = busy().await;
        advance(HOLD / 2).await;
        pace.sent();
        assert!(come(&mut pace, MANY, Duration::ZERO).await);
        assert!(come(&mut pace, MANY, HOLD / 2).await);
        assert!(!come(&mut pace, MANY, HOLD / 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_pause_are_many_still_and_one_much_later_is_alone() {
        let mut pace = busy().await;
        pace.sent();
        assert!(come(&mut pace, 7, 3 * HOLD).await);
        pace.sent();
        assert!(!come(&mut pace, 1, 3 * HOLD).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_that_the_broker_waits_for() {
        let mut pace = busy().await;
        assert!(!pace.hold_back(pace.last, || false));
        pace.sent();
        assert!(!pace.is_holding());
        assert!(!pace.hold_back(pace.last, || false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tag_that_falls_is_no_message() {
        let mut pace = busy().await;
        pace.sent();
        assert!(!pace.hold_back(0, || false));
        assert_eq!(pace.last, 0);
    }
}
