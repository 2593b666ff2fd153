//! - `watch`: what the rest of ploomby tells;
//! - `faults`: what goes wrong in a simulation, and what must hold all the same;
//! - `owed`: what is on its way on RabbitMQ;
//! - `stepping`: a handler to which it happens.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use self::{faults::Simulated, owed::Owing};
pub(super) use self::{
    faults::{Consumed, Working},
    owed::OnRabbit,
    stepping::Stepping,
};
use super::{
    clock::Clock,
    journal::{Entry, Journal, Sent, What},
};
use crate::{
    delivery::{Delivery, HandlerTime},
    handler::HandlerRegistry,
    memory::{Activity, MemoryBroker},
};

mod faults;
mod owed;
mod stepping;
mod watch;

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
pub(super) struct Director {
    shared: Arc<Shared>,
    /// Which of the programs that run is looked at.
    instance: usize,
}

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
    instances: Vec<Instance>,
    parked: usize,
    /// Waits that are over, and what comes of them has not begun.
    going_on: usize,
    at_work: BTreeMap<u64, AtWork>,
    last: u64,
    journal: Vec<Arc<Entry>>,
    /// The queues in which messages wait for others.
    waits: HashMap<String, String>,
    /// None where nothing goes wrong.
    simulated: Option<Simulated>,
    /// None on the embedded broker, which knows what goes on.
    owing: Option<Owing>,
}

/// One of the programs that run.
#[derive(Debug, Default)]
struct Instance {
    tasks: usize,
    consumers: usize,
    /// It has crashed, and nothing that it does is heard of.
    is_dead: bool,
}

/// A handler at work.
#[derive(Debug)]
struct AtWork {
    instance: usize,
    queue: String,
    /// Where the message is in memory: clones of a delivery share it, and nothing else in flight does in this queue.
    message: usize,
    key: Option<String>,
    attempt: u32,
    /// None without a timeout.
    time: Option<Arc<HandlerTime>>,
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
        Self {
            instance: 0,
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    clock: Clock::new(),
                    version: 0,
                    instances: vec![Instance::default()],
                    parked: 0,
                    going_on: 0,
                    at_work: BTreeMap::new(),
                    last: 0,
                    journal: Vec::new(),
                    waits: HashMap::new(),
                    simulated: None,
                    owing: None,
                }),
                changed: Notify::new(),
                handlers: OnceLock::new(),
            }),
        }
    }

    /// The same, as one of the programs that run sees it.
    pub(super) fn of(&self, instance: usize) -> Self {
        let mut state = self.lock();
        while state.instances.len() <= instance {
            state.instances.push(Instance::default());
        }
        drop(state);
        Self {
            shared: self.shared.clone(),
            instance,
        }
    }

    pub(super) fn knows(&self, handlers: HandlerRegistry) {
        let _ = self.shared.handlers.set(handlers);
    }

    /// Resolves when something has happened since the last call.
    pub(super) async fn something_happens(&self) {
        self.shared.changed.notified().await;
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

    /// Whether all handlers and consumers of one program are gone.
    pub(super) fn is_deserted(&self, instance: usize) -> bool {
        let instance = &self.lock().instances[instance];
        instance.consumers == 0 && instance.tasks == 0
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

    /// A handler begins, and is at work until what is returned is dropped.
    pub(super) fn begins(&self, delivery: &Delivery) -> Working {
        self.change(|state| {
            state.last += 1;
            let at_work = AtWork {
                instance: self.instance,
                queue: delivery.queue().to_owned(),
                message: place(delivery),
                key: delivery.key().map(|key| key.into_owned()),
                attempt: delivery.attempt(),
                time: delivery.handler_time(),
                sent: Vec::new(),
            };
            state.at_work.insert(state.last, at_work);
            state.has_come(delivery);
            let lane = state.enter_lane(self.instance, delivery);
            Working::new(self, state.last, lane)
        })
    }

    /// The handlers at work, in words.
    pub(super) fn at_work(&self) -> Vec<String> {
        let state = self.lock();
        let all = state.at_work.values().map(|at_work| self.told(at_work));
        all.collect()
    }

    /// The time of all handlers at work is over. How many have one.
    pub(super) fn times_out(&self) -> usize {
        let state = self.lock();
        let times = state
            .at_work
            .values()
            .filter_map(|at_work| at_work.time.clone());
        let times: Vec<_> = times.collect();
        drop(state);
        times.iter().for_each(|time| time.end());
        times.len()
    }

    /// All handlers at work are gone, of these programs.
    pub(super) fn crashed(&self, instances: &[usize]) {
        self.change(|state| {
            let at_work = std::mem::take(&mut state.at_work).into_iter();
            let is_gone = |(_, at_work): &(u64, AtWork)| instances.contains(&at_work.instance);
            let (gone, rest) = at_work.partition::<BTreeMap<_, _>, _>(is_gone);
            state.at_work = rest;
            let names = gone.values().map(|at_work| self.told(at_work)).collect();
            for sent in gone.into_values().flat_map(|at_work| at_work.sent) {
                state.note(What::Sent(sent));
            }
            for instance in instances {
                state.instances[*instance].is_dead = false;
                state.forget_lanes(*instance);
            }
            state.comes_again();
            let of_several = (state.instances.len() > instances.len()).then(|| instances[0] + 1);
            state.note(What::Crashed {
                of_several,
                at_work: names,
            });
        });
    }

    fn told(&self, at_work: &AtWork) -> String {
        let AtWork {
            queue,
            key,
            attempt,
            ..
        } = at_work;
        let handlers = self.shared.handlers.get();
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
        self.shared.changed.notify_one();
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn now(&self, activity: Activity) -> Now {
        let tasks: usize = self.instances.iter().map(|instance| instance.tasks).sum();
        if self.going_on > 0 || tasks != self.parked || activity.unfetched > 0 {
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

impl Drop for GoesOn {
    fn drop(&mut self) {
        self.0.change(|state| state.going_on -= 1);
    }
}
