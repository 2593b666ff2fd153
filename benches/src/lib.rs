//! What the benchmarks share.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

pub mod bare;

/// Tells a benchmark that its handlers have seen all messages.
#[derive(Debug)]
pub struct Countdown {
    left: AtomicUsize,
    done: Notify,
}

impl Countdown {
    /// Nothing to wait for.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            left: AtomicUsize::new(0),
            done: Notify::const_new(),
        }
    }

    /// Starts counting down from this many messages, before the first of them is delivered.
    pub fn start(&self, messages: usize) {
        self.left.store(messages, Ordering::Relaxed);
    }

    /// One message less.
    pub fn count(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.done.notify_one();
        }
    }

    /// Waits for the last message.
    pub async fn done(&self) {
        self.done.notified().await;
    }
}

impl Default for Countdown {
    fn default() -> Self {
        Self::new()
    }
}

/// The same thing measured several times, more being better.
#[derive(Clone, Debug)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// The samples of all rounds, in any order.
    #[must_use]
    pub fn new(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }
}

/// Best, median and worst, as three columns with the precision asked for.
impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(0);
        let samples = &self.0;
        for at in [samples.len() - 1, samples.len() / 2, 0] {
            write!(f, "{:>10.decimals$}", samples[at])?;
        }
        Ok(())
    }
}
