//! What the handlers of a queue ask of its source, which is known before the first message.

use std::{sync::Arc, time::Duration};

use super::Dispatcher;
use crate::handler::{Order, Origin};

impl Dispatcher {
    /// The delays of the handlers' retries, each once, shortest first: what
    /// [`Acknowledger::retry`](crate::Acknowledger::retry) will be asked for. Beside them it may be asked for a second, for a
    /// message that came back unsettled.
    pub fn retry_delays(&self) -> Vec<Duration> {
        self.queue.handlers.retry_delays()
    }

    /// In which orders the handlers take their messages.
    pub(crate) fn orders(&self) -> impl Iterator<Item = Arc<Order>> {
        self.queue.handlers.orders()
    }

    /// Whether messages of the queue are handled in an order.
    pub(crate) fn is_ordered(&self) -> bool {
        self.queue.policy.concurrency == Some(1) || self.orders().next().is_some()
    }

    /// How many messages each consumer may hold where the program does not say so, `most` at the most: as many as
    /// can be worked at, and a few that are at hand for the next slot. What waits for its turn or for the slot of its
    /// handler would hold up the others there. If all have one rate, no more than it lets begin before long.
    pub(crate) fn window(&self, most: u16) -> u16 {
        let policy = &self.queue.policy;
        let handlers = &self.queue.handlers;
        let is_held_up =
            handlers.orders().next().is_some() || handlers.has_slots() || handlers.has_rates();
        let by_rate = handlers.most_here().map(|most| most.max(MIN_AT_HAND));
        let by_rate = by_rate.and_then(|most| u16::try_from(most).ok());
        let most = by_rate.map_or(most, |by_rate| by_rate.min(most));
        let Some(concurrency) = policy.concurrency.filter(|_| !is_held_up) else {
            return most;
        };
        let consumers = policy.default_concurrency() / usize::from(most.max(1));
        let each = concurrency.div_ceil(consumers.max(1));
        let window = each.saturating_add(each.clamp(MIN_AT_HAND, MAX_AT_HAND));
        u16::try_from(window).map_or(most, |window| window.min(most))
    }

    /// A check that is needed and that the program does not have, and what needs it.
    pub(crate) fn unknown_check(&self) -> Option<(String, String)> {
        self.queue.handlers.unknown_check()
    }

    /// A handler of batches that would never have as many messages as it takes, with that number and
    /// how many there can be.
    pub(crate) fn batch_that_never_fills(&self) -> Option<(Origin, usize, usize)> {
        let most = self.queue.policy.most_in_flight();
        let mut batches = self.queue.handlers.batches();
        let (origin, size) = batches.find(|(_, size)| *size > most)?;
        Some((origin, size, most))
    }
}

/// How many messages are at hand, beside those that are worked at.
const MIN_AT_HAND: usize = 2;
const MAX_AT_HAND: usize = 8;
