use std::{
    sync::{Mutex as SyncMutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use crate::{handler::Rate, stage::Stage};

/// Lets one message begin after the other, at an even pace: the "generic cell rate algorithm", which keeps a single time.
pub(crate) struct Pace {
    period: Duration,
    /// How much earlier than even a message may begin.
    tolerance: Duration,
    /// When the next message begins, if all are even.
    due: SyncMutex<Instant>,
    /// Held by the first of those who wait; the others are behind in the lock's own queue.
    first: Mutex<()>,
    stage: Stage,
}

/// A timer is late by a millisecond or two, and nothing of the rate is to be lost by it.
const LEAST_TOLERANCE: Duration = Duration::from_millis(10);

impl Pace {
    pub(crate) fn new(rate: Rate, stage: &Stage) -> Self {
        let period = rate.period();
        let burst = period.saturating_mul(rate.at_once() - 1);
        Self {
            period,
            tolerance: burst.max(LEAST_TOLERANCE),
            due: SyncMutex::new(stage.now()),
            first: Mutex::new(()),
            stage: stage.clone(),
        }
    }

    pub(super) fn stage(&self) -> &Stage {
        &self.stage
    }

    pub(super) fn period(&self) -> Duration {
        self.period
    }

    /// Begins, if that is possible at once and nobody waits for it.
    pub(crate) fn try_begin(&self) -> bool {
        let Ok(_first) = self.first.try_lock() else {
            return false;
        };
        self.take().is_ok()
    }

    /// Waits until the next message may begin, and for what `enter` takes: the message begins once it has both.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing has begun.
    pub(crate) async fn begin<T>(&self, enter: impl Future<Output = T>) -> T {
        let is_watched = self.stage.watch().is_some();
        let first = loop {
            // a test has to know of all that they wait for its clock, and not for one another
            if is_watched {
                self.until(Self::look).await;
            }
            let first = self.first.lock().await;
            if !is_watched {
                self.until(Self::look).await;
                break Some(first);
            }
            if self.look().is_ok() {
                break Some(first);
            }
        };
        let entered = enter.await;
        let _first = first.filter(|_| !is_watched);
        self.begin_in_place().await;
        entered
    }

    /// Waits until the next message may begin, for one that has its place. It does not stand behind those that wait
    /// for a place: they might wait for this one.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing has begun.
    pub(crate) async fn begin_in_place(&self) {
        self.until(Self::take).await;
    }

    /// Waits until `ask` says yes.
    async fn until(&self, ask: impl Fn(&Self) -> Result<(), Duration>) {
        while let Err(wait) = ask(self) {
            let parked = self.stage.park();
            let awake = self.stage.sleep(wait).await;
            // before the wait counts as over: something goes on all the time
            drop(parked);
            drop(awake);
        }
    }

    /// What has begun did not come to its handler: another message may begin in its place.
    pub(super) fn undo(&self) {
        let mut due = self.lock();
        if let Some(before) = due.checked_sub(self.period) {
            *due = before;
        }
    }

    /// How long it takes until the next message may begin.
    pub(super) fn wait(&self) -> Duration {
        self.look().err().unwrap_or_default()
    }

    /// How long it takes until the next message may begin, if that is not now.
    fn look(&self) -> Result<(), Duration> {
        self.until_due(*self.lock())
    }

    /// Takes the turn, if the next message may begin now.
    pub(in crate::handler) fn take(&self) -> Result<(), Duration> {
        let mut due = self.lock();
        self.until_due(*due)?;
        let from = self.stage.now().max(*due);
        // what the clock cannot count to never comes
        *due = from.checked_add(self.period).unwrap_or(from);
        Ok(())
    }

    fn until_due(&self, due: Instant) -> Result<(), Duration> {
        let early = due.saturating_duration_since(self.stage.now());
        match early.saturating_sub(self.tolerance) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    async fn times(pace: &Pace, messages: u32) -> Vec<Duration> {
        let from = Instant::now();
        let mut times = Vec::new();
        for _ in 0..messages {
            pace.begin(ready(())).await;
            times.push(from.elapsed());
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn a_pace_is_even() {
        let pace = Pace::new(Rate::per_minute(60), &Stage::default());
        let times = times(&pace, 5).await;
        for (number, time) in (0..).zip(times) {
            let even = Duration::from_secs(number);
            assert!(even.saturating_sub(time) <= LEAST_TOLERANCE, "{time:?}");
            assert!(time <= even, "{time:?}");
        }
        assert!(!pace.try_begin());
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_begin_at_once_after_a_while_without_any() {
        let pace = Pace::new(Rate::per_second(1).burst(3), &Stage::default());
        for _ in 0..2 {
            let times = times(&pace, 4).await;
            assert_eq!(times[2], Duration::ZERO);
            assert_eq!(times[3], Duration::from_secs(1));
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    /// However late the timer is, and however short the time between two messages.
    #[tokio::test(start_paused = true)]
    async fn a_fast_pace_loses_nothing_by_a_slow_timer() {
        let pace = Pace::new(Rate::per_second(10_000), &Stage::default());
        let times = times(&pace, 20_000).await;
        let took = times[times.len() - 1];
        let even = Duration::from_secs(2);
        assert!(
            took <= even && took >= even - 2 * LEAST_TOLERANCE,
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_long_for_its_place_is_not_made_up_for() {
        let pace = Pace::new(Rate::per_second(10), &Stage::default());
        let place = tokio::time::sleep(Duration::from_secs(10));
        pace.begin(place).await;
        let times = times(&pace, 10).await;
        assert!(times[9] >= Duration::from_millis(980), "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_did_not_begin_after_all_leaves_its_turn_to_another() {
        let pace = Pace::new(Rate::per_hour(1), &Stage::default());
        assert!(pace.try_begin());
        assert!(!pace.try_begin());
        pace.undo();
        assert!(pace.try_begin());
    }
}
