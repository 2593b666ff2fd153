use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long a message waits whose copy could not be kept, until that is tried again or the message goes back.
///
/// Without a pause it would be tried as often as the broker can answer. The pauses of a queue grow while no
/// copy is kept. Many messages that fail at the same time are one failure.
#[derive(Debug, Default)]
pub(crate) struct RequeuePause(Mutex<Option<Current>>);

#[derive(Clone, Copy, Debug)]
struct Current {
    pause: Duration,
    /// When the messages that wait for this pause are back.
    until: Instant,
}

impl RequeuePause {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30);

    /// A copy was kept.
    pub(super) fn reset(&self) {
        *self.lock() = None;
    }

    /// A copy was not kept. Says how long to wait, and whether nobody was told so before.
    pub(super) fn next(&self, now: Instant) -> (Duration, bool) {
        let mut current = self.lock();
        let pause = match *current {
            None => Self::FIRST,
            Some(Current { pause, until }) if now < until => return (pause, false),
            Some(Current { pause, .. }) => (pause * 2).min(Self::LONGEST),
        };
        let until = now + pause;
        *current = Some(Current { pause, until });
        (pause, true)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_from_try_to_try_until_a_copy_is_kept() {
        let pause = RequeuePause::default();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            // those that fail together wait as long
            for number in 0..50 {
                let told = pause.next(Instant::now());
                assert_eq!(told, (Duration::from_secs(seconds), number == 0));
            }
            tokio::time::advance(Duration::from_secs(seconds)).await;
        }
        pause.reset();
        assert_eq!(pause.next(Instant::now()), (RequeuePause::FIRST, true));
    }
}
