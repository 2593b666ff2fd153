use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{info, warn};

/// How long messages wait for a store that fails or does not answer, from one try to the next.
///
/// The pauses grow until the store answers again. Messages that fail at the same time are one failure: the log has
/// a line for each pause, not for each message.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Option<Current>>);

#[derive(Clone, Copy, Debug)]
struct Current {
    since: Instant,
    pause: Duration,
    /// When the pause of those that failed together is over.
    until: Instant,
}

impl Outage {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(10);

    /// The store answered.
    pub(super) fn over(&self) {
        if let Some(Current { since, .. }) = self.lock().take() {
            let after = since.elapsed();
            info!("the store of the ids answers again, after {after:?}");
        }
    }

    /// The store did not answer. Says how long to wait until it is asked again.
    pub(super) fn pause(&self, queue: &str, trouble: &impl fmt::Display) -> Duration {
        let now = Instant::now();
        let mut current = self.lock();
        let (since, pause) = match *current {
            None => (now, Self::FIRST),
            Some(Current { pause, until, .. }) if now < until => return pause,
            Some(Current { since, pause, .. }) => (since, (pause * 2).min(Self::LONGEST)),
        };
        let until = now + pause;
        *current = Some(Current {
            since,
            pause,
            until,
        });
        drop(current);
        warn!(
            queue, error = %trouble,
            "the store of the ids does not answer: messages wait for it, asking again in {pause:?}"
        );
        pause
    }

    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_the_store_answers() {
        let outage = Outage::default();
        for millis in [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000] {
            // those that fail together wait as long
            for _ in 0..50 {
                let pause = outage.pause("q", &"no");
                assert_eq!(pause, Duration::from_millis(millis));
            }
            tokio::time::advance(Duration::from_millis(millis)).await;
        }
        outage.over();
        assert_eq!(outage.pause("q", &"no"), Outage::FIRST);
    }
}
