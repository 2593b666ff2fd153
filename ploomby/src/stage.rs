//! Where messages are handled: in real time and unwatched, unless a test has set the stage.
//!
//! A test has a clock of its own, which stands still until it is moved, and looks on while messages are handled. It has to
//! know when nothing goes on any more. So what goes on is counted: each delivery that is not settled (by the broker), each
//! task of a delivery, and of these the ones that wait for the clock, or for another delivery that does.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use crate::{
    delivery::{Delivery, Published},
    message::Addressed,
    outcome::{Failure, Outcome},
};

#[cfg(feature = "testing")]
pub(crate) mod given;

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

    /// A consumer is there.
    fn came(&self);

    /// It is gone, with all that it held.
    fn gone(&self);

    /// Something goes on, until what is returned is dropped.
    fn goes_on(&self) -> Box<dyn Send>;

    /// What becomes of something that the program asks of the broker, for this queue.
    fn fate(&self, asked: Asked, queue: &str) -> Fate;

    /// A delivery is in line behind others of the same value. Each order has a number.
    fn lined_up(&self, delivery: &Delivery, order: usize, value: Option<&[u8]>);

    /// What becomes of a delivery, just before the source is told.
    fn settled(&self, delivery: &Delivery, handler: &'static str, verdict: Verdict<'_>);

    /// A message was sent, and these queues have it.
    fn sent(&self, published: &Published, queues: &[Arc<str>]);

    /// What is sent to the first of these queues waits there for the second.
    fn waits(&self, waiting: &str, queue: &str);

    /// Whether the test has made it on RabbitMQ. What is there otherwise, no test touches.
    fn has_made(&self, what: Made<'_>) -> bool;

    /// It is not on RabbitMQ, and is about to be made.
    fn makes(&self, what: Made<'_>);

    /// It is on RabbitMQ, and the test has not made it. Says why it is not used.
    fn refuses(&self, what: Made<'_>) -> String;

    /// A message is about to be sent to RabbitMQ, which does not tell what queues have it.
    fn sending(&self, message: &Addressed) -> Box<dyn OnItsWay>;
}

/// A message on its way to RabbitMQ. Dropped, it has not arrived.
pub(crate) trait OnItsWay: fmt::Debug + Send {
    /// The broker has it.
    fn arrived(&mut self);

    /// No queue takes it.
    fn is_unroutable(&mut self);
}

/// What is made on RabbitMQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made<'a> {
    Queue(&'a str),
    Exchange(&'a str),
}

/// What the program asks of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Publish,
    /// To keep the copy of a message.
    Copy,
    /// To bring a reply to whoever called.
    Reply,
    /// To take note of what became of a delivery.
    Settle,
}

/// What becomes of it. Only in a simulation anything goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "testing"),
    allow(dead_code, reason = "in tests alone anything goes wrong")
)]
pub(crate) enum Fate {
    Done,
    /// The program ends before it is done.
    Crash,
    /// The confirm does not come, whether the message arrives or not.
    Unconfirmed {
        arrives: bool,
    },
    /// The message comes twice.
    Twice,
    /// The connection is lost before it is done.
    Cut,
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

/// The same for one that waits for its turn in a line: it is over for whoever waits and for the line.
#[derive(Clone)]
pub(crate) struct ParkedInLine(Option<Arc<Mutex<Option<Parked>>>>);

/// A consumer that is there, until this is dropped.
#[derive(Debug)]
pub(crate) struct Present(Stage);

/// A task that has deliveries, until this is dropped.
pub(crate) struct AtWork(Stage);

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

    pub(crate) fn park_in_line(&self) -> ParkedInLine {
        let parked = || Arc::new(Mutex::new(Some(self.park())));
        ParkedInLine(self.watch().map(|_| parked()))
    }

    /// A consumer is there.
    pub(crate) fn present(&self) -> Present {
        if let Some(watch) = self.watch() {
            watch.came();
        }
        Present(self.clone())
    }

    /// A consumer gives out deliveries.
    pub(crate) fn at_work(&self) -> AtWork {
        if let Some(watch) = self.watch() {
            watch.entered();
        }
        AtWork(self.clone())
    }

    /// Something goes on that nothing else tells of.
    pub(crate) fn goes_on(&self) -> Awake {
        Awake {
            _goes_on: self.watch().map(Watch::goes_on),
        }
    }

    #[inline]
    pub(crate) fn fate(&self, asked: Asked, queue: &str) -> Fate {
        self.watch()
            .map_or(Fate::Done, |watch| watch.fate(asked, queue))
    }

    pub(crate) fn changed(&self) {
        if let Some(watch) = self.watch() {
            watch.changed();
        }
    }
}

impl ParkedInLine {
    /// Whether nobody waits, or is watched.
    pub(crate) fn is_over(&self) -> bool {
        let is_over = |parked: &Arc<Mutex<Option<Parked>>>| {
            let parked = parked.lock().unwrap_or_else(PoisonError::into_inner);
            parked.is_none()
        };
        self.0.as_ref().is_none_or(is_over)
    }

    /// It waits no longer.
    pub(crate) fn over(&self) {
        if let Some(parked) = &self.0 {
            drop(parked.lock().unwrap_or_else(PoisonError::into_inner).take());
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

impl Drop for Present {
    fn drop(&mut self) {
        if let Some(watch) = self.0.watch() {
            watch.gone();
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(watch) = self.0.watch() {
            watch.left();
        }
    }
}

impl fmt::Display for Made<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue `{name}`"),
            Self::Exchange(name) => write!(f, "exchange `{name}`"),
        }
    }
}

impl fmt::Debug for Awake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Awake")
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
