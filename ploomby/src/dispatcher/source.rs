//! What a source tells its dispatcher, and asks it, beside its deliveries.

use std::{fmt, future::poll_fn, pin::pin};

use tracing::{error, info};

use super::Dispatcher;

impl Dispatcher {
    /// Says that the source delivers again, after [`not_consuming`](Self::not_consuming). A consumer
    /// counts as consuming from its start on.
    pub fn consuming(&self) {
        if self.consumer.health.consuming() {
            info!(queue = self.listen_for(), "consuming again");
        }
    }

    /// Says that the source does not deliver for now, and why: a lost connection, or a try to open
    /// it again that failed. It shows in the log and in [`Health`](crate::Health), so the reason
    /// must not hold a secret.
    ///
    /// Without it, a consumer counts as consuming until its `consume` ends.
    pub fn not_consuming(&self, reason: impl fmt::Display) {
        if self.consumer.health.not_consuming(&reason) && !self.is_stopped() {
            error!(queue = self.listen_for(), %reason, "not consuming");
        }
    }

    /// [`not_consuming`](Self::not_consuming) without a line in the log: what all queues of the program share was told
    /// once for all of them.
    pub(crate) fn away(&self, reason: impl fmt::Display) {
        self.consumer.health.not_consuming(reason);
    }

    /// [`consuming`](Self::consuming) after [`away`](Self::away), without a line in the log.
    pub(crate) fn back(&self) {
        self.consumer.health.consuming();
    }

    /// Says why the messages of its exchanges do not come, while it consumes what is there.
    pub(crate) fn unwired(&self, reason: impl fmt::Display) {
        self.consumer.health.unwired(reason);
    }

    /// They come again.
    pub(crate) fn wired(&self) {
        self.consumer.health.wired();
    }

    /// Says that the consumer is over, unless it said why before.
    pub(crate) fn ended(&self) {
        if self.is_stopped() {
            self.consumer.health.not_consuming("shut down");
        } else {
            self.consumer.health.ended();
        }
    }

    /// Runs a consumer, and takes note of when the runtime comes to it.
    pub(crate) async fn taking_turns<T>(&self, consume: impl Future<Output = T>) -> T {
        let mut consume = pin!(consume);
        poll_fn(|cx| {
            self.consumer.turn.begin();
            consume.as_mut().poll(cx)
        })
        .await
    }

    /// Whether the source is to deliver nothing for now: all handlers of the queue wait for what they need, or the
    /// program has paused the queue. A source that does so says it by [`Acknowledger::rests`](crate::Acknowledger::rests);
    /// one that cannot goes on, and messages wait here, within its prefetch.
    pub fn is_resting(&self) -> bool {
        self.queue.brakes.is_resting()
    }

    /// Resolves when [`is_resting`](Self::is_resting) is not `before` any more.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub async fn rest_changed(&self, before: bool) {
        let mut resting = self.queue.brakes.resting();
        // it ends with the queue
        let changed = resting.wait_for(|rests| *rests != before).await;
        // not held any longer: who has the queue rest waits for it, and whoever looks waits for them
        let rests = changed.map(|rests| *rests);
        if let Ok(rests) = rests {
            self.queue.brakes.note(rests);
        }
    }

    /// Resolves when shutdown begins: a consumer then tells its source to send nothing more.
    pub async fn stopped(&self) {
        self.queue.settling.stop.cancelled().await;
    }

    /// What comes of this future, unless shutdown begins before it is done.
    pub(crate) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        self.queue.settling.stop.run_until_cancelled(future).await
    }

    /// Whether shutdown has begun.
    pub fn is_stopped(&self) -> bool {
        self.queue.mode.is_stopped()
    }
}
