use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    Entered, Entry, Order, Origin, QueuePolicy,
    batcher::{Batcher, Crowd},
    registry::crates,
    routes::{Index, Routes},
};
use crate::{
    brake::{Brakes, HandlerBrake},
    delivery::{Delivery, FoundHandler},
    health::HandlerNumber,
    layer::{HandlerFuture, HandlerService},
    outcome::Failure,
    reply::Answer,
    settle::{Retry, Trying},
};

/// The handlers of one queue, by key, each with what holds for it there.
///
/// Queues share what they have in common, so that many of them with many handlers hold the sum of both, and not
/// their product.
pub(crate) struct Table {
    /// The functions for all queues.
    shared: Arc<Index>,
    /// Those for this one alone, which go before the others.
    own: Index,
    routes: Routes,
    making: Making,
}

/// What a route is made of, beside its function.
struct Making {
    policy: QueuePolicy,
    around: Option<HandlerService>,
    order: Option<Arc<Order>>,
    crowd: Arc<Crowd>,
    brakes: Arc<Brakes>,
    stop: CancellationToken,
}

/// A handler, and how it is run.
pub(crate) struct Route {
    pub(crate) name: &'static str,
    pub(crate) number: HandlerNumber,
    handler: HandlerService,
    /// What is around all handlers of the queue.
    around: Option<Around>,
    has_layers: bool,
    is_batch: bool,
    /// A call that is done, locked while the handler is called again.
    spare: Mutex<Option<HandlerFuture>>,
    pub(crate) trying: Arc<Trying>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) slots: Option<Arc<Semaphore>>,
    pub(crate) order: Option<Arc<Order>>,
    pub(crate) brake: Arc<HandlerBrake>,
    /// What it takes is decoded from the body.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(crate) takes_payload: bool,
}

/// The layers of the queue, and the handler inside of them as its delivery carries it.
struct Around {
    layers: HandlerService,
    handler: Arc<FoundHandler>,
}

/// A handler that was called.
pub(crate) enum Called {
    /// It had nothing to wait for.
    Done(Result<Answer, Failure>),
    Waits(HandlerFuture),
}

impl Table {
    pub(super) fn new(
        shared: Arc<Index>,
        own: Index,
        policy: &QueuePolicy,
        brakes: &Arc<Brakes>,
        stop: &CancellationToken,
    ) -> Self {
        let layers = &policy.layers;
        Self {
            routes: Routes::new(shared.entries().len() + own.entries().len()),
            making: Making {
                around: (!layers.is_empty()).then(|| layers.around(HandlerService::found(), stop)),
                order: policy.ordered_by.as_ref().and_then(Order::new),
                crowd: Crowd::new(policy.most_in_flight()),
                policy: policy.clone(),
                brakes: brakes.clone(),
                stop: stop.clone(),
            },
            shared,
            own,
        }
    }

    /// The function for a key, or the default one.
    #[inline]
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Route>> {
        let number = match self.own.is_empty() {
            true => self.shared.get(key),
            false => self.own_get(key).or_else(|| self.shared.get(key)),
        };
        let number = number.or_else(|| self.default_number())?;
        let make = || Arc::new(self.making.route(self.entry(number)));
        Some(self.routes.get(number, make))
    }

    /// The function for a key, or the default one, as it is without what holds for the queue.
    pub(crate) fn entry_of(&self, key: &str) -> Option<&Entry> {
        let number = self.own_get(key).or_else(|| self.shared.get(key));
        Some(self.entry(number.or_else(|| self.default_number())?))
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
        let shared = self.shared.keys();
        let shared = shared.filter(|(key, _)| self.own.get(key).is_none());
        let own = self
            .own
            .keys()
            .map(|(_, number)| self.behind_shared(number));
        let numbers = shared.map(|(_, number)| number).chain(own);
        let numbers: BTreeSet<_> = numbers.chain(self.default_number()).collect();
        numbers.into_iter().map(move |number| self.entry(number))
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
            Some(by) => Order::new(by),
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

impl Making {
    /// A function with several keys is one route, with one limit.
    fn route(&self, entry: &Entry) -> Route {
        let (policy, stop) = (&self.policy, &self.stop);
        let batcher = entry.requirements.is_batch();
        let batcher = batcher.then(|| self.crowd.batcher(entry, policy, stop));
        let settings = entry.options.braking.or(&policy.braking);
        let brake = HandlerBrake::new(entry.origin.name, settings, &self.brakes, stop);
        let mut route = Route::new(entry, policy, batcher, brake, stop);
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

impl Route {
    /// Lines the message up, where messages are handled in order.
    #[inline]
    pub(crate) fn line_up(&self, delivery: &Delivery) -> Option<Entered> {
        self.order.as_ref().map(|order| order.enter(delivery))
    }

    /// Calls the handler, with what is around it, and goes as far as it comes without waiting.
    #[inline]
    pub(crate) fn call_at_once(&self, delivery: Delivery, cx: &mut Context<'_>) -> Called {
        // where another consumer is at the same handler, it is an allocation more
        let mut spare = self.spare.try_lock().ok();
        let done = spare.as_mut().and_then(|spare| spare.take());
        let mut work = match done {
            Some(mut work) => {
                work.begin(self.on_its_way(delivery));
                work
            }
            None => self.call(delivery),
        };
        match work.poll(cx) {
            Poll::Ready(result) => {
                if let Some(spare) = &mut spare {
                    **spare = Some(work);
                }
                Called::Done(result)
            }
            Poll::Pending => Called::Waits(work),
        }
    }

    /// Whether the handler takes several messages at once.
    pub(crate) fn is_batch(&self) -> bool {
        self.is_batch
    }

    /// Whether anything is around the handler.
    pub(crate) fn is_layered(&self) -> bool {
        self.has_layers || self.around.is_some()
    }

    /// Calls the handler, with what is around it.
    pub(crate) fn call(&self, delivery: Delivery) -> HandlerFuture {
        let delivery = self.on_its_way(delivery);
        match &self.around {
            None => self.handler.run(delivery),
            Some(around) => around.layers.run(delivery),
        }
    }

    /// What is around all of the queue finds the handler by its delivery.
    #[inline]
    fn on_its_way(&self, mut delivery: Delivery) -> Delivery {
        if let Some(around) = &self.around {
            delivery.set_found(around.handler.clone());
        }
        delivery
    }

    /// Without what it shares with the other handlers of the queue.
    fn new(
        entry: &Entry,
        policy: &QueuePolicy,
        batcher: Option<Arc<Batcher>>,
        brake: Arc<HandlerBrake>,
        stop: &CancellationToken,
    ) -> Self {
        let options = &entry.options;
        let (bare, timeout, limit) = match &batcher {
            // its limits are for batches
            Some(batcher) => {
                let batcher = batcher.clone();
                let bare = HandlerService::bare(Arc::new(move |delivery| batcher.call(delivery)));
                (bare, None, None)
            }
            None => (
                entry.service(),
                options.timeout.or(policy.timeout),
                options.slots(policy),
            ),
        };
        Self {
            name: entry.origin.name,
            number: HandlerNumber::of(entry.origin.name),
            handler: options.layers.around(bare, stop),
            around: None,
            has_layers: !options.layers.is_empty(),
            is_batch: entry.requirements.is_batch(),
            spare: Mutex::default(),
            trying: Arc::default(),
            timeout,
            slots: limit,
            order: options.ordered_by.as_ref().and_then(Order::new),
            brake,
            #[cfg(any(feature = "gzip", feature = "zstd"))]
            takes_payload: entry.requirements.takes_payload(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::{HandlerOptions, HandlerRegistry};

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
        let brakes = Brakes::new(queue, &Arc::default());
        handlers.table(
            queue,
            &QueuePolicy::new(),
            &brakes,
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
