use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use super::{
    arguments::QueueArguments,
    error::MemoryError,
    exchange::{Destination, Exchanges},
    queue::Queue,
    replies::Replies,
    stored::Stored,
    timer::Timer,
};
use crate::{consumer::Declare, stage::Stage, topology::Wiring};

/// What the handles on a broker share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Where its messages are handled.
    pub(super) stage: Stage,
}

/// A place among the queues. The one of a deleted queue is used again; the numbers of consumers are
/// not, so that a consumer never takes another queue for its own.
pub(super) type QueueId = usize;

/// A message that leaves a queue, other than to a consumer.
pub(super) struct Dead {
    stored: Stored,
    /// The queue that keeps it until another one takes it.
    keeper: Option<QueueId>,
}

/// What became of a message that queues were offered.
#[derive(Default)]
struct Offered {
    is_routed: bool,
    /// A queue that had no room.
    full: Option<Arc<str>>,
}

/// The queues of a broker. One lock is around all of them, so that a message is always in one of
/// them while it is dead-lettered.
#[derive(Debug)]
pub(super) struct State {
    queues: Vec<Option<Queue>>,
    names: HashMap<Arc<str>, QueueId>,
    last_consumer: u64,
    /// The queues that keep dead letters which no queue takes for now.
    keepers: BTreeSet<QueueId>,
    /// The queues that are deleted once nobody uses them.
    expiring: BTreeSet<QueueId>,
    pub(super) exchanges: Exchanges,
    pub(super) replies: Replies,
    pub(super) timer: Timer,
    pub(super) stage: Stage,
}

impl Shared {
    pub(super) fn new(stage: Stage) -> Arc<Self> {
        Arc::new_cyclic(|shared| Self {
            state: Mutex::new(State {
                queues: Vec::new(),
                names: HashMap::new(),
                last_consumer: 0,
                keepers: BTreeSet::new(),
                expiring: BTreeSet::new(),
                exchanges: Exchanges::default(),
                replies: Replies::default(),
                timer: Timer::new(shared.clone(), &stage),
                stage: stage.clone(),
            }),
            stage,
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes the queue, or checks that it has these arguments.
    pub(super) fn declare(
        &mut self,
        name: &str,
        arguments: &QueueArguments,
    ) -> Result<QueueId, MemoryError> {
        let id = self.declare_if_missing(name, arguments);
        self.queue(id).arguments.check_equivalent(name, arguments)?;
        Ok(id)
    }

    /// Makes the queue, or takes it as it is.
    pub(super) fn declare_if_missing(&mut self, name: &str, arguments: &QueueArguments) -> QueueId {
        self.expire_queues();
        if let Some(id) = self.find(name) {
            let queue = self.queue_mut(id);
            queue.used();
            return id;
        }
        let queue = Queue::new(name, arguments.clone(), &self.stage);
        let id = match self.queues.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                self.queues.push(None);
                self.queues.len() - 1
            }
        };
        self.names.insert(queue.name.clone(), id);
        if queue.expires_at().is_some() {
            self.expiring.insert(id);
        }
        self.queues[id] = Some(queue);
        self.pump(id);
        id
    }

    pub(super) fn find(&self, name: &str) -> Option<QueueId> {
        self.names.get(name).copied()
    }

    /// Removes the queue and all that is in it.
    pub(super) fn delete(&mut self, name: &str) -> Option<Queue> {
        let id = self.names.remove(name)?;
        let queue = self.queues[id].take()?;
        self.keepers.remove(&id);
        self.expiring.remove(&id);
        let destination = Destination::Queue(name.to_owned());
        self.exchanges.unbind(&destination);
        queue.disband();
        self.timer.head_changed(queue.timed, None);
        Some(queue)
    }

    /// Declares exchanges, and the bindings between them.
    pub(super) fn wire(&mut self, wiring: &Wiring, declare: Declare) -> Result<(), MemoryError> {
        for exchange in wiring.exchanges() {
            self.exchanges.declare(exchange, declare)?;
        }
        for link in wiring.links() {
            let destination = Destination::Exchange(link.destination.clone());
            self.exchanges
                .bind(&link.source, destination, &link.binding)?;
        }
        // a dead letter may have waited for a way
        self.deliver_kept();
        Ok(())
    }

    /// Has the exchanges' messages come to a queue.
    pub(super) fn bind(&mut self, queue: &str, wiring: &Wiring) -> Result<(), MemoryError> {
        if self.find(queue).is_none() {
            return Err(MemoryError::NoSuchQueue(queue.to_owned()));
        }
        for (exchange, binding) in wiring.bindings() {
            let destination = Destination::Queue(queue.to_owned());
            self.exchanges.bind(exchange, destination, binding)?;
        }
        self.deliver_kept();
        Ok(())
    }

    /// Routes a message as its exchange does.
    pub(super) fn publish(&mut self, stored: Stored) -> Result<(), MemoryError> {
        if stored.exchange().is_empty() {
            // as in RabbitMQ, the address of a reply is no queue, which `mandatory` asks for
            self.replies.deliver(&stored);
        }
        self.expire_queues();
        let stored = Arc::new(stored);
        let mut told = Offered::default();
        if stored.exchange().is_empty() {
            for key in stored.routes() {
                if let Some(id) = self.find(key) {
                    self.offer(id, &stored, &mut told);
                }
            }
        } else {
            let ids = self.routed(&stored);
            let ids = ids.ok_or_else(|| MemoryError::NoExchange(stored.exchange().to_owned()))?;
            for id in ids {
                self.offer(id, &stored, &mut told);
            }
        }
        match told.full {
            Some(queue) => Err(MemoryError::QueueFull(queue.to_string())),
            None if told.is_routed => Ok(()),
            None if stored.exchange().is_empty() => {
                Err(MemoryError::Unroutable(stored.routing_key().to_owned()))
            }
            None => Err(MemoryError::Unbound {
                exchange: stored.exchange().to_owned(),
                routing_key: stored.routing_key().to_owned(),
            }),
        }
    }

    /// The queues that a message is for.
    pub(super) fn queues_of(&self, stored: &Stored) -> Vec<Arc<str>> {
        let ids = match stored.exchange() {
            "" => stored.routes().filter_map(|key| self.find(key)).collect(),
            _ => self.routed(stored).unwrap_or_default(),
        };
        let names = ids.into_iter().map(|id| self.queue(id).name.clone());
        names.collect()
    }

    /// Puts a message into a queue, if there is room.
    fn offer(&mut self, id: QueueId, stored: &Arc<Stored>, told: &mut Offered) {
        told.is_routed = true;
        self.pump(id);
        let queue = self.queue_mut(id);
        if queue.rejects(stored) {
            told.full = Some(queue.name.clone());
        } else {
            queue.publish(stored.clone());
            self.pump(id);
        }
    }

    /// The queues that a message through an exchange goes to; None if there is no such exchange.
    fn routed(&self, stored: &Stored) -> Option<Vec<QueueId>> {
        let queues = self.exchanges.route(stored.exchange(), stored)?;
        let ids = queues.into_iter().filter_map(|queue| self.find(queue));
        Some(ids.collect())
    }

    pub(super) fn attach(&mut self, id: QueueId, served: (usize, i32), wake: Arc<Notify>) -> u64 {
        self.last_consumer += 1;
        let consumer = self.last_consumer;
        self.queue_mut(id).attach(consumer, served, wake);
        self.pump(id);
        // the runtime of the task may have stopped turning without having ended
        let first = self.first_due();
        self.timer.start(first);
        consumer
    }

    /// Expires what is due in any queue, for those who look before the timer's task has.
    pub(super) fn expire(&mut self) {
        if self.first_due().is_some_and(|due| due <= self.stage.now()) {
            self.pump_all();
        }
    }

    /// Deletes the queues that nobody has used for as long as they say, with all that is in them.
    fn expire_queues(&mut self) {
        let is_over = |id: &&QueueId| self.queues[**id].as_ref().is_some_and(Queue::is_over);
        let over: Vec<_> = self.expiring.iter().filter(is_over).copied().collect();
        for id in over {
            let name = self.queue(id).name.clone();
            self.delete(&name);
        }
    }

    /// Expires, delivers and dead-letters until this queue, and those that its dead letters reach,
    /// have nothing more to do.
    pub(super) fn pump(&mut self, id: QueueId) {
        let dead = self.pump_one(id);
        if !dead.is_empty() {
            self.bury(dead);
        }
        self.deliver_kept();
    }

    /// Brings what a consumer rejected to where the queue's dead letters go.
    pub(super) fn dead_letter(&mut self, queue: QueueId, stored: Stored) {
        let keeper = self.queue(queue).keeps().then_some(queue);
        self.bury([Dead { stored, keeper }]);
    }

    /// Brings dead letters to where they go, and those that they displace there.
    fn bury(&mut self, dead: impl Into<VecDeque<Dead>>) {
        let mut dead = dead.into();
        while let Some(Dead { stored, keeper }) = dead.pop_front() {
            let stored = Arc::new(stored);
            let is_taken = self.route_dead(&stored, &mut dead);
            // a queue that is full or gone loses dead letters in RabbitMQ, too, unless they are kept
            if let (false, Some(keeper)) = (is_taken, keeper) {
                let kept = Arc::unwrap_or_clone(stored);
                self.queue_mut(keeper).kept.push_back(kept);
                self.keepers.insert(keeper);
            }
        }
    }

    /// Whether a queue has taken a dead letter.
    fn route_dead(&mut self, stored: &Arc<Stored>, dead: &mut VecDeque<Dead>) -> bool {
        let mut is_taken = false;
        let ids: Vec<_> = match stored.exchange() {
            "" => stored.routes().filter_map(|key| self.find(key)).collect(),
            // an exchange that is not there drops them
            _ => self.routed(stored).unwrap_or_default(),
        };
        for id in ids {
            if stored.died_in(&self.queue(id).name) {
                continue;
            }
            dead.extend(self.pump_one(id));
            if !self.queue(id).rejects(stored) {
                self.queue_mut(id).publish(stored.clone());
                dead.extend(self.pump_one(id));
                is_taken = true;
            }
        }
        is_taken
    }

    /// Brings what is kept to where it goes, as far as it is taken there by now, in the order in which it died.
    fn deliver_kept(&mut self) {
        for keeper in std::mem::take(&mut self.keepers) {
            while let Some(first) = self.queue_mut(keeper).kept.pop_front() {
                let stored = Arc::new(first);
                let mut dead = VecDeque::new();
                let is_taken = self.route_dead(&stored, &mut dead);
                self.bury(dead);
                if !is_taken {
                    let first = Arc::unwrap_or_clone(stored);
                    self.queue_mut(keeper).kept.push_front(first);
                    self.keepers.insert(keeper);
                    break;
                }
            }
        }
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.queues.iter().flatten()
    }

    pub(super) fn pump_all(&mut self) {
        self.expire_queues();
        for id in 0..self.queues.len() {
            if self.queues[id].is_some() {
                self.pump(id);
            }
        }
    }

    /// When the first of the heads of all queues, or of the queues, expires.
    pub(super) fn first_due(&self) -> Option<Instant> {
        self.queues().filter_map(Queue::changes_at).min()
    }

    /// The queue that a consumer had, which may be gone.
    pub(super) fn get_mut(&mut self, id: QueueId) -> Option<&mut Queue> {
        self.queues.get_mut(id)?.as_mut()
    }

    pub(super) fn queue(&self, id: QueueId) -> &Queue {
        self.queues[id]
            .as_ref()
            .expect("the queue was found under this lock")
    }

    pub(super) fn queue_mut(&mut self, id: QueueId) -> &mut Queue {
        self.queues[id]
            .as_mut()
            .expect("the queue was found under this lock")
    }

    fn pump_one(&mut self, id: QueueId) -> Vec<Dead> {
        let queue = self.queue_mut(id);
        let keeper = queue.keeps().then_some(id);
        let dead = queue.pump().into_iter();
        let dead = dead.map(|stored| Dead { stored, keeper }).collect();
        let due = queue.changes_at();
        let known = std::mem::replace(&mut queue.timed, due);
        if known.is_some() || due.is_some() {
            self.timer.head_changed(known, due);
            if due.is_some_and(|due| !self.timer.wakes_by(due)) {
                let first = self.first_due();
                self.timer.start(first);
            }
        }
        dead
    }
}
