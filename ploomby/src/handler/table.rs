use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Semaphore;

use super::{Entry, HandlerFuture, HandlerOptions};
use crate::{
    consumer::policy::QueuePolicy,
    delivery::Delivery,
    layer::HandlerService,
    order::{Entered, Order},
    retry::Retry,
};

/// The handlers of one queue, by key, each with what holds for it there.
#[derive(Default)]
pub(crate) struct Table {
    /// The keys are the program's own, so that no sender can choose them to collide.
    handlers: HashMap<Box<str>, Arc<Route>, foldhash::fast::RandomState>,
    default: Option<Arc<Route>>,
}

/// A handler, and how it is run.
pub(crate) struct Route {
    pub(crate) name: &'static str,
    handler: HandlerService,
    /// What is around all handlers of the queue.
    around: Option<HandlerService>,
    pub(crate) retry: Arc<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) slots: Option<Arc<Semaphore>>,
    pub(crate) order: Option<Arc<Order>>,
}

/// A handler without what is around it.
pub(crate) struct Bare {
    entry: Entry,
    /// The allocation of a call that is done.
    spare: Mutex<Option<HandlerFuture>>,
}

impl Bare {
    pub(crate) fn call(&self, delivery: Delivery) -> HandlerFuture {
        let spare = self
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.entry.call(delivery, spare)
    }

    pub(crate) fn recycle(&self, done: HandlerFuture) {
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
    }
}

impl Table {
    pub(super) fn new<'a>(
        handlers: impl Iterator<Item = (&'a str, &'a Entry)>,
        default: Option<&Entry>,
        policy: &QueuePolicy,
    ) -> Self {
        // a handler of several keys is one route, with one limit
        let mut routes: HashMap<*const HandlerOptions, Arc<Route>> = HashMap::new();
        let layers = &policy.layers;
        let around = (!layers.is_empty()).then(|| layers.around(HandlerService::found()));
        let order = policy.ordered_by.as_ref().and_then(Order::new);
        let mut route = |entry: &Entry| {
            let route = routes.entry(Arc::as_ptr(&entry.options));
            route
                .or_insert_with(|| {
                    Arc::new(Route::new(entry, policy, around.clone(), order.clone()))
                })
                .clone()
        };
        Self {
            handlers: handlers
                .map(|(key, entry)| (key.into(), route(entry)))
                .collect(),
            default: default.map(route),
        }
    }

    /// The function for a key, or the default one.
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Route>> {
        self.handlers.get(key).or(self.default.as_ref())
    }

    /// In which orders messages are to be handled.
    pub(crate) fn orders(&self) -> impl Iterator<Item = &Order> {
        let routes = self.handlers.values().chain(&self.default);
        routes.filter_map(|route| route.order.as_deref())
    }

    /// All delays that a message may have to wait for, each once.
    pub(crate) fn retry_delays(&self) -> Vec<Duration> {
        let routes = self.handlers.values().chain(&self.default);
        let mut delays: Vec<_> = routes.flat_map(|route| route.retry.all_delays()).collect();
        delays.sort_unstable();
        delays.dedup();
        delays
    }
}

impl Route {
    /// Lines the message up, where messages are handled in order.
    pub(crate) fn line_up(&self, delivery: &Delivery) -> Option<Entered> {
        self.order.as_ref().map(|order| order.enter(delivery))
    }

    /// Takes back the future of a call that is done.
    pub(crate) fn recycle(&self, done: HandlerFuture) {
        if self.around.is_none() {
            self.handler.recycle(done);
        }
    }

    /// Runs the handler, and what is around it.
    pub(crate) fn call(&self, mut delivery: Delivery) -> HandlerFuture {
        match &self.around {
            None => self.handler.run(delivery),
            Some(around) => {
                delivery.extensions_mut().insert(self.handler.clone());
                around.run(delivery)
            }
        }
    }

    /// `around` and `order` are those of the queue.
    fn new(
        entry: &Entry,
        policy: &QueuePolicy,
        around: Option<HandlerService>,
        order: Option<Arc<Order>>,
    ) -> Self {
        let options = &entry.options;
        let limit = options
            .concurrency
            .map(|most| most.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            name: entry.origin.name,
            handler: options.layers.around(HandlerService::bare(Bare {
                entry: entry.clone(),
                spare: Mutex::default(),
            })),
            around,
            retry: Arc::new(
                options
                    .retry
                    .clone()
                    .unwrap_or_else(|| policy.retry.clone()),
            ),
            timeout: options.timeout.or(policy.timeout),
            slots: limit.map(|most| Arc::new(Semaphore::new(most))),
            order: options.ordered_by.as_ref().map_or(order, Order::new),
        }
    }
}
