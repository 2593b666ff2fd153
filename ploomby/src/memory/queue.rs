use std::{cmp::Reverse, collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use super::{
    arguments::{DeadLetters, Overflow, Policy, Priorities, QueueArguments},
    stored::{Death, Stored},
    unacked::Unacked,
};
use crate::stage::Stage;

/// A queue: what is ready, and who consumes it.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: Arc<str>,
    pub(super) arguments: QueueArguments,
    policy: Policy,
    /// Those of the highest priority first, and then in the order of their sequence numbers.
    ready: VecDeque<Entry>,
    /// Of their bodies.
    ready_bytes: u64,
    sequence: u64,
    /// How many messages left a queue of [`Priorities::High`] since one of normal priority had its turn.
    since_normal: u8,
    consumers: Vec<Attached>,
    /// The consumer whose turn it is.
    turn: usize,
    /// The one that is served, of a queue that serves one at a time.
    active: Option<u64>,
    /// When somebody used the queue last, beside its consumers.
    used_at: Instant,
    /// What died here and waits until another queue takes it.
    pub(super) kept: VecDeque<Stored>,
    /// When the head or the queue expires, as the timer knows it.
    pub(super) timed: Option<Instant>,
    stage: Stage,
}

/// A message in one queue.
#[derive(Debug)]
pub(super) struct Entry {
    sequence: u64,
    priority: u8,
    expires_at: Option<Instant>,
    pub(super) redelivered: Redelivered,
    pub(super) stored: Arc<Stored>,
}

/// Whether a message was delivered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redelivered {
    No,
    Yes,
}

/// A consumer, as its queue sees it.
#[derive(Debug)]
pub(super) struct Attached {
    id: u64,
    /// How many deliveries it may hold unsettled; none once it is cancelled.
    prefetch: usize,
    /// Those of a higher one are served first.
    priority: i32,
    unacked: Unacked,
    attention: Attention,
    wake: Arc<Notify>,
}

/// For so many messages of high priority one of normal priority comes.
const HIGH_FOR_NORMAL: u8 = 2;

/// In the place of the priority of a message that came back to a queue of [`Priorities::High`]: before all others.
const CAME_BACK: u8 = 2;

/// Whether a consumer has to be woken for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attention {
    Busy,
    Waiting,
}

impl Queue {
    pub(super) fn new(name: &str, arguments: QueueArguments, stage: &Stage) -> Self {
        Self {
            name: name.into(),
            policy: arguments.policy(),
            arguments,
            ready: VecDeque::new(),
            ready_bytes: 0,
            sequence: 0,
            since_normal: 0,
            consumers: Vec::new(),
            turn: 0,
            active: None,
            used_at: stage.now(),
            kept: VecDeque::new(),
            timed: None,
            stage: stage.clone(),
        }
    }

    /// Whether what dies here stays until another queue takes it.
    pub(super) fn keeps(&self) -> bool {
        self.policy.keeps
    }

    /// Whether this message would be rejected.
    pub(super) fn rejects(&self, stored: &Stored) -> bool {
        self.policy.overflow == Overflow::RejectPublish
            && self.is_too_much(self.ready.len() + 1, self.ready_bytes + len(stored))
    }

    fn is_too_much(&self, messages: usize, bytes: u64) -> bool {
        let is_above = |max| bytes > max;
        self.policy.max_length.is_some_and(|max| messages > max)
            || self.policy.max_bytes.is_some_and(is_above)
    }

    fn push(&mut self, place: usize, entry: Entry) {
        self.ready_bytes += len(&entry.stored);
        self.ready.insert(place, entry);
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.ready.remove(self.next()?)?;
        self.ready_bytes -= len(&entry.stored);
        if self.policy.priorities == Priorities::High && entry.priority != CAME_BACK {
            self.since_normal = (self.since_normal + 1) % (HIGH_FOR_NORMAL + 1);
        }
        Some(entry)
    }

    /// Where the message stands that leaves the queue next.
    fn next(&self) -> Option<usize> {
        let first = self.ready.front()?;
        if self.since_normal < HIGH_FOR_NORMAL || first.priority != 1 {
            return Some(0);
        }
        let normal = self.ready.partition_point(|entry| entry.priority > 0);
        let is_older = |normal: &Entry| normal.sequence < first.sequence;
        let has_turn = self.ready.get(normal).is_some_and(is_older);
        Some(if has_turn { normal } else { 0 })
    }

    fn head(&self) -> Option<&Entry> {
        self.ready.get(self.next()?)
    }

    /// Where a message stands among those that are ready.
    fn place_of(&self, entry: &Entry) -> usize {
        match self.ready.back() {
            Some(last) if last.rank() > entry.rank() => {}
            _ => return self.ready.len(),
        }
        self.ready
            .partition_point(|other| other.rank() < entry.rank())
    }

    /// Takes a message in. [`pump`](Self::pump) before and after.
    pub(super) fn publish(&mut self, stored: Arc<Stored>) {
        let ttl: Option<Duration> = match (self.policy.ttl, stored.expiration) {
            (Some(queue), Some(message)) => Some(queue.min(message)),
            (queue, message) => queue.or(message),
        };
        let expires_at = ttl.and_then(|ttl| self.stage.now().checked_add(ttl));
        let priority = stored.published.message.properties().priority();
        let mut entry = Entry::new(self.sequence, expires_at, stored);
        let priority = priority.unwrap_or_default();
        entry.priority = match self.policy.priorities {
            Priorities::None => 0,
            Priorities::UpTo(most) => priority.min(most),
            Priorities::High => u8::from(priority > 4),
        };
        self.sequence += 1;
        // a message that would expire at once still reaches a consumer that has room
        match self.consumer_with_room() {
            Some(consumer) if self.ready.is_empty() => self.consumers[consumer].give(entry),
            _ => self.push(self.place_of(&entry), entry),
        }
    }

    /// Expires what is due, delivers what can be, drops what is too much. Returns the dead letters.
    pub(super) fn pump(&mut self) -> Vec<Stored> {
        if self.policy.single_active {
            // chosen when it comes, and not only with the next message
            self.active_consumer();
        }
        let mut dead = Vec::new();
        while let Some(head) = self.head() {
            if head.is_due(&self.stage) {
                self.drop_head(Death::Expired, &mut dead);
            } else if let Some(consumer) = self.consumer_with_room() {
                let entry = self.pop().expect("the head is there");
                self.consumers[consumer].give(entry);
            } else {
                break;
            }
        }
        if self.policy.overflow == Overflow::DropHead {
            while !self.ready.is_empty() && self.is_too_much(self.ready.len(), self.ready_bytes) {
                self.drop_head(Death::TooMany, &mut dead);
            }
        }
        dead
    }

    /// The first ready message, as `basic.get` without acknowledgement takes it.
    pub(super) fn get(&mut self) -> Option<Entry> {
        self.used();
        self.pop()
    }

    /// Gives the first ready message to this consumer, whatever its prefetch.
    pub(super) fn hold_next(&mut self, consumer: u64) -> Option<()> {
        let at = self
            .consumers
            .iter()
            .position(|known| known.id == consumer)?;
        let entry = self.pop()?;
        self.consumers[at].give(entry);
        Some(())
    }

    pub(super) fn purge(&mut self) -> VecDeque<Entry> {
        self.ready_bytes = 0;
        std::mem::take(&mut self.ready)
    }

    /// Puts a message back to its place.
    pub(super) fn requeue(&mut self, mut entry: Entry) {
        entry.redelivered = Redelivered::Yes;
        if self.policy.priorities == Priorities::High {
            entry.priority = CAME_BACK;
        }
        self.push(self.place_of(&entry), entry);
    }

    pub(super) fn attach(
        &mut self,
        id: u64,
        (prefetch, priority): (usize, i32),
        wake: Arc<Notify>,
    ) {
        self.consumers.push(Attached {
            id,
            prefetch,
            priority,
            unacked: Unacked::default(),
            attention: Attention::Busy,
            wake,
        });
    }

    /// Delivers nothing more to a consumer.
    pub(super) fn cancel(&mut self, id: u64) {
        if let Some(consumer) = self.consumer(id) {
            consumer.prefetch = 0;
        }
    }

    pub(super) fn consumer(&mut self, id: u64) -> Option<&mut Attached> {
        self.consumers.iter_mut().find(|consumer| consumer.id == id)
    }

    /// Delivers to a consumer again that was cancelled, so many at a time. It comes after the others.
    pub(super) fn resume(&mut self, id: u64, prefetch: usize) {
        let at = self.consumers.iter().position(|consumer| consumer.id == id);
        if let Some(at) = at {
            let mut consumer = self.consumers.remove(at);
            consumer.prefetch = prefetch;
            self.consumers.push(consumer);
        }
    }

    /// Removes a consumer; what it has not settled is requeued.
    pub(super) fn detach(&mut self, id: u64) {
        self.used();
        if let Some(at) = self.consumers.iter().position(|consumer| consumer.id == id) {
            // the last goes first: each is then put before those that came after it
            for entry in self.consumers.remove(at).unacked.into_entries().rev() {
                self.requeue(entry);
            }
        }
    }

    /// Ends a consumer whose connection is lost; what it has not settled is requeued. It may go on with what it has, which
    /// is not what comes again.
    pub(super) fn cut(&mut self, id: u64) {
        let Some(at) = self.consumers.iter().position(|consumer| consumer.id == id) else {
            return;
        };
        self.used();
        let consumer = self.consumers.remove(at);
        for mut entry in consumer.unacked.into_entries().rev() {
            let mut stored = Stored::clone(&entry.stored);
            stored.published = Arc::new((*stored.published).clone());
            entry.stored = Arc::new(stored);
            self.requeue(entry);
        }
        consumer.wake.notify_one();
    }

    /// Wakes the consumers of a queue that was deleted.
    pub(super) fn disband(&self) {
        for consumer in &self.consumers {
            consumer.wake.notify_one();
        }
    }

    pub(super) fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// What is ready, in its order.
    #[cfg(feature = "testing")]
    pub(super) fn ready(&self) -> impl Iterator<Item = &Stored> {
        self.ready.iter().map(|entry| &*entry.stored)
    }

    /// What is delivered, and no consumer has seen yet.
    #[cfg(feature = "testing")]
    pub(super) fn unfetched_count(&self) -> u64 {
        let consumers = self.consumers.iter();
        consumers.map(|consumer| consumer.unacked.unfetched()).sum()
    }

    pub(super) fn unacked_count(&self) -> usize {
        self.consumers
            .iter()
            .map(|consumer| consumer.unacked.len())
            .sum()
    }

    pub(super) fn consumer_count(&self) -> usize {
        self.consumers
            .iter()
            .filter(|consumer| consumer.prefetch > 0)
            .count()
    }

    /// When the head expires.
    pub(super) fn due(&self) -> Option<Instant> {
        self.head()?.expires_at
    }

    /// Somebody uses the queue, whose time begins anew if it expires.
    pub(super) fn used(&mut self) {
        if self.policy.expires.is_some() {
            self.used_at = self.stage.now();
        }
    }

    /// When the queue expires, unless somebody uses it.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        let expires = self.policy.expires?;
        // one that rests for a while is there, too
        self.consumers.is_empty().then(|| self.used_at + expires)
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self) -> bool {
        self.expires_at().is_some_and(|at| at <= self.stage.now())
    }

    /// When time changes something here.
    pub(super) fn changes_at(&self) -> Option<Instant> {
        self.due().into_iter().chain(self.expires_at()).min()
    }

    fn drop_head(&mut self, reason: Death, dead: &mut Vec<Stored>) {
        let head = self.pop();
        dead.extend(head.and_then(|head| self.dead_letter(head, reason)));
    }

    /// The message as it leaves the queue, unless it is dropped.
    pub(super) fn dead_letter(&self, entry: Entry, reason: Death) -> Option<Stored> {
        let DeadLetters { exchange, key } = self.policy.dead_letters.as_ref()?;
        let to = (exchange.as_str(), key.as_deref());
        Some(Arc::unwrap_or_clone(entry.stored).dead_letter(&self.name, reason, to))
    }

    /// The next consumer in turn whose prefetch allows one more delivery, of those with the highest priority. Of a queue
    /// that serves one at a time, that one.
    fn consumer_with_room(&mut self) -> Option<usize> {
        if self.policy.single_active {
            let active = self.active_consumer()?;
            return self.consumers[active].has_room().then_some(active);
        }
        let with_room = self.consumers.iter().filter(|consumer| consumer.has_room());
        let highest = with_room.map(|consumer| consumer.priority).max()?;
        let count = self.consumers.len();
        let found = (self.turn..count)
            .chain(0..self.turn.min(count))
            .find(|at| {
                let consumer = &self.consumers[*at];
                consumer.has_room() && consumer.priority == highest
            })?;
        self.turn = found + 1;
        Some(found)
    }

    /// The consumer that is served, as long as it is there; then the first of those with the highest priority.
    fn active_consumer(&mut self) -> Option<usize> {
        let mut consumers = self.consumers.iter();
        let is_active =
            |consumer: &Attached| Some(consumer.id) == self.active && consumer.is_served();
        if let Some(active) = consumers.position(is_active) {
            return Some(active);
        }
        let served = self.consumers.iter().enumerate();
        let served = served.filter(|(_, consumer)| consumer.is_served());
        let (next, consumer) = served.min_by_key(|(_, consumer)| Reverse(consumer.priority))?;
        self.active = Some(consumer.id);
        Some(next)
    }
}

/// Of the body.
fn len(stored: &Stored) -> u64 {
    stored.published.message.body().len() as u64
}

impl Entry {
    pub(super) fn new(sequence: u64, expires_at: Option<Instant>, stored: Arc<Stored>) -> Self {
        Self {
            sequence,
            priority: 0,
            expires_at,
            redelivered: Redelivered::No,
            stored,
        }
    }

    fn rank(&self) -> (Reverse<u8>, u64) {
        (Reverse(self.priority), self.sequence)
    }

    fn is_due(&self, stage: &Stage) -> bool {
        self.expires_at.is_some_and(|at| at <= stage.now())
    }
}

impl Attached {
    /// The deliveries that the consumer has not fetched yet. Where there are none, it is woken for
    /// the next.
    pub(super) fn fetch(&mut self) -> impl Iterator<Item = (u64, &Entry)> {
        self.attention = match self.unacked.unfetched() {
            0 => Attention::Waiting,
            _ => Attention::Busy,
        };
        self.unacked.fetch()
    }

    /// Takes a settled delivery out.
    pub(super) fn settle(&mut self, tag: u64) -> Option<Entry> {
        self.unacked.remove(tag)
    }

    fn is_served(&self) -> bool {
        self.prefetch > 0
    }

    fn has_room(&self) -> bool {
        self.unacked.len() < self.prefetch
    }

    fn give(&mut self, entry: Entry) {
        self.unacked.push(entry);
        if self.attention == Attention::Waiting {
            self.attention = Attention::Busy;
            self.wake.notify_one();
        }
    }
}
