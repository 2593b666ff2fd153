//! Counts what handlers have seen.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

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

/// Says on standard output how long it took from the first message to the last.
#[derive(Debug)]
pub struct Stopwatch {
    seen: AtomicUsize,
    messages: AtomicUsize,
    first: OnceLock<Instant>,
}

impl Stopwatch {
    /// One that never stops.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            seen: AtomicUsize::new(0),
            messages: AtomicUsize::new(0),
            first: OnceLock::new(),
        }
    }

    /// Stops at this many messages.
    pub fn stop_at(&self, messages: usize) {
        self.messages.store(messages, Ordering::Relaxed);
    }

    /// One message more.
    pub fn count(&self) {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        if seen == 1 {
            self.first.get_or_init(Instant::now);
        } else if seen == self.messages.load(Ordering::Relaxed) {
            let time = self.first.get().map(Instant::elapsed);
            println!("drained {}", time.unwrap_or(Duration::ZERO).as_secs_f64());
        }
    }
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self::new()
    }
}
