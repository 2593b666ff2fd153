//! What is on its way on RabbitMQ, which does not say when nothing goes on.
//!
//! The embedded broker counts what is delivered and not settled. RabbitMQ tells how much is ready and no more, so each message
//! that the program sends to a queue of its own is written down until it is settled. Which queues an exchange brings it to is
//! asked of the embedded broker, which has the same exchanges and bindings.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{Director, Now, State};
use crate::{
    delivery::Delivery,
    memory::MemoryBroker,
    message::Addressed,
    outcome::Outcome,
    stage::{Made, OnItsWay, Verdict},
    testing::{ground::Names, journal::Sent},
};

/// What a test on RabbitMQ has to know.
#[derive(Debug)]
pub(in crate::testing) struct OnRabbit {
    /// It has the exchanges and the bindings of the app, and no message.
    pub(in crate::testing) model: MemoryBroker,
    /// The queues that the app consumes, and whose messages stay until they are settled.
    pub(in crate::testing) consumed: HashSet<String>,
    /// What expires earlier may be gone before it is handled.
    pub(in crate::testing) limit: Duration,
    /// Who hears of what is about to be made.
    pub(in crate::testing) makes: UnboundedSender<Names>,
}

#[derive(Debug)]
pub(super) struct Owing {
    on: OnRabbit,
    /// By queue and message id.
    owed: HashMap<(String, String), Owed>,
    made: Names,
    /// What was to be used that no test has made.
    refusal: Option<String>,
}

/// A message that is to be settled, so many times.
#[derive(Debug)]
struct Owed {
    times: usize,
    stands: Stands,
}

#[derive(Clone, Copy, Debug)]
enum Stands {
    OnItsWay,
    /// Its task is counted.
    WithTheProgram,
    /// It waits in the broker.
    Until(Instant),
}

/// A message that RabbitMQ has not confirmed yet.
#[derive(Debug)]
struct Confirming {
    director: Director,
    id: Option<String>,
    queues: Vec<String>,
    is_over: bool,
}

impl Director {
    /// From here on time is real, and messages are handled on RabbitMQ.
    pub(in crate::testing) fn is_on_rabbit(&self, on: OnRabbit) {
        self.change(|state| {
            state.clock.is_real();
            state.owing = Some(Owing {
                on,
                owed: HashMap::new(),
                made: Names::default(),
                refusal: None,
            });
        });
    }

    /// The test begins, after it has waited for its turn.
    pub(in crate::testing) fn starts(&self) {
        self.change(|state| {
            if state.owing.is_some() {
                state.clock.is_real();
            }
        });
    }

    /// Whether anything goes on in this very moment, as far as the program's own messages tell.
    pub(in crate::testing) fn look_at_owed(&self) -> (Now, u64) {
        let state = self.lock();
        (state.now_of_owed(), state.version)
    }

    /// What the app makes at its start. None of it is there before.
    pub(in crate::testing) fn is_to_make(&self, names: Names) {
        self.change(|state| {
            if let Some(owing) = &mut state.owing {
                owing.made.extend(names);
            }
        });
    }

    /// The queues that the test has made.
    pub(in crate::testing) fn made_queues(&self) -> Vec<String> {
        let state = self.lock();
        let made = state.owing.iter().flat_map(|owing| &owing.made.queues);
        made.cloned().collect()
    }

    /// Why something that is there was not used, which ends the test.
    pub(in crate::testing) fn refusal(&self) -> Option<String> {
        self.lock().owing.as_ref()?.refusal.clone()
    }

    /// Messages that are on their way, in words.
    pub(in crate::testing) fn on_their_way(&self) -> Vec<String> {
        let state = self.lock();
        let owed = state.owing.iter().flat_map(|owing| &owing.owed);
        let on_their_way = owed.filter(|(_, owed)| matches!(owed.stands, Stands::OnItsWay));
        let mut told: Vec<_> = on_their_way
            .map(|((queue, id), _)| format!("message {id} to `{queue}`"))
            .collect();
        told.sort_unstable();
        told
    }

    /// Before the test has its turn, nothing is looked at.
    pub(super) fn knows_of(&self, what: Made<'_>) -> bool {
        let state = self.lock();
        let owing = state.owing.as_ref();
        owing.is_none_or(|owing| owing.made.contains(what))
    }

    pub(super) fn note_made(&self, what: Made<'_>) {
        self.change(|state| {
            if let Some(owing) = &mut state.owing {
                owing.made.extend(Names::of(what));
                // the test may be over
                let _ = owing.on.makes.send(Names::of(what));
            }
        });
    }

    pub(super) fn note_refusal(&self, refusal: String) {
        self.change(|state| {
            if let Some(owing) = &mut state.owing {
                owing.refusal = Some(refusal);
            }
        });
    }

    pub(super) fn note_sending(&self, message: &Addressed) -> Box<dyn OnItsWay> {
        let id = message.message.properties().message_id();
        let queues = self.change(|state| {
            let (queues, delay) = state.route(message);
            state.note_sent(Sent {
                queues: queues.clone(),
                delay,
                exchange: message.exchange.clone(),
                routing_key: message.routing_key.clone(),
                message: message.message.clone(),
            });
            state.owe(message, &queues, delay);
            queues
        });
        Box::new(Confirming {
            director: self.clone(),
            id: id.map(str::to_owned),
            queues,
            is_over: false,
        })
    }
}

impl State {
    fn now_of_owed(&self) -> Now {
        let now = self.clock.now();
        let tasks: usize = self.instances.iter().map(|instance| instance.tasks).sum();
        let owing = self.owing.iter().flat_map(|owing| owing.owed.values());
        let mut next = self.clock.due();
        let mut is_busy = self.going_on > 0 || tasks != self.parked;
        for owed in owing {
            match owed.stands {
                Stands::OnItsWay => is_busy = true,
                Stands::WithTheProgram => {}
                Stands::Until(due) => next = Some(next.map_or(due, |next| next.min(due))),
            }
        }
        // what is due is on its way
        if is_busy || next.is_some_and(|next| next <= now) {
            return Now::Busy;
        }
        Now::Quiet {
            next,
            next_of_any: next,
        }
    }

    /// The queues that have a message, or will have it after the delay.
    fn route(&self, message: &Addressed) -> (Vec<String>, Option<Duration>) {
        let key = &message.routing_key;
        if message.exchange.is_empty() {
            if let Some(target) = self.waits.get(key) {
                return (vec![target.clone()], super::watch::delay_of(key, target));
            }
        }
        let Some(owing) = &self.owing else {
            return (Vec::new(), None);
        };
        let queues = owing.on.model.queues_of(message);
        let mut queues: Vec<_> = queues.iter().map(|queue| String::from(&**queue)).collect();
        // a queue that the test does not know, if it is there
        if message.exchange.is_empty() && !queues.contains(key) {
            queues.push(key.clone());
        }
        (queues, None)
    }

    fn owe(&mut self, message: &Addressed, queues: &[String], delay: Option<Duration>) {
        let now = self.clock.now();
        let Some(owing) = &mut self.owing else {
            return;
        };
        let properties = message.message.properties();
        let Some(id) = properties.message_id() else {
            return;
        };
        let expires = properties.expiration().and_then(|text| text.parse().ok());
        if expires.is_some_and(|millis| Duration::from_millis(millis) <= owing.on.limit) {
            return;
        }
        let stands = match delay {
            Some(delay) => Stands::Until(now + delay),
            None => Stands::OnItsWay,
        };
        for queue in queues {
            if owing.on.consumed.contains(queue) {
                let message = (queue.clone(), id.to_owned());
                let owed = owing.owed.entry(message);
                let owed = owed.or_insert(Owed { times: 0, stands });
                owed.times += 1;
                owed.stands = stands;
            }
        }
    }

    /// A message is with the program, whose tasks are counted.
    pub(super) fn has_come(&mut self, delivery: &Delivery) {
        if let Some(owed) = self.owed_of(delivery) {
            owed.stands = Stands::WithTheProgram;
        }
    }

    /// What becomes of it.
    pub(super) fn is_settled(&mut self, delivery: &Delivery, verdict: &Verdict<'_>) {
        let now = self.clock.now();
        let Some(owed) = self.owed_of(delivery) else {
            return;
        };
        match (verdict.outcome, verdict.after) {
            (Some(Outcome::Ack | Outcome::Discard | Outcome::DeadLetter), _) => {
                owed.stands = Stands::OnItsWay;
                owed.times -= 1;
                if owed.times == 0 {
                    let id = delivery.properties().message_id().unwrap_or_default();
                    self.disown(delivery.queue(), id);
                }
            }
            (_, Some(after)) => owed.stands = Stands::Until(now + after),
            (_, None) => owed.stands = Stands::OnItsWay,
        }
    }

    /// What the program had and did not settle comes again.
    pub(super) fn comes_again(&mut self) {
        let owed = self
            .owing
            .iter_mut()
            .flat_map(|owing| owing.owed.values_mut());
        for owed in owed {
            if matches!(owed.stands, Stands::WithTheProgram) {
                owed.stands = Stands::OnItsWay;
            }
        }
    }

    fn owed_of(&mut self, delivery: &Delivery) -> Option<&mut Owed> {
        let id = delivery.properties().message_id()?;
        let message = (delivery.queue().to_owned(), id.to_owned());
        self.owing.as_mut()?.owed.get_mut(&message)
    }

    fn disown(&mut self, queue: &str, id: &str) {
        if let Some(owing) = &mut self.owing {
            owing.owed.remove(&(queue.to_owned(), id.to_owned()));
        }
    }
}

impl Confirming {
    /// No queue has it.
    fn came_nowhere(&mut self) {
        self.is_over = true;
        let Some(id) = &self.id else {
            return;
        };
        self.director.change(|state| {
            for queue in &self.queues {
                let message = (queue.clone(), id.clone());
                let owing = state.owing.as_mut();
                let owed = owing.and_then(|owing| owing.owed.get_mut(&message));
                let is_last = owed.is_some_and(|owed| {
                    owed.times = owed.times.saturating_sub(1);
                    owed.times == 0
                });
                if is_last {
                    state.disown(queue, id);
                }
            }
        });
    }
}

impl OnItsWay for Confirming {
    fn arrived(&mut self) {
        self.is_over = true;
    }

    fn is_unroutable(&mut self) {
        self.came_nowhere();
    }
}

impl Drop for Confirming {
    fn drop(&mut self) {
        if !self.is_over {
            self.came_nowhere();
        }
    }
}
