use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, pending};
use tokio::{sync::Notify, time::Instant};

use super::{
    clock::{Clock, TimerId},
    journal::{Entry, Handled, Journal, Sent, What},
};
use crate::{
    delivery::{Delivery, Published},
    handler::HandlerRegistry,
    memory::{Activity, MemoryBroker},
    stage::{Verdict, Watch},
};

/// Whose the messages are that are sent here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sender {
    Test,
    /// The handler at work with this number.
    Handler(u64),
}

tokio::task_local! {
    pub(super) static SENDER: Sender;
}

/// The clock of a test, what goes on, and what happened.
#[derive(Clone, Debug)]
pub(super) struct Director(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    /// Who handles what, for messages that name a handler.
    handlers: OnceLock<HandlerRegistry>,
}

#[derive(Debug)]
struct State {
    clock: Clock,
    /// Grows with all that happens.
    version: u64,
    tasks: usize,
    parked: usize,
    /// Waits that are over, and what comes of them has not begun.
    going_on: usize,
    at_work: HashMap<u64, AtWork>,
    last: u64,
    journal: Vec<Arc<Entry>>,
    /// The queues in which messages wait for others.
    waits: HashMap<String, String>,
}

/// A handler at work.
#[derive(Debug)]
struct AtWork {
    queue: String,
    /// Where the message is in memory: clones of a delivery share it, and nothing else in flight does in this queue.
    message: usize,
    key: Option<String>,
    attempt: u32,
    sent: Vec<Sent>,
}

/// Something goes on, until this is dropped.
#[derive(Debug)]
pub(super) struct GoesOn(Director);

/// What a test may do next.
pub(super) enum Now {
    Busy,
    /// Nothing goes on. When what waits is due: in the order of the waits that a run works off, and of all.
    Quiet {
        next: Option<Instant>,
        next_of_any: Option<Instant>,
    },
}

impl Director {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                clock: Clock::new(),
                version: 0,
                tasks: 0,
                parked: 0,
                going_on: 0,
                at_work: HashMap::new(),
                last: 0,
                journal: Vec::new(),
                waits: HashMap::new(),
            }),
            changed: Notify::new(),
            handlers: OnceLock::new(),
        }))
    }

    pub(super) fn knows(&self, handlers: HandlerRegistry) {
        let _ = self.0.handlers.set(handlers);
    }

    /// Resolves when something has happened since the last call.
    pub(super) async fn something_happens(&self) {
        self.0.changed.notified().await;
    }

    /// Whether anything goes on in this very moment.
    pub(super) fn look(&self, broker: &MemoryBroker) -> Now {
        loop {
            let before = self.lock().version;
            let activity = broker.activity();
            let state = self.lock();
            // both are to be of one moment
            if state.version == before {
                return state.now(activity);
            }
        }
    }

    /// Whether all handlers and consumers are gone.
    pub(super) fn is_deserted(&self, broker: &MemoryBroker) -> bool {
        broker.activity().consumers == 0 && self.lock().tasks == 0
    }

    /// Moves the clock on, never back.
    pub(super) fn move_to(&self, now: Instant, broker: &MemoryBroker) {
        let due = self.lock().clock.move_to(now);
        for sender in due {
            // who waits no longer is not told
            let _ = sender.send(self.go_on());
        }
        broker.catch_up();
    }

    pub(super) fn entries(&self) -> usize {
        self.lock().journal.len()
    }

    /// What happened from this entry on.
    pub(super) fn journal_from(&self, entry: usize) -> Journal {
        Journal(self.lock().journal[entry..].to_vec())
    }

    pub(super) fn note(&self, what: What) {
        self.change(|state| state.note(what));
    }

    /// A handler begins. Its number is that of its messages.
    pub(super) fn begins(&self, delivery: &Delivery) -> u64 {
        self.change(|state| {
            state.last += 1;
            let at_work = AtWork {
                queue: delivery.queue().to_owned(),
                message: place(delivery),
                key: delivery.key().map(|key| key.into_owned()),
                attempt: delivery.attempt(),
                sent: Vec::new(),
            };
            state.at_work.insert(state.last, at_work);
            state.last
        })
    }

    /// The handlers at work, in words.
    pub(super) fn at_work(&self) -> Vec<String> {
        let state = self.lock();
        let mut numbers: Vec<_> = state.at_work.keys().copied().collect();
        numbers.sort_unstable();
        let all = numbers
            .iter()
            .map(|number| self.told(&state.at_work[number]));
        all.collect()
    }

    /// All handlers at work are gone.
    pub(super) fn crashed(&self) {
        let at_work = self.at_work();
        self.change(|state| {
            let gone = std::mem::take(&mut state.at_work);
            for sent in gone.into_values().flat_map(|at_work| at_work.sent) {
                state.note(What::Sent(sent));
            }
            state.note(What::Crashed(at_work));
        });
    }

    fn told(&self, at_work: &AtWork) -> String {
        let AtWork {
            queue,
            key,
            attempt,
            ..
        } = at_work;
        let handlers = self.0.handlers.get();
        let handler = handlers.and_then(|handlers| handlers.name_of(queue, key.as_deref()));
        let handler = handler.unwrap_or("a handler");
        let key = key.as_deref().unwrap_or_default();
        format!("{handler} (queue `{queue}`, key `{key}`, attempt {attempt})")
    }

    fn go_on(&self) -> GoesOn {
        self.change(|state| state.going_on += 1);
        GoesOn(self.clone())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        state.version += 1;
        let changed = change(&mut state);
        drop(state);
        self.0.changed.notify_one();
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn now(&self, activity: Activity) -> Now {
        let is_parked = |number| number == self.parked;
        if self.going_on > 0 || !is_parked(self.tasks) || !is_parked(activity.unacked) {
            return Now::Busy;
        }
        let first = |times: [Option<Instant>; 2]| times.into_iter().flatten().min();
        Now::Quiet {
            next: first([activity.waiting_due, self.clock.due()]),
            next_of_any: first([activity.due, self.clock.due()]),
        }
    }

    fn note(&mut self, what: What) {
        let at = self.clock.elapsed();
        self.journal.push(Arc::new(Entry { at, what }));
    }

    /// The handler at work with a delivery.
    fn take(&mut self, delivery: &Delivery) -> Option<AtWork> {
        let (queue, message) = (delivery.queue(), place(delivery));
        let mut at_work = self.at_work.iter();
        let is_it = |at_work: &AtWork| at_work.message == message && at_work.queue == queue;
        let (number, _) = at_work.find(|(_, at_work)| is_it(at_work))?;
        let number = *number;
        self.at_work.remove(&number)
    }
}

fn place(delivery: &Delivery) -> usize {
    std::ptr::from_ref(delivery.message()).addr()
}

impl Watch for Director {
    fn now(&self) -> Instant {
        self.lock().clock.now()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, Box<dyn Send>> {
        let (id, over) = self.change(|state| state.clock.wait(time));
        let waiting = Waiting(self.clone(), id);
        Box::pin(async move {
            let _waiting = waiting;
            match over.await {
                Ok(goes_on) => Box::new(goes_on) as Box<dyn Send>,
                // the clock is gone, and never comes so far
                Err(_) => pending().await,
            }
        })
    }

    fn parked(&self) {
        self.change(|state| state.parked += 1);
    }

    fn unparked(&self) {
        self.change(|state| state.parked -= 1);
    }

    fn entered(&self) {
        self.change(|state| state.tasks += 1);
    }

    fn left(&self) {
        self.change(|state| state.tasks -= 1);
    }

    fn changed(&self) {
        self.change(|_| ());
    }

    fn settled(&self, delivery: &Delivery, handler: &'static str, verdict: Verdict<'_>) {
        let failure = verdict.failure;
        self.change(|state| {
            let at_work = state.take(delivery);
            state.note(What::Handled(Handled {
                queue: delivery.queue().to_owned(),
                key: delivery.key().map(|key| key.into_owned()),
                handler,
                message_id: delivery.properties().message_id().map(str::to_owned),
                attempt: delivery.attempt(),
                is_redelivered: delivery.is_redelivered(),
                outcome: verdict.outcome,
                after: verdict.after,
                failure: failure.map(|failure| (failure.reason, failure.text.clone())),
                sent: at_work.map_or_else(Vec::new, |at_work| at_work.sent),
            }));
        });
    }

    fn sent(&self, published: &Published, queues: &[Arc<str>]) {
        let sender = SENDER.try_with(|sender| *sender).ok();
        self.change(|state| {
            let mut delay = None;
            let queues = queues.iter().map(|queue| {
                let Some(target) = state.waits.get(&**queue) else {
                    return String::from(&**queue);
                };
                delay = delay_of(queue, target);
                target.clone()
            });
            let sent = Sent {
                queues: queues.collect(),
                delay,
                exchange: published.exchange.clone(),
                routing_key: published.routing_key.clone(),
                message: published.message.clone(),
            };
            match sender {
                Some(Sender::Test) => state.note(What::Put(sent)),
                Some(Sender::Handler(number)) => match state.at_work.get_mut(&number) {
                    Some(at_work) => at_work.sent.push(sent),
                    // by a task of its own that outlived it
                    None => state.note(What::Sent(sent)),
                },
                None => state.note(What::Sent(sent)),
            }
        });
    }

    fn waits(&self, waiting: &str, queue: &str) {
        self.change(|state| {
            state.waits.insert(waiting.to_owned(), queue.to_owned());
        });
    }
}

/// The name of a queue of delayed messages tells for how long they wait.
fn delay_of(waiting: &str, queue: &str) -> Option<Duration> {
    let name = waiting.strip_prefix(queue)?.strip_prefix("_delay_")?;
    let millis = name.strip_suffix("ms")?.parse().ok()?;
    Some(Duration::from_millis(millis))
}

/// Waits for the clock until it is dropped.
struct Waiting(Director, TimerId);

impl Drop for Waiting {
    fn drop(&mut self) {
        let Self(director, id) = self;
        director.change(|state| state.clock.forget(*id));
    }
}

impl Drop for GoesOn {
    fn drop(&mut self) {
        self.0.change(|state| state.going_on -= 1);
    }
}
