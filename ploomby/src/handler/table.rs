use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Entered, Entry, HandlerOptions, Order, QueuePolicy, batcher::Batcher};
use crate::{
    delivery::{Delivery, FoundHandler},
    layer::{HandlerFuture, HandlerService},
    outcome::Failure,
    reply::Answer,
    settle::Retry,
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
    around: Option<Around>,
    /// A call that is done, locked while the handler is called again.
    spare: Mutex<Option<HandlerFuture>>,
    pub(crate) retry: Arc<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) slots: Option<Arc<Semaphore>>,
    pub(crate) order: Option<Arc<Order>>,
    batcher: Option<Arc<Batcher>>,
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
    pub(super) fn new<'a>(
        handlers: impl Iterator<Item = (&'a str, &'a Entry)>,
        default: Option<&Entry>,
        policy: &QueuePolicy,
        stop: &CancellationToken,
    ) -> Self {
        // a handler of several keys is one route, with one limit
        let mut routes: HashMap<*const HandlerOptions, Arc<Route>> = HashMap::new();
        let layers = &policy.layers;
        let around = (!layers.is_empty()).then(|| layers.around(HandlerService::found(), stop));
        let order = policy.ordered_by.as_ref().and_then(Order::new);
        let mut route = |entry: &Entry| {
            let route = routes.entry(Arc::as_ptr(&entry.options));
            route
                .or_insert_with(|| {
                    let batcher = entry.requirements.is_batch();
                    let batcher = batcher.then(|| Arc::new(Batcher::new(entry, policy, stop)));
                    let mut route = Route::new(entry, policy, batcher, stop);
                    route.around = around.clone().map(|layers| Around {
                        layers,
                        handler: Arc::new(FoundHandler::new(route.handler.clone())),
                    });
                    if entry.options.ordered_by.is_none() {
                        route.order.clone_from(&order);
                    }
                    Arc::new(route)
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
    #[inline]
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Route>> {
        self.handlers.get(key).or(self.default.as_ref())
    }

    /// In which orders messages are to be handled.
    pub(crate) fn orders(&self) -> impl Iterator<Item = &Order> {
        let routes = self.handlers.values().chain(&self.default);
        routes.filter_map(|route| route.order.as_deref())
    }

    /// The handlers that take several messages at once.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &Batcher> {
        let routes = self.handlers.values().chain(&self.default);
        routes.filter_map(|route| route.batcher.as_deref())
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
            handler: options.layers.around(bare, stop),
            around: None,
            spare: Mutex::default(),
            retry: Arc::new(
                options
                    .retry
                    .clone()
                    .unwrap_or_else(|| policy.retry.clone()),
            ),
            timeout,
            slots: limit,
            order: options.ordered_by.as_ref().and_then(Order::new),
            batcher,
            #[cfg(any(feature = "gzip", feature = "zstd"))]
            takes_payload: entry.requirements.takes_payload(),
        }
    }
}
