//! Where messages are handled: in real time and unwatched, unless a test has set the stage.
//!
//! A test has a clock of its own, which stands still until it is moved, and looks on while messages are handled. It has to
//! know when nothing goes on any more. So what goes on is counted: each delivery that is not settled (by the broker), each
//! task of a delivery, and of these the ones that wait for the clock, or for another delivery that does.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use crate::{
    delivery::{Delivery, Published},
    outcome::{Failure, Outcome},
};

/// A clock, and who looks on.
pub(crate) trait Watch: Send + Sync {
    fn now(&self) -> Instant;

    /// Resolves when so much time is over. From then on something goes on, until what it resolves to is dropped.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, Box<dyn Send>>;

    /// A delivery waits for the clock.
    fn parked(&self);

    /// It goes on.
    fn unparked(&self);

    /// A delivery has a task of its own.
    fn entered(&self);

    /// The task is over.
    fn left(&self);

    /// The broker has heard of a delivery, or lost a consumer.
    fn changed(&self);

    /// What becomes of a delivery, just before the source is told.
    fn settled(&self, delivery: &Delivery, handler: &'static str, verdict: Verdict<'_>);

    /// A message was sent, and these queues have it.
    fn sent(&self, published: &Published, queues: &[Arc<str>]);

    /// What is sent to the first of these queues waits there for the second.
    fn waits(&self, waiting: &str, queue: &str);
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "testing"),
    allow(dead_code, reason = "tests alone look on")
)]
pub(crate) struct Verdict<'a> {
    /// None if it waits for what its handler needs.
    pub(crate) outcome: Option<Outcome>,
    /// How long it waits until it is delivered again.
    pub(crate) after: Option<Duration>,
    pub(crate) failure: Option<&'a Failure>,
}

impl Verdict<'_> {
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self {
            outcome: Some(outcome),
            after: None,
            failure: None,
        }
    }

    /// It waits for what its handler needs.
    pub(crate) fn held() -> Self {
        Self {
            outcome: None,
            after: None,
            failure: None,
        }
    }
}

/// In real time and unwatched by default.
#[derive(Clone, Default)]
pub(crate) struct Stage(Option<Arc<dyn Watch>>);

/// A delivery that waits for the clock, until this is dropped.
pub(crate) struct Parked(Stage);

/// A wait that is over. What comes of it has begun once this is dropped.
pub(crate) struct Awake {
    _goes_on: Option<Box<dyn Send>>,
}

impl Stage {
    #[cfg(feature = "testing")]
    pub(crate) fn set(watch: Arc<dyn Watch>) -> Self {
        Self(Some(watch))
    }

    /// Who looks on.
    #[inline]
    pub(crate) fn watch(&self) -> Option<&dyn Watch> {
        self.0.as_deref()
    }

    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.watch().map_or_else(Instant::now, Watch::now)
    }

    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub(crate) async fn sleep(&self, time: Duration) -> Awake {
        let goes_on = match self.watch() {
            None => {
                sleep(time).await;
                None
            }
            Some(watch) => Some(watch.sleep(time).await),
        };
        Awake { _goes_on: goes_on }
    }

    pub(crate) fn park(&self) -> Parked {
        if let Some(watch) = self.watch() {
            watch.parked();
        }
        Parked(self.clone())
    }

    pub(crate) fn changed(&self) {
        if let Some(watch) = self.watch() {
            watch.changed();
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        if let Some(watch) = self.0.watch() {
            watch.unparked();
        }
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            None => "real",
            Some(_) => "set by a test",
        })
    }
}
