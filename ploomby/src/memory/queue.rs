use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use super::{
    arguments::{DeadLetters, Overflow, Policy, QueueArguments},
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
    /// In the order of their sequence numbers.
    ready: VecDeque<Entry>,
    sequence: u64,
    consumers: Vec<Attached>,
    /// The consumer whose turn it is.
    turn: usize,
    /// What died here and waits until another queue takes it.
    pub(super) kept: VecDeque<Stored>,
    /// When the head expires, as the timer knows it.
    pub(super) timed: Option<Instant>,
    stage: Stage,
}

/// A message in one queue.
#[derive(Debug)]
pub(super) struct Entry {
    sequence: u64,
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
    unacked: Unacked,
    attention: Attention,
    wake: Arc<Notify>,
}

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
            sequence: 0,
            consumers: Vec::new(),
            turn: 0,
            kept: VecDeque::new(),
            timed: None,
            stage: stage.clone(),
        }
    }

    /// Whether what dies here stays until another queue takes it.
    pub(super) fn keeps(&self) -> bool {
        self.policy.keeps
    }

    /// Whether one more message would be rejected.
    pub(super) fn rejects(&self) -> bool {
        match (self.policy.overflow, self.policy.max_length) {
            (Overflow::RejectPublish, Some(max)) => self.ready.len() >= max,
            _ => false,
        }
    }

    /// Takes a message in. [`pump`](Self::pump) before and after.
    pub(super) fn publish(&mut self, stored: Arc<Stored>) {
        let ttl: Option<Duration> = match (self.policy.ttl, stored.expiration) {
            (Some(queue), Some(message)) => Some(queue.min(message)),
            (queue, message) => queue.or(message),
        };
        let expires_at = ttl.and_then(|ttl| self.stage.now().checked_add(ttl));
        let entry = Entry::new(self.sequence, expires_at, stored);
        self.sequence += 1;
        // a message that would expire at once still reaches a consumer that has room
        match self.consumer_with_room() {
            Some(consumer) if self.ready.is_empty() => self.consumers[consumer].give(entry),
            _ => self.ready.push_back(entry),
        }
    }

    /// Expires what is due, delivers what can be, drops what is too much. Returns the dead letters.
    pub(super) fn pump(&mut self) -> Vec<Stored> {
        let mut dead = Vec::new();
        while let Some(head) = self.ready.front() {
            if head.is_due(&self.stage) {
                self.drop_head(Death::Expired, &mut dead);
            } else if let Some(consumer) = self.consumer_with_room() {
                let entry = self.ready.pop_front().expect("the head is there");
                self.consumers[consumer].give(entry);
            } else {
                break;
            }
        }
        if let (Overflow::DropHead, Some(max)) = (self.policy.overflow, self.policy.max_length) {
            while self.ready.len() > max {
                self.drop_head(Death::TooMany, &mut dead);
            }
        }
        dead
    }

    /// The first ready message, as `basic.get` without acknowledgement takes it.
    pub(super) fn get(&mut self) -> Option<Entry> {
        self.ready.pop_front()
    }

    /// Gives the first ready message to this consumer, whatever its prefetch.
    pub(super) fn hold_next(&mut self, consumer: u64) -> Option<()> {
        let at = self
            .consumers
            .iter()
            .position(|known| known.id == consumer)?;
        let entry = self.ready.pop_front()?;
        self.consumers[at].give(entry);
        Some(())
    }

    pub(super) fn purge(&mut self) -> VecDeque<Entry> {
        std::mem::take(&mut self.ready)
    }

    /// Puts a message back to its place.
    pub(super) fn requeue(&mut self, mut entry: Entry) {
        entry.redelivered = Redelivered::Yes;
        let place = self
            .ready
            .partition_point(|other| other.sequence < entry.sequence);
        self.ready.insert(place, entry);
    }

    pub(super) fn attach(&mut self, id: u64, prefetch: usize, wake: Arc<Notify>) {
        self.consumers.push(Attached {
            id,
            prefetch,
            unacked: Unacked::default(),
            attention: Attention::Busy,
            wake,
        });
    }

    pub(super) fn consumer(&mut self, id: u64) -> Option<&mut Attached> {
        self.consumers.iter_mut().find(|consumer| consumer.id == id)
    }

    /// Removes a consumer; what it has not settled is requeued.
    pub(super) fn detach(&mut self, id: u64) {
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
        self.ready.front()?.expires_at
    }

    fn drop_head(&mut self, reason: Death, dead: &mut Vec<Stored>) {
        let head = self.ready.pop_front();
        dead.extend(head.and_then(|head| self.dead_letter(head, reason)));
    }

    /// The message as it leaves the queue, unless it is dropped.
    pub(super) fn dead_letter(&self, entry: Entry, reason: Death) -> Option<Stored> {
        let DeadLetters { exchange, key } = self.policy.dead_letters.as_ref()?;
        let to = (exchange.as_str(), key.as_deref());
        Some(Arc::unwrap_or_clone(entry.stored).dead_letter(&self.name, reason, to))
    }

    /// The next consumer in turn whose prefetch allows one more delivery.
    fn consumer_with_room(&mut self) -> Option<usize> {
        let count = self.consumers.len();
        let found = (self.turn..count)
            .chain(0..self.turn.min(count))
            .find(|at| self.consumers[*at].has_room())?;
        self.turn = found + 1;
        Some(found)
    }
}

impl Entry {
    pub(super) fn new(sequence: u64, expires_at: Option<Instant>, stored: Arc<Stored>) -> Self {
        Self {
            sequence,
            expires_at,
            redelivered: Redelivered::No,
            stored,
        }
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

    /// Delivers nothing more.
    pub(super) fn cancel(&mut self) {
        self.prefetch = 0;
    }

    /// Delivers again, so many at a time.
    pub(super) fn resume(&mut self, prefetch: usize) {
        self.prefetch = prefetch;
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
