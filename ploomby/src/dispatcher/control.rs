//! What a program does with the consumers of a queue: it looks at them, pauses them and ends them.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};

use super::{Consumer, CutOff, Dispatcher};
use crate::{health::ConsumerHealth, metrics::QueueMeter};

impl Dispatcher {
    pub(crate) fn health(&self) -> Arc<ConsumerHealth> {
        self.consumer.health.clone()
    }

    /// What is counted of the queue.
    pub(crate) fn meter(&self) -> &QueueMeter {
        &self.queue.meter
    }

    /// The handler that has held its message for the longest time, and how long.
    pub(crate) fn longest(&self) -> Option<(&'static str, Duration)> {
        self.consumer.in_flight.longest()
    }

    /// Lets no message go to a handler of the queue.
    pub(crate) fn pause(&self, by: &str) {
        self.queue.brakes.pause(by);
    }

    /// Whether it was paused.
    pub(crate) fn resume(&self) -> bool {
        self.queue.brakes.resume()
    }

    /// Lets no message go to one handler, which a key or its function's name names. Whether there is such a handler.
    pub(crate) fn pause_handler(&self, handler: &str, by: &str) -> bool {
        let route = self.queue.handlers.named(handler);
        route.inspect(|route| route.brake.pause(by)).is_some()
    }

    /// Whether it was paused.
    pub(crate) fn resume_handler(&self, handler: &str) -> bool {
        let route = self.queue.handlers.named(handler);
        route.is_some_and(|route| route.brake.resume())
    }

    /// Begins the shutdown of all consumers of the queue.
    pub(crate) fn stop(&self) {
        self.queue.mode.stop();
        self.queue.settling.stop.cancel();
    }

    /// Drops the handlers of all consumers of the queue where they wait next.
    pub(crate) fn abandon(&self) {
        self.stop();
        self.queue.abandoned.cancel();
    }

    /// Says that settling a message of this handler has panicked: the source has it for as long as it is open.
    pub(super) fn settling_panicked(&self, handler: &'static str) {
        // the first is enough
        let _ = self.consumer.cannot_settle.set(handler);
        self.consumer.over.cancel();
    }

    /// Resolves when shutdown begins, or when a message of this consumer's [can never be settled](Self::cannot_settle).
    pub(crate) async fn over(&self) {
        self.consumer.over.cancelled().await;
    }

    /// The handler of a message that can never be settled.
    pub(crate) fn cannot_settle(&self) -> Option<&'static str> {
        self.consumer.cannot_settle.get().copied()
    }

    /// Waits for this consumer's handlers in flight; drops those that are not done within the
    /// deadline and names them.
    pub(crate) async fn drain(&self, deadline: Instant) -> Vec<CutOff> {
        let Consumer {
            in_flight,
            tasks,
            abort,
            ..
        } = &*self.consumer;
        tasks.close();
        if timeout_at(deadline, tasks.wait()).await.is_ok() {
            return Vec::new();
        }
        let cut_off = in_flight.cut_off();
        abort.cancel();
        // a handler that blocks its thread cannot be dropped, and must not keep the rest
        let _ = timeout(ABORT_TIME, tasks.wait()).await;
        cut_off
    }
}

/// How long handlers that are cut off may take to come to a place where they can be dropped.
const ABORT_TIME: Duration = Duration::from_secs(1);
