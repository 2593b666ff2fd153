use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// How long a message whose copy could not be kept is held before it is requeued.
///
/// Without a pause it would come back at once, as often as the broker can deliver. The pauses of a
/// queue grow while no copy is kept: a quorum queue counts how often a message came back, and gives
/// it up after a while.
#[derive(Debug, Default)]
pub(crate) struct RequeuePause {
    failures: AtomicU32,
}

impl RequeuePause {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(60);

    /// A copy was kept.
    pub(super) fn reset(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// A copy was not kept.
    pub(super) fn next(&self) -> Duration {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        let pause = Self::FIRST.saturating_mul(2_u32.saturating_pow(failures));
        pause.min(Self::LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_copy_is_kept() {
        let pause = RequeuePause::default();
        let seconds: Vec<u64> = (0..8).map(|_| pause.next().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        pause.reset();
        assert_eq!(pause.next(), RequeuePause::FIRST);
    }
}
