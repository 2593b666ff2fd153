use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tracing::{info, warn};

use super::{Braked, HandlerBrake, Mode};
use crate::stage::{Awake, Stage};

/// The brakes of a queue.
#[derive(Debug)]
pub(crate) struct Brakes {
    pub(super) queue: String,
    /// What each message of the queue looks at.
    pub(super) mode: Arc<Mode>,
    handlers: Mutex<Vec<Weak<HandlerBrake>>>,
    /// All handlers of the queue, also those that have had no message yet.
    paused: Mutex<Option<String>>,
    /// Whether the source is to deliver nothing for now.
    resting: watch::Sender<bool>,
    /// No copy was kept of a message that was to wait elsewhere.
    not_copied: Mutex<Option<Instant>>,
    pub(super) stage: Stage,
    noted: Mutex<Noted>,
}

/// What the source has heard.
#[derive(Debug, Default)]
struct Noted {
    rests: bool,
    /// Until it has heard the rest.
    goes_on: Option<Awake>,
}

/// How long nobody tries to have messages wait elsewhere, once that failed.
const TRY_COPIES_AGAIN: Duration = Duration::from_secs(60);

impl Brakes {
    pub(crate) fn new(queue: &str, mode: &Arc<Mode>, stage: &Stage) -> Arc<Self> {
        Arc::new(Self {
            queue: queue.to_owned(),
            mode: mode.clone(),
            handlers: Mutex::default(),
            paused: Mutex::default(),
            resting: watch::Sender::new(false),
            not_copied: Mutex::default(),
            stage: stage.clone(),
            noted: Mutex::default(),
        })
    }

    pub(super) fn add(&self, brake: &Arc<HandlerBrake>) {
        self.lock().push(Arc::downgrade(brake));
    }

    /// How many brakes are on, and let no more than one message through.
    pub(crate) fn count_on(&self) -> usize {
        let handlers = self.handlers();
        handlers.iter().filter(|brake| brake.is_on()).count()
    }

    /// Those that are on.
    pub(crate) fn now(&self) -> Vec<Braked> {
        let handlers = self.handlers();
        handlers.iter().filter_map(|brake| brake.braked()).collect()
    }

    /// Whether the source is to deliver nothing for now, and changes of that.
    pub(crate) fn resting(&self) -> watch::Receiver<bool> {
        self.resting.subscribe()
    }

    pub(crate) fn is_resting(&self) -> bool {
        *self.resting.borrow()
    }

    /// Lets nothing go to any handler of the queue.
    pub(crate) fn pause(&self, by: &str) {
        *self.paused() = Some(by.to_owned());
        for brake in self.handlers() {
            brake.pause_with_queue(by);
        }
        warn!(
            queue = self.queue,
            by, "paused: its messages wait until it is resumed"
        );
        self.rest(true);
    }

    /// Whether it was paused.
    pub(crate) fn resume(&self) -> bool {
        let was_paused = self.paused().take().is_some();
        if was_paused {
            for brake in self.handlers() {
                brake.resume_with_queue();
            }
            info!(queue = self.queue, "resumed");
            self.rest(false);
        }
        was_paused
    }

    /// Who has paused the queue.
    pub(crate) fn paused_by(&self) -> Option<String> {
        self.paused().clone()
    }

    /// Has the source deliver nothing, or again.
    pub(crate) fn rest(&self, rests: bool) {
        let rests = rests || self.paused().is_some();
        let is_news = self
            .resting
            .send_if_modified(|resting| std::mem::replace(resting, rests) != rests);
        if is_news {
            let mut noted = self.noted();
            noted.goes_on = (noted.rests != rests).then(|| self.stage.goes_on());
            drop(noted);
            for brake in self.handlers() {
                brake.wake();
            }
        }
    }

    /// The source has heard whether it is to deliver.
    pub(crate) fn note(&self, rests: bool) {
        let mut noted = self.noted();
        noted.rests = rests;
        if self.is_resting() == rests {
            noted.goes_on = None;
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn paused(&self) -> MutexGuard<'_, Option<String>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is worth a try to have a message wait elsewhere.
    pub(crate) fn may_copy(&self) -> bool {
        let at = *self.not_copied();
        at.is_none_or(|at| self.stage.now() - at >= TRY_COPIES_AGAIN)
    }

    /// A message could not wait elsewhere. Whether that is news.
    pub(crate) fn cannot_copy(&self) -> bool {
        let now = self.stage.now();
        let before = self.not_copied().replace(now);
        before.is_none_or(|at| now - at >= TRY_COPIES_AGAIN)
    }

    fn not_copied(&self) -> MutexGuard<'_, Option<Instant>> {
        self.not_copied
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn handlers(&self) -> Vec<Arc<HandlerBrake>> {
        let handlers = self.lock();
        handlers.iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<HandlerBrake>>> {
        self.handlers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
