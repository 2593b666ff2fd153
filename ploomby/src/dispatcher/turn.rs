//! How long a consumer keeps its thread of the runtime to itself.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio::task::yield_now;

use crate::stage::Stage;

/// One that computes for longer gives the others on its thread their turn before its next message.
const LONGEST: Duration = Duration::from_millis(1);

/// When the runtime came to a consumer last.
///
/// Handlers that never wait would else run one after another for as long as messages are at hand, and
/// nothing else on the thread would: no other consumer, nor who sends the acknowledgements.
pub(super) struct Turn {
    /// What the others are counted from.
    first: Instant,
    began: AtomicU64,
    /// In a test nothing depends on how fast the machine is.
    is_timed: bool,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            first: Instant::now(),
            // where the runtime is not known to come by, nobody is kept waiting
            began: AtomicU64::new(u64::MAX),
            is_timed: true,
        }
    }
}

impl Turn {
    pub(super) fn on(stage: &Stage) -> Self {
        Self {
            is_timed: stage.watch().is_none(),
            ..Self::default()
        }
    }

    /// The runtime has just come to the consumer.
    pub(super) fn begin(&self) {
        if self.is_timed {
            self.began.store(self.now(), Relaxed);
        }
    }

    /// Whether it is for others at this moment.
    #[inline]
    pub(super) fn is_over(&self, now: u64) -> bool {
        let nanos = now.saturating_sub(self.began.load(Relaxed));
        nanos >= LONGEST.as_nanos() as u64
    }

    /// Lets all others go first.
    pub(super) async fn pass(&self) {
        yield_now().await;
        self.begin();
    }

    /// The moment, in nanoseconds from the first one.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        // five hundred years fit
        self.first.elapsed().as_nanos() as u64
    }

    /// When that was.
    pub(super) fn at(&self, now: u64) -> Instant {
        self.first + Duration::from_nanos(now)
    }
}
