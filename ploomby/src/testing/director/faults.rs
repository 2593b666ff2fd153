use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Director, SENDER, Sender, State, place};
use crate::{
    delivery::Delivery,
    memory::MemoryBroker,
    outcome::Outcome,
    stage::{Asked, Fate},
    testing::{
        journal::{Sent, What},
        simulation::{Happens, Plan, SharedPlan},
    },
};

/// What a simulation knows of an app.
#[derive(Debug)]
pub(super) struct Simulated {
    plan: SharedPlan,
    /// The queues that the app consumes, and whose messages stay until they are settled.
    consumed: HashMap<String, Consumed>,
    owed: Vec<Owed>,
    /// Where a message of a queue stands among those that are owed.
    known: HashMap<(String, String), usize>,
    /// The lanes of messages whose handlers have not begun.
    lined_up: HashMap<(String, usize), (usize, Value)>,
    /// The last message of each lane that has begun, of those that came for the first time.
    begun: HashMap<Lane, usize>,
    at_work: HashSet<Lane>,
    problem: Option<String>,
}

/// A queue that the app consumes.
#[derive(Clone, Debug)]
pub(in crate::testing) struct Consumed {
    /// Where its dead letters are, unless the broker or the app has them.
    pub(in crate::testing) dead_letters: Option<String>,
}

/// A message that is to be handled or dead-lettered.
#[derive(Debug)]
struct Owed {
    queue: String,
    id: String,
    key: String,
    end: End,
    has_begun: bool,
    /// It came to its queue later than it was sent.
    is_delayed: bool,
}

#[derive(Debug)]
enum End {
    NotYet,
    Handled,
    DeadLettered,
}

type Value = Option<Box<[u8]>>;

/// The messages of one value in one program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::testing) struct Lane {
    instance: usize,
    order: usize,
    value: Value,
}

/// A handler at work.
pub(in crate::testing) struct Working {
    director: Director,
    pub(in crate::testing) number: u64,
    lane: Option<Lane>,
}

impl Working {
    pub(super) fn new(director: &Director, number: u64, lane: Option<Lane>) -> Self {
        Self {
            director: director.clone(),
            number,
            lane,
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(lane) = &self.lane {
            let mut state = self.director.lock();
            if let Some(simulated) = &mut state.simulated {
                simulated.at_work.remove(lane);
            }
        }
    }
}

impl Director {
    /// Lets things go wrong from here on.
    pub(in crate::testing) fn simulates(&self, plan: &SharedPlan) {
        let mut state = self.lock();
        state.simulated = Some(Simulated {
            plan: plan.clone(),
            consumed: HashMap::new(),
            owed: Vec::new(),
            known: HashMap::new(),
            lined_up: HashMap::new(),
            begun: HashMap::new(),
            at_work: HashSet::new(),
            problem: None,
        });
    }

    pub(in crate::testing) fn is_simulating(&self) -> bool {
        self.lock().simulated.is_some()
    }

    /// What comes to these queues is to be handled.
    pub(in crate::testing) fn consumes(&self, queues: HashMap<String, Consumed>) {
        if let Some(simulated) = &mut self.lock().simulated {
            simulated.consumed = queues;
        }
    }

    /// A program that has crashed, and is to be started again.
    pub(in crate::testing) fn dead(&self) -> Option<usize> {
        let state = self.lock();
        state.instances.iter().position(|instance| instance.is_dead)
    }

    /// What becomes of something that the program asks of the broker.
    pub(super) fn decide(&self, asked: Asked, queue: &str) -> Fate {
        let mut state = self.lock();
        if state.simulated.is_none() {
            return Fate::Done;
        }
        let (instance, can): (_, &[Happens]) = match asked {
            Asked::Publish => match SENDER.try_with(|sender| *sender).ok() {
                Some(Sender::Handler(number)) => match state.at_work.get(&number) {
                    Some(at_work) => (at_work.instance, Plan::PUBLISHES),
                    None => return Fate::Done,
                },
                Some(Sender::Test) => (usize::MAX, Plan::TEST_PUBLISHES),
                None => return Fate::Done,
            },
            Asked::Copy => (self.instance, Plan::COPIES),
            Asked::Reply => (self.instance, Plan::REPLIES),
            Asked::Settle => (self.instance, Plan::SETTLES),
        };
        if state.is_dead(instance) {
            return Fate::Crash;
        }
        let Some(happens) = state.happens(can) else {
            return Fate::Done;
        };
        let (fate, what) = match (happens, asked) {
            (Happens::Crash, _) => (Fate::Crash, String::new()),
            (Happens::Cut, _) => (
                Fate::Cut,
                format!("the connection of `{queue}` is lost before an acknowledgement"),
            ),
            (Happens::Twice, Asked::Reply) => {
                (Fate::Twice, format!("a reply of `{queue}` arrives twice"))
            }
            (Happens::Twice, Asked::Copy) => (
                Fate::Twice,
                format!("a copy of a message of `{queue}` is kept twice"),
            ),
            (Happens::Twice, _) => (
                Fate::Twice,
                format!("a message for `{queue}` arrives twice"),
            ),
            (Happens::Unconfirmed { arrives }, asked) => {
                let what = match asked {
                    Asked::Copy => "a copy of a message of",
                    Asked::Reply => "a reply of",
                    _ => "a message for",
                };
                let does = if arrives { "arrives" } else { "is lost" };
                let text = format!("{what} `{queue}` {does}, and its confirm does not come");
                (Fate::Unconfirmed { arrives }, text)
            }
            (Happens::Slow(_), _) => return Fate::Done,
        };
        if fate == Fate::Crash {
            state.instances[instance].is_dead = true;
            state.version += 1;
            drop(state);
            self.shared.changed.notify_one();
        } else {
            state.note(What::Fault(what));
        }
        fate
    }

    pub(super) fn note_lane(&self, delivery: &Delivery, order: usize, value: Option<&[u8]>) {
        if let Some(simulated) = &mut self.lock().simulated {
            let message = (delivery.queue().to_owned(), place(delivery));
            simulated
                .lined_up
                .insert(message, (order, value.map(Box::from)));
        }
    }

    /// What does not hold of a broker in which nothing goes on.
    pub(in crate::testing) fn broken_promise(
        &self,
        broker: &MemoryBroker,
        is_more_to_come: bool,
    ) -> Option<String> {
        self.lock().simulated.as_ref()?;
        let ready = broker.ready_ids();
        let state = self.lock();
        let is_all_done = !is_more_to_come && state.parked == 0;
        let simulated = state.simulated.as_ref()?;
        if let Some(problem) = &simulated.problem {
            return Some(problem.clone());
        }
        let mut owed = simulated.owed.iter();
        owed.find_map(|owed| simulated.broken(owed, &ready, is_all_done))
    }
}

impl Simulated {
    fn broken(
        &self,
        owed: &Owed,
        ready: &HashSet<(Arc<str>, String)>,
        is_all_done: bool,
    ) -> Option<String> {
        let Owed { queue, id, key, .. } = owed;
        let Consumed { dead_letters } = self.consumed.get(queue)?;
        match (&owed.end, dead_letters) {
            (End::Handled, _) | (End::DeadLettered, None) => return None,
            (End::DeadLettered | End::NotYet, _) => {}
        }
        let is_in = |name: &str| ready.contains(&(name.into(), id.clone()));
        if is_in(queue) {
            return is_all_done.then(|| {
                format!("the message `{key}` waits in `{queue}`, and nothing handles it")
            });
        }
        let beside = format!("{queue}_");
        let mut places = ready.iter().filter(|(_, other)| other == id);
        let is_kept = dead_letters.as_deref().is_some_and(is_in)
            || places.any(|(name, _)| name.starts_with(&beside));
        (!is_kept).then(|| {
            format!(
                "the message `{key}` to `{queue}` was lost: it was neither handled nor dead-lettered"
            )
        })
    }
}

impl State {
    /// Crashes and other faults come from the plan.
    pub(super) fn happens(&mut self, can: &[Happens]) -> Option<Happens> {
        let simulated = self.simulated.as_mut()?;
        simulated.plan.lock().step(can)
    }

    pub(super) fn is_dead(&self, instance: usize) -> bool {
        self.instances
            .get(instance)
            .is_some_and(|instance| instance.is_dead)
    }

    /// A message came to queues of the app.
    pub(super) fn is_owed(&mut self, sent: &Sent) {
        let Some(simulated) = &mut self.simulated else {
            return;
        };
        let properties = sent.message.properties();
        // what expires may be gone
        let (Some(id), None) = (properties.message_id(), properties.expiration()) else {
            return;
        };
        for queue in &sent.queues {
            if !simulated.consumed.contains_key(queue) {
                continue;
            }
            let message = (queue.clone(), id.to_owned());
            simulated.known.entry(message).or_insert_with(|| {
                simulated.owed.push(Owed {
                    queue: queue.clone(),
                    id: id.to_owned(),
                    key: properties.message_type().unwrap_or_default().to_owned(),
                    end: End::NotYet,
                    has_begun: false,
                    is_delayed: sent.delay.is_some(),
                });
                simulated.owed.len() - 1
            });
        }
    }

    /// A handler has decided.
    pub(super) fn has_end(&mut self, delivery: &Delivery, outcome: Option<Outcome>) {
        let Some(simulated) = &mut self.simulated else {
            return;
        };
        let Some(owed) = simulated.owed_of(delivery) else {
            return;
        };
        let end = &mut simulated.owed[owed].end;
        match outcome {
            Some(Outcome::Ack | Outcome::Discard) => *end = End::Handled,
            Some(Outcome::DeadLetter) if matches!(end, End::NotYet) => *end = End::DeadLettered,
            _ => {}
        }
    }

    /// A handler begins with a message that may have been in line.
    pub(super) fn enter_lane(&mut self, instance: usize, delivery: &Delivery) -> Option<Lane> {
        let simulated = self.simulated.as_mut()?;
        let message = (delivery.queue().to_owned(), place(delivery));
        let lined_up = simulated.lined_up.remove(&message);
        let owed = simulated.owed_of(delivery);
        let is_first = owed.is_some_and(|owed| {
            let has_begun = &mut simulated.owed[owed].has_begun;
            !std::mem::replace(has_begun, true) && !simulated.owed[owed].is_delayed
        });
        let (order, value) = lined_up?;
        let lane = Lane {
            instance,
            order,
            value,
        };
        let queue = delivery.queue();
        if !simulated.at_work.insert(lane.clone()) {
            simulated.problem.get_or_insert_with(|| {
                format!("two messages of `{queue}` that are to be handled in order were at work together")
            });
        }
        let is_fresh = is_first
            && delivery.attempt() == 1
            && !delivery.is_redelivered()
            && !delivery.has_waited();
        if let (Some(owed), true) = (owed, is_fresh) {
            let last = simulated.begun.entry(lane.clone()).or_insert(owed);
            if owed < *last {
                simulated.problem.get_or_insert_with(|| {
                    format!("a message of `{queue}` was handled before one that came earlier, and is to be handled in order")
                });
            }
            *last = owed.max(*last);
        }
        Some(lane)
    }

    /// A program is gone, and its lanes with it.
    pub(super) fn forget_lanes(&mut self, instance: usize) {
        if let Some(simulated) = &mut self.simulated {
            simulated.begun.retain(|lane, _| lane.instance != instance);
            simulated.at_work.retain(|lane| lane.instance != instance);
        }
    }
}

impl Simulated {
    fn owed_of(&self, delivery: &Delivery) -> Option<usize> {
        let id = delivery.properties().message_id()?;
        let message = (delivery.queue().to_owned(), id.to_owned());
        self.known.get(&message).copied()
    }
}
