use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{Entered, Entry, Limits, Order, QueuePolicy, batcher::Batcher, limits::Paced};
use crate::{
    brake::HandlerBrake,
    delivery::{Delivery, FoundHandler},
    health::HandlerNumber,
    layer::{HandlerFuture, HandlerService},
    metrics::HandlerMeter,
    outcome::Failure,
    reply::Answer,
    settle::Trying,
};

/// A handler, and how it is run.
pub(crate) struct Route {
    pub(crate) name: &'static str,
    pub(crate) number: HandlerNumber,
    pub(super) handler: HandlerService,
    /// What is around all handlers of the queue.
    pub(super) around: Option<Around>,
    has_layers: bool,
    is_batch: bool,
    /// A call that is done, locked while the handler is called again.
    spare: Mutex<Option<HandlerFuture>>,
    pub(crate) trying: Arc<Trying>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) limits: Option<Box<Limits>>,
    pub(crate) order: Option<Arc<Order>>,
    pub(crate) brake: Arc<HandlerBrake>,
    pub(crate) meter: HandlerMeter,
    /// What it takes is decoded from the body.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(crate) takes_payload: bool,
}

/// The layers of the queue, and the handler inside of them as its delivery carries it.
pub(super) struct Around {
    pub(super) layers: HandlerService,
    pub(super) handler: Arc<FoundHandler>,
}

/// A handler that was called.
pub(crate) enum Called {
    /// It had nothing to wait for.
    Done(Result<Answer, Failure>),
    Waits(HandlerFuture),
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
    pub(super) fn new(
        entry: &Entry,
        policy: &QueuePolicy,
        batcher: Option<Arc<Batcher>>,
        paced: Option<&Paced>,
        brake: Arc<HandlerBrake>,
        meter: HandlerMeter,
        stop: &CancellationToken,
    ) -> Self {
        let options = &entry.options;
        let (bare, timeout, limits) = match &batcher {
            // its limits are for batches
            Some(batcher) => {
                let batcher = batcher.clone();
                let bare = HandlerService::bare(Arc::new(move |delivery| batcher.call(delivery)));
                let size = Batcher::size_of(options, policy);
                (bare, None, Limits::of_batches(size, paced))
            }
            None => (
                entry.service(),
                options.timeout.or(policy.timeout),
                Limits::new(options.slots(policy), paced),
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
            limits,
            order: options
                .ordered_by
                .as_ref()
                .and_then(|by| Order::new(by, &policy.stage)),
            brake,
            meter,
            #[cfg(any(feature = "gzip", feature = "zstd"))]
            takes_payload: entry.requirements.takes_payload(),
        }
    }
}
