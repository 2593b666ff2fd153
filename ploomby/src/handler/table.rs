use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Entry, KeyPattern, Order, Origin, QueuePolicy,
    batcher::{Batcher, Crowd},
    limits::{Pace, Paced, most_here},
    registry::crates,
    route::{Around, Route},
    routes::{Index, Routes},
};
use crate::{
    brake::{Brakes, HandlerBrake},
    delivery::FoundHandler,
    layer::HandlerService,
    metrics::QueueMeter,
    settle::{Retry, Trying},
};

mod keys;

/// The handlers of one queue, by key, each with what holds for it there.
///
/// Queues share what they have in common, so that many of them with many handlers hold the sum of both, and not
/// their product.
pub(crate) struct Table {
    /// The functions for all queues.
    shared: Arc<Index>,
    /// Those for this one alone, which go before the others.
    own: Arc<Index>,
    routes: Routes,
    making: Making,
    /// Once that was asked.
    rates: OnceLock<Rates>,
}

/// What a route is made of, beside its function.
struct Making {
    policy: QueuePolicy,
    around: Option<HandlerService>,
    order: Option<Arc<Order>>,
    crowd: Arc<Crowd>,
    /// Of all handlers that have none of their own.
    pace: Option<Arc<Pace>>,
    brakes: Arc<Brakes>,
    meter: QueueMeter,
    stop: CancellationToken,
}

impl Table {
    pub(super) fn new(
        shared: Arc<Index>,
        own: Arc<Index>,
        policy: &QueuePolicy,
        brakes: &Arc<Brakes>,
        meter: &QueueMeter,
        stop: &CancellationToken,
    ) -> Self {
        let layers = &policy.layers;
        Self {
            routes: Routes::new(shared.entries().len() + own.entries().len()),
            making: Making {
                around: (!layers.is_empty()).then(|| layers.around(HandlerService::found(), stop)),
                order: policy
                    .ordered_by
                    .as_ref()
                    .and_then(|by| Order::new(by, &policy.stage)),
                crowd: Crowd::new(policy.most_in_flight()),
                pace: policy
                    .rate
                    .map(|rate| Arc::new(Pace::new(rate, &policy.stage))),
                policy: policy.clone(),
                brakes: brakes.clone(),
                meter: meter.clone(),
                stop: stop.clone(),
            },
            rates: OnceLock::new(),
            shared,
            own,
        }
    }

    /// The function for a key, for a pattern that the key fits, or the default one.
    #[inline]
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Route>> {
        let number = match self.own.is_empty() {
            true => self.shared.get(key),
            false => self.own_get(key).or_else(|| self.shared.get(key)),
        };
        let number = number.or_else(|| self.without_own_key(key))?;
        let make = || self.make(self.entry(number));
        Some(self.routes.get(number, make))
    }

    /// The function for messages that no other one is for.
    pub(crate) fn default_route(&self) -> Option<&Arc<Route>> {
        let number = self.default_number()?;
        Some(self.routes.get(number, || self.make(self.entry(number))))
    }

    /// The default function, as it is without what holds for the queue.
    pub(crate) fn default_entry(&self) -> Option<&Entry> {
        Some(self.entry(self.default_number()?))
    }

    /// The function that has this key or, if none has it, this name: with its path, or without if no other is called so.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Route>> {
        let by_key = self.own_get(name).or_else(|| self.shared.get(name));
        let number = by_key.or_else(|| {
            let mut called = self.numbers().filter(|number| {
                let path = self.entry(*number).origin.name;
                path == name || path.rsplit("::").next() == Some(name)
            });
            called.next().filter(|_| called.next().is_none())
        });
        let number = number?;
        Some(self.routes.get(number, || self.make(self.entry(number))))
    }

    /// The function for a key, or the default one, as it is without what holds for the queue.
    pub(crate) fn entry_of(&self, key: &str) -> Option<&Entry> {
        let number = self.own_get(key).or_else(|| self.shared.get(key));
        Some(self.entry(number.or_else(|| self.without_own_key(key))?))
    }

    /// The function for a key that none has as its own.
    fn without_own_key(&self, key: &str) -> Option<u32> {
        let own = self.own.by_pattern(key);
        let own = own.map(|(_, number)| self.behind_shared(number));
        let number = own.or_else(|| Some(self.shared.by_pattern(key)?.1));
        number.or_else(|| self.default_number())
    }

    fn own_get(&self, key: &str) -> Option<u32> {
        Some(self.behind_shared(self.own.get(key)?))
    }

    fn default_number(&self) -> Option<u32> {
        let own = self
            .own
            .default_number()
            .map(|number| self.behind_shared(number));
        own.or_else(|| self.shared.default_number())
    }

    /// The number of one of the queue's own functions.
    fn behind_shared(&self, number: u32) -> u32 {
        self.shared.entries().len() as u32 + number
    }

    fn entry(&self, number: u32) -> &Entry {
        let number = number as usize;
        let shared = self.shared.entries();
        match number.checked_sub(shared.len()) {
            None => &shared[number],
            Some(own) => &self.own.entries()[own],
        }
    }

    /// The crates that the handlers stand in: a library that was not linked is missed there.
    pub(crate) fn crates(&self) -> Vec<&'static str> {
        crates(self.entries())
    }

    /// The functions that messages of the queue can reach.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.numbers().map(move |number| self.entry(number))
    }

    fn numbers(&self) -> impl Iterator<Item = u32> {
        let shared = self.shared.keys();
        let shared = shared.filter(|(key, _)| self.own.get(key).is_none());
        let own = self
            .own
            .keys()
            .map(|(_, number)| self.behind_shared(number));
        let is_own = |pattern: &KeyPattern| self.own.patterns().any(|(own, _)| own == pattern);
        let patterns = self.shared.patterns();
        let shared_patterns = patterns.filter(move |(pattern, _)| !is_own(pattern));
        let own_patterns = self.own.patterns();
        let own_patterns = own_patterns.map(|(_, number)| self.behind_shared(number));
        let numbers = shared.map(|(_, number)| number).chain(own);
        let numbers = numbers.chain(shared_patterns.map(|(_, number)| number));
        let numbers = numbers.chain(own_patterns);
        let numbers: BTreeSet<_> = numbers.chain(self.default_number()).collect();
        numbers.into_iter()
    }

    /// How many functions messages of the queue can reach.
    pub(crate) fn reachable(&self) -> usize {
        self.entries().count()
    }

    /// A check that is needed and that the program does not have, and what needs it.
    pub(crate) fn unknown_check(&self) -> Option<(String, String)> {
        let queue = &self.making.policy.braking;
        let unknown = |needs: &[String]| {
            let mut needs = needs.iter();
            needs.find(|name| queue.checks.get(name).is_none()).cloned()
        };
        let of_queue = unknown(&queue.needs).map(|name| (name, "the queue".to_owned()));
        of_queue.or_else(|| {
            self.entries().find_map(|entry| {
                let name = unknown(&entry.options.braking.needs)?;
                Some((name, entry.origin.to_string()))
            })
        })
    }

    /// In which orders messages are to be handled.
    pub(crate) fn orders(&self) -> impl Iterator<Item = Arc<Order>> {
        let by = move |entry: &Entry| match &entry.options.ordered_by {
            Some(by) => Order::new(by, &self.making.policy.stage),
            None => self.making.order.clone(),
        };
        self.entries().filter_map(by)
    }

    /// How many messages the handlers take that take several at once, and where they stand.
    pub(crate) fn batches(&self) -> impl Iterator<Item = (Origin, usize)> {
        let batches = self.entries().filter(|entry| entry.requirements.is_batch());
        batches.map(move |entry| {
            let size = Batcher::size_of(&entry.options, &self.making.policy);
            (entry.origin, size)
        })
    }

    #[cold]
    fn make(&self, entry: &Entry) -> Arc<Route> {
        Arc::new(self.making.route(entry, self.paced(entry)))
    }

    /// The rate of a function, if it has any.
    fn paced(&self, entry: &Entry) -> Option<Paced> {
        let Making { policy, pace, .. } = &self.making;
        let own = entry.options.rate;
        let own = own.map(|rate| Arc::new(Pace::new(rate, &policy.stage)));
        let has_own = own.is_some();
        let pace = own.or_else(|| pace.clone())?;
        let rates = self.rates();
        let paced = match policy.rate {
            Some(_) => rates.all,
            None => rates.own,
        };
        Some(Paced {
            pace,
            has_others: match has_own {
                true => rates.all > 1,
                false => rates.own > 0,
            },
            // half of what may be here, for all of them together
            most_waiting: (policy.default_concurrency() / (2 * paced.max(1))).max(1),
            places: policy.most_in_flight().max(1),
        })
    }

    fn rates(&self) -> &Rates {
        self.rates.get_or_init(|| Rates {
            all: self.entries().count(),
            own: self
                .entries()
                .filter(|entry| entry.options.rate.is_some())
                .count(),
        })
    }

    /// Whether a handler may be at its own rate while the queue is not.
    pub(crate) fn has_rates(&self) -> bool {
        self.entries().any(|entry| entry.options.rate.is_some())
    }

    /// How many messages begin before one has waited here for too long, where all handlers share a rate.
    pub(crate) fn most_here(&self) -> Option<usize> {
        let mut entries = self.entries();
        let first = entries.next()?.options.rate;
        let is_alone = entries.next().is_none();
        let rate = match (first, self.has_rates()) {
            (Some(own), _) if is_alone => own,
            (None, false) => self.making.policy.rate?,
            _ => return None,
        };
        Some(most_here(rate))
    }

    /// Whether a handler may be at its own limit while the queue is not.
    pub(crate) fn has_slots(&self) -> bool {
        let policy = &self.making.policy;
        let mut singles = self
            .entries()
            .filter(|entry| !entry.requirements.is_batch());
        singles.any(|entry| entry.options.slots(policy).is_some())
    }

    /// All delays that a message may have to wait for, each once.
    pub(crate) fn retry_delays(&self) -> Vec<Duration> {
        let policy = &self.making.policy;
        let retries = self.entries().map(|entry| {
            let own = entry.options.retry.as_ref();
            own.unwrap_or(&policy.retry)
        });
        let delays: BTreeSet<_> = retries.flat_map(Retry::all_delays).collect();
        delays.into_iter().collect()
    }
}

/// How many functions there are, and how many of them have a rate of their own.
struct Rates {
    all: usize,
    own: usize,
}

impl Making {
    /// A function with several keys is one route, with one limit.
    fn route(&self, entry: &Entry, paced: Option<Paced>) -> Route {
        let (policy, stop) = (&self.policy, &self.stop);
        let batcher = entry.requirements.is_batch();
        let batcher = batcher.then(|| {
            let pace = paced.as_ref().map(|paced| paced.pace.clone());
            self.crowd.batcher(entry, policy, pace, stop)
        });
        let settings = entry.options.braking.or(&policy.braking);
        let brake = HandlerBrake::new(entry.origin.name, settings, &self.brakes, stop);
        let meter = self.meter.handler(entry.origin.name);
        let mut route = Route::new(entry, policy, batcher, paced.as_ref(), brake, meter, stop);
        route.around = self.around.clone().map(|layers| Around {
            layers,
            handler: Arc::new(FoundHandler::new(route.handler.clone())),
        });
        if entry.options.ordered_by.is_none() {
            route.order.clone_from(&self.order);
        }
        route.trying = Arc::new(Trying {
            retry: entry
                .options
                .retry
                .clone()
                .unwrap_or_else(|| policy.retry.clone()),
            most_requeues: policy.most_requeues(route.order.is_some()),
        });
        route
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        handler::{HandlerOptions, HandlerRegistry},
        stage::Stage,
    };

    const HANDLERS: usize = 1_000;

    fn registry() -> HandlerRegistry {
        let handlers = (0..HANDLERS).map(|number| number.to_string());
        let all = handlers.fold(HandlerRegistry::new(), |handlers, key| {
            handlers.register(&key, async || {})
        });
        let own = HandlerOptions::new().queue("b");
        all.register_with("7", own.clone(), async || {})
            .register_default_with(own, async || {})
    }

    fn table(handlers: &HandlerRegistry, queue: &str) -> Table {
        let brakes = Brakes::new(queue, &Arc::default(), &Stage::default());
        handlers.table(
            queue,
            &QueuePolicy::new(),
            &brakes,
            &QueueMeter::new(),
            &CancellationToken::new(),
        )
    }

    #[test]
    fn a_queue_holds_what_it_has_messages_for_and_shares_the_rest() {
        let handlers = registry();
        let [a, b, c] = ["a", "b", "c"].map(|queue| table(&handlers, queue));
        for other in [&b, &c] {
            assert!(Arc::ptr_eq(&a.shared, &other.shared));
        }
        assert_eq!((a.routes.len(), a.entries().count()), (0, HANDLERS));
        for _ in 0..2 {
            assert!(a.get("7").is_some());
            assert!(a.get("999").is_some());
        }
        assert!(a.get("none").is_none());
        assert_eq!((a.routes.len(), c.routes.len()), (2, 0));
    }

    #[test]
    fn what_is_of_one_queue_goes_before_what_is_of_all() {
        let handlers = registry();
        let [a, b] = ["a", "b"].map(|queue| table(&handlers, queue));
        // its own handler of the key in place of the others', and its default one
        assert_eq!(b.entries().count(), HANDLERS + 1);
        let [all, own, default] = [a.get("7"), b.get("7"), b.get("none")].map(Option::unwrap);
        assert!(!Arc::ptr_eq(own, default));
        assert!(!Arc::ptr_eq(all, own));
        assert!(Arc::ptr_eq(default, b.get("another").unwrap()));
        assert!(b.get("8").is_some());
        assert_eq!(b.routes.len(), 3);
    }
}
