use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};

/// When acknowledgements are sent, though there is room for more in one.
///
/// Each is work for the broker, most of all in a quorum queue. So where messages come one close behind the
/// other, they are held back over the moments in which none is there. What is alone never waits.
pub(super) struct Pace {
    /// When there was nothing left to do.
    idle: Option<Instant>,
    /// Until when they are held back.
    until: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

/// A message that comes this soon after there was nothing left to do is not alone.
const CLOSE: Duration = Duration::from_micros(200);

/// How long acknowledgements are held back; tokio's clock may take one millisecond more.
const HOLD: Duration = Duration::from_millis(1);

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            idle: None,
            until: None,
            sleep: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Whether to hold back so many acknowledgements, now that there is no message at hand.
    ///
    /// `is_done` says whether none is with its handler: the broker may deliver no more before these are
    /// acknowledged.
    pub(super) fn holds(
        &mut self,
        acknowledgements: usize,
        is_done: impl FnOnce() -> bool,
    ) -> bool {
        let now = Instant::now();
        let may_hold = match (acknowledgements, self.until) {
            (0, _) => false,
            (_, Some(until)) => now < until,
            (1, None) => self.idle.is_some_and(|idle| now - idle < CLOSE),
            (_, None) => true,
        };
        if !may_hold || !is_done() {
            self.idle = Some(now);
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
        for _ in 0..3 {
            assert!(!pace.holds(1, || true));
            advance(CLOSE).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_close_behind_waits_for_a_moment_together() {
        let mut pace = Pace::new();
        assert!(!pace.holds(1, || true));
        let start = Instant::now();
        for held in 1..4 {
            advance(CLOSE / 2).await;
            assert!(pace.holds(held, || true));
        }
        pace.over().await;
        let took = start.elapsed();
        assert!(HOLD < took && took < 3 * HOLD, "{took:?}");
        assert!(!pace.holds(3, || true));
        assert!(!pace.is_holding());
    }

    #[tokio::test(start_paused = true)]
    async fn several_wait_unless_a_handler_runs_or_the_broker_knows() {
        let mut pace = Pace::new();
        assert!(!pace.holds(2, || false));
        assert!(pace.holds(2, || true));
        assert!(!pace.holds(2, || false));
        assert!(pace.holds(2, || true));
        assert!(!pace.holds(0, || true));
        assert!(!pace.is_holding());
    }
}
