use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tracing::{debug, warn};

/// One warning in this time tells of all replies that were lost by the same cause.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

/// The replies of one queue that did not reach who asked.
#[derive(Debug, Default)]
pub(crate) struct LostReplies([Lost; 4]);

/// Why a reply was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It may not go where the request says.
    Refused,
    /// It is too large for a queue.
    TooLarge,
    /// No queue has the name.
    Unroutable,
    /// The broker did not take it, or not in time.
    Failed,
}

#[derive(Debug, Default)]
struct Lost {
    count: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    at: Option<Instant>,
    count: u64,
}

impl LostReplies {
    /// Counts a reply, and warns unless that was done a moment ago.
    pub(crate) fn note(&self, loss: Loss, queue: &str, reply_to: &str, why: &dyn fmt::Display) {
        match self.count(loss) {
            Some(count) => {
                let what = loss.what();
                warn!(queue, reply_to, %why, count, "{what}");
            }
            None => debug!(queue, reply_to, %why, "a reply was lost"),
        }
    }

    /// How many since the last warning, if one is due.
    fn count(&self, loss: Loss) -> Option<u64> {
        let Lost { count, told } = self.of(loss);
        let count = count.fetch_add(1, Relaxed) + 1;
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.at.is_some_and(|at| at.elapsed() < BETWEEN_WARNINGS) {
            return None;
        }
        let since = count.saturating_sub(told.count);
        *told = Told {
            at: Some(Instant::now()),
            count,
        };
        Some(since)
    }

    pub(crate) fn lost_by(&self, loss: Loss) -> u64 {
        self.of(loss).count.load(Relaxed)
    }

    fn of(&self, loss: Loss) -> &Lost {
        &self.0[match loss {
            Loss::Refused => 0,
            Loss::TooLarge => 1,
            Loss::Unroutable => 2,
            Loss::Failed => 3,
        }]
    }
}

impl Loss {
    fn what(self) -> &'static str {
        match self {
            Self::Refused => "a reply may not go where its request says, and was dropped",
            Self::TooLarge => "a reply is too large for a queue, and was dropped",
            Self::Unroutable => {
                "a reply reached nobody: there is no such queue, or no binding to one"
            }
            Self::Failed => "a reply was not sent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_tells_of_many() {
        let lost = LostReplies::default();
        assert_eq!(lost.count(Loss::Refused), Some(1));
        for _ in 0..100 {
            assert_eq!(lost.count(Loss::Refused), None);
        }
        assert_eq!(lost.count(Loss::Failed), Some(1));
        assert_eq!(lost.lost_by(Loss::Refused), 101);
        assert_eq!(lost.lost_by(Loss::Unroutable), 0);
    }
}
