//! A broker of a test: its clock is the test's, and the test looks into it.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
};

use tokio::time::Instant;

use super::{
    broker::{BROKERS, MemoryBroker},
    queue::Queue,
    state::Shared,
    stored::Stored,
};
use crate::{
    message::{Addressed, Message},
    stage::Stage,
};

/// What goes on in a broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activity {
    /// How many messages are delivered, and no consumer has seen yet.
    pub(crate) unfetched: u64,
    /// When the next message expires in any queue.
    pub(crate) due: Option<Instant>,
    /// When the next one has waited for as long as it should, for another attempt or by its delay.
    pub(crate) waiting_due: Option<Instant>,
}

impl MemoryBroker {
    /// A broker of a test, under a name that no other has. It is there until it is [forgotten](Self::forget).
    pub(crate) fn staged(name: &str, stage: Stage) -> Self {
        let broker = Self {
            name: name.into(),
            shared: Shared::new(stage),
        };
        let mut brokers = BROKERS.lock().unwrap_or_else(PoisonError::into_inner);
        brokers.insert(broker.name.clone(), broker.clone());
        broker
    }

    /// The name means nothing any more.
    pub(crate) fn forget(&self) {
        let mut brokers = BROKERS.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = brokers.remove(&self.name);
        drop(brokers);
        drop(forgotten);
    }

    pub(crate) fn activity(&self) -> Activity {
        let state = self.shared.lock();
        let waiting = state.queues().filter(|queue| queue.keeps());
        Activity {
            unfetched: state.queues().map(Queue::unfetched_count).sum(),
            due: state.first_due(),
            waiting_due: waiting.filter_map(Queue::due).min(),
        }
    }

    /// Expires and delivers what is due.
    pub(crate) fn catch_up(&self) {
        self.shared.lock().pump_all();
    }

    /// What is ready in a queue; None if there is no such queue.
    pub(crate) fn ready(&self, queue: &str) -> Option<Vec<Message>> {
        let state = self.shared.lock();
        let queue = state.queue(state.find(queue)?);
        let messages = queue.ready().map(|stored| stored.published.message.clone());
        Some(messages.collect())
    }

    /// The queues that a message goes to.
    pub(crate) fn queues_of(&self, message: &Addressed) -> Vec<Arc<str>> {
        let Addressed {
            exchange,
            routing_key,
            message,
            ..
        } = message;
        // what RabbitMQ would not take comes nowhere
        let stored = Stored::through(exchange, routing_key, message.clone());
        stored.map_or_else(
            |_| Vec::new(),
            |stored| self.shared.lock().queues_of(&stored),
        )
    }

    /// The message ids of all that is ready, with the queues.
    pub(crate) fn ready_ids(&self) -> HashSet<(Arc<str>, String)> {
        let state = self.shared.lock();
        let mut ids = HashSet::new();
        for queue in state.queues() {
            for stored in queue.ready().chain(&queue.kept) {
                let id = stored.published.message.properties().message_id();
                ids.extend(id.map(|id| (queue.name.clone(), id.to_owned())));
            }
        }
        ids
    }

    /// The queues whose names are so.
    pub(crate) fn queue_names(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let state = self.shared.lock();
        let names = state.queues().map(|queue| queue.name.clone());
        names.filter(|name| is_wanted(name)).collect()
    }
}
