use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::verdict::Verdict;
use super::{
    BrakeCause, Braked, Brakes, Settings,
    state::{Change, LOOK_AGAIN, State, Turn, Whole},
};
use crate::{
    delivery::Delivery,
    outcome::{Failure, Outcome, cut},
    reply::Answer,
    stage::ParkedInLine,
};

mod verdict;

/// The brake of one handler, on one queue.
pub(crate) struct HandlerBrake {
    handler: &'static str,
    settings: Settings,
    brakes: Arc<Brakes>,
    state: Mutex<State>,
    is_watched: AtomicBool,
    /// A message may go to the handler that could not before.
    changed: Notify,
    /// A message waits here for the next probe, so that others can wait elsewhere.
    has_candidate: AtomicBool,
    /// Numbers failures of messages that nothing tells apart.
    next: AtomicU64,
    stop: CancellationToken,
    /// Messages that wait, for a test to know.
    parked: Mutex<Vec<ParkedInLine>>,
}

/// A message that waits for a brake, until this is dropped.
pub(crate) struct Parked(ParkedInLine);

/// A message that may go to its handler. What becomes of it is told by [`HandlerBrake::judge`]; if it never is, the
/// next message may go.
#[derive(Debug)]
pub(crate) struct Permit {
    brake: Arc<HandlerBrake>,
    epoch: Option<u64>,
}

/// What a result says about what the handler needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// The result stands.
    Final,
    /// It is not the message's fault: the message waits, and is tried again.
    Unavailable,
}

impl HandlerBrake {
    pub(crate) fn new(
        handler: &'static str,
        settings: Settings,
        brakes: &Arc<Brakes>,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let after = settings.brake.and_then(|brake| brake.failures);
        let has_checks = !settings.needs.is_empty();
        let brake = Arc::new(Self {
            handler,
            settings,
            brakes: brakes.clone(),
            state: Mutex::new(State::new(after, has_checks)),
            is_watched: AtomicBool::new(false),
            changed: Notify::new(),
            has_candidate: AtomicBool::new(false),
            next: AtomicU64::new(0),
            stop: stop.clone(),
            parked: Mutex::default(),
        });
        brakes.add(&brake);
        if let Some(by) = brakes.paused_by() {
            brake.pause_with_queue(&by);
        }
        let Settings { needs, checks, .. } = &brake.settings;
        for check in needs.iter().filter_map(|name| checks.get(name)) {
            check.watch(&brake);
        }
        brake
    }

    /// Whether its messages are to ask before they go to the handler.
    pub(crate) fn is_watching(&self) -> bool {
        self.is_watched.load(Relaxed)
    }

    /// Whether a result is to be [judged](Self::judge).
    #[inline]
    pub(crate) fn is_concerned(&self, result: &Result<Answer, Failure>) -> bool {
        let is_plain = matches!(result, Ok(answer) if answer.outcome() != Outcome::Retry);
        !is_plain || self.is_watching()
    }

    /// Lets a message through, or says until when it waits at least: `None` for when another message is done.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Permit, Option<Instant>> {
        match self.lock().enter(self.now()) {
            Turn::Go(epoch) => Ok(Permit {
                brake: self.clone(),
                epoch,
            }),
            Turn::At(until) => Err(Some(until)),
            Turn::Later => Err(None),
        }
    }

    /// Resolves when another message may go. To be made before [`enter`](Self::enter) is asked.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// A message waits until this is dropped. `None` while a check fails, which passes in real time.
    pub(crate) fn park(&self) -> Option<Parked> {
        let is_by_check = !self.is_paused() && self.cause() == Some(BrakeCause::Check);
        if is_by_check {
            return None;
        }
        let parked = self.brakes.stage.park_in_line();
        let mut all = self.parked();
        all.retain(|known| !known.is_over());
        all.push(parked.clone());
        Some(Parked(parked))
    }

    fn cause(&self) -> Option<BrakeCause> {
        self.lock().engaged().map(|on| on.cause)
    }

    fn parked(&self) -> MutexGuard<'_, Vec<ParkedInLine>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        self.brakes.stage.now()
    }

    /// Has the messages that wait look again.
    pub(super) fn wake(&self) {
        // before they do: something goes on all the time
        for parked in self.parked().drain(..) {
            parked.over();
        }
        self.changed.notify_waiters();
    }

    /// A message has to wait that did not before.
    pub(crate) fn waits(&self) {
        self.lock().waits();
    }

    /// Whether no message goes to the handler but a probe.
    pub(crate) fn is_on(&self) -> bool {
        self.lock().is_on()
    }

    /// Whether it is on, and its messages are better in their queue.
    pub(crate) fn may_rest(&self) -> bool {
        self.lock().may_rest()
    }

    /// Whether somebody paused it, or its queue: then there are no probes.
    pub(crate) fn is_paused(&self) -> bool {
        self.lock().paused().is_some()
    }

    /// Lets nothing go to the handler.
    pub(crate) fn pause(self: &Arc<Self>, by: &str) {
        self.change(|state| state.pause(Whole::Handler, by, self.now()));
        let (queue, handler) = (&*self.brakes.queue, self.handler);
        warn!(
            queue,
            handler, by, "paused: its messages wait until it is resumed"
        );
    }

    /// Whether it was paused.
    pub(crate) fn resume(self: &Arc<Self>) -> bool {
        let was_paused = self.change(|state| state.resume(Whole::Handler));
        if was_paused {
            info!(queue = self.brakes.queue, handler = self.handler, "resumed");
            self.brakes.rest(false);
        }
        was_paused
    }

    pub(super) fn pause_with_queue(self: &Arc<Self>, by: &str) {
        self.change(|state| state.pause(Whole::Queue, by, self.now()));
    }

    pub(super) fn resume_with_queue(self: &Arc<Self>) {
        self.change(|state| state.resume(Whole::Queue));
    }

    /// For how long it has been on, or paused.
    pub(crate) fn on_for(&self) -> Duration {
        self.lock().on_for(self.now())
    }

    /// Makes a message the one that waits here for the next probe, unless another does.
    pub(crate) fn stand_by(self: &Arc<Self>) -> Option<Candidate> {
        let is_first = !self.has_candidate.swap(true, Relaxed);
        is_first.then(|| Candidate(self.clone()))
    }

    /// What the result of a message says, which had `permit` if it had to ask for one.
    pub(crate) fn judge(
        self: &Arc<Self>,
        permit: Option<Permit>,
        result: &Result<Answer, Failure>,
        delivery: &Delivery,
    ) -> Judged {
        let verdict = self.verdict(result);
        let epoch = permit.and_then(Permit::told);
        let now = self.now();
        let (change, error) = self.change(|state| match &verdict {
            Verdict::Succeeded => (state.succeeded(epoch, now), ""),
            Verdict::Unavailable(failure, retry_after) => {
                let text = failure.log_text();
                (state.unavailable(epoch, text, *retry_after, now), text)
            }
            Verdict::Failed(text) => {
                let message = self.identify(delivery);
                (state.failed(epoch, message, text, now), *text)
            }
            Verdict::Passed => {
                state.passed(epoch, now);
                (None, "")
            }
        });
        self.tell(change, error);
        match verdict {
            Verdict::Unavailable(..) => Judged::Unavailable,
            _ => Judged::Final,
        }
    }

    pub(super) fn check_failed(self: &Arc<Self>, check: &str, error: &str) {
        let change = self.change(|state| state.check_failed(check, error, self.now()));
        self.tell(change, error);
    }

    pub(super) fn check_passed(self: &Arc<Self>, check: &str) {
        self.change(|state| state.check_passed(check, self.now()));
    }

    /// Changes what the brake knows. Messages ask from here on, or no longer, and those that wait look again.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut State) -> T) -> T {
        let is_opening = |state: &State| state.engaged().is_some_and(|on| on.is_opening());
        let mut state = self.lock();
        let was_opening = is_opening(&state);
        let changed = change(&mut state);
        let opens = !was_opening && is_opening(&state);
        let is_watching = state.is_watching();
        if self.is_watched.swap(is_watching, Relaxed) != is_watching {
            self.brakes.mode.watch(is_watching);
        }
        drop(state);
        self.wake();
        if opens {
            self.brakes.rest(false);
            self.look_again();
        }
        changed
    }

    /// A brake that opens may get no message that would tell that it is off.
    fn look_again(self: &Arc<Self>) {
        let (brake, stop) = (Arc::downgrade(self), self.stop.clone());
        let stage = self.brakes.stage.clone();
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            let awake = stage.sleep(LOOK_AGAIN).await;
            let Some(brake) = brake.upgrade() else {
                return;
            };
            let change = brake.change(|state| state.look(stage.now()));
            brake.tell(change, "");
            drop(awake);
        }));
    }

    fn tell(&self, change: Option<Change>, error: &str) {
        let (queue, handler) = (&*self.brakes.queue, self.handler);
        match change {
            None => {}
            Some(Change::On(BrakeCause::Check)) => warn!(
                queue,
                handler,
                error,
                "a check fails that the handler needs: its messages wait until the check passes"
            ),
            Some(Change::On(_)) => warn!(
                queue,
                handler,
                error,
                "what the handler needs is away: it gets one message at a time until one succeeds, and the others wait"
            ),
            Some(Change::Off {
                cause,
                lasted,
                waited,
                probes,
            }) => info!(
                queue,
                handler,
                %cause,
                waited,
                probes,
                "the handler gets all its messages again after {lasted:.1?}"
            ),
            Some(Change::Hint) => warn!(
                queue,
                handler,
                error,
                "so many failures in a row look like an outage, which uses up the attempts of all messages: \
                 `Queue::brake(Brake::after(50))` would hold them, and so would errors that say `Unavailable`"
            ),
        }
    }

    pub(super) fn braked(&self) -> Option<Braked> {
        let state = self.lock();
        if let Some(paused) = state.paused() {
            return Some(Braked {
                handler: self.handler,
                cause: BrakeCause::Paused,
                reason: format!("paused by {}", paused.by),
                since: paused.since,
                next_probe: None,
            });
        }
        let on = state.engaged()?;
        let next_probe = state.next_probe().map(|at| {
            let wait = at.saturating_duration_since(self.now());
            SystemTime::now() + wait
        });
        Some(Braked {
            handler: self.handler,
            cause: on.cause,
            reason: cut(on.reason.clone(), MAX_REASON),
            since: on.since_when,
            next_probe,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As much of an error as health tells.
const MAX_REASON: usize = 1024;

impl Permit {
    /// Whether the message would still go to its handler, after it has waited for something else.
    pub(crate) fn still_holds(&self) -> bool {
        self.brake.lock().still_lets(self.epoch)
    }

    fn told(mut self) -> Option<u64> {
        self.epoch.take()
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.0.over();
    }
}

/// Its handler was dropped, or never ran.
impl Drop for Permit {
    fn drop(&mut self) {
        if self.epoch.is_some() {
            self.brake.lock().passed(self.epoch, self.brake.now());
            self.brake.wake();
        }
    }
}

/// The message that waits here for the next probe, until this is dropped.
#[derive(Debug)]
pub(crate) struct Candidate(Arc<HandlerBrake>);

impl Drop for Candidate {
    fn drop(&mut self) {
        self.0.has_candidate.store(false, Relaxed);
        // another message is to come, to be the next probe
        self.0.brakes.rest(false);
    }
}

/// A handler that is dropped takes no brake with it that is on.
impl Drop for HandlerBrake {
    fn drop(&mut self) {
        if *self.is_watched.get_mut() {
            self.brakes.mode.watch(false);
        }
    }
}

impl fmt::Debug for HandlerBrake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerBrake")
            .field("handler", &self.handler)
            .field("state", &*self.lock())
            .finish_non_exhaustive()
    }
}
