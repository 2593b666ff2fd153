//! From a delivery to its handler: the one place where a message meets a function.

use std::{fmt, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::in_flight::InFlight;
use crate::{
    codec::Decoding,
    consumer::Acknowledger,
    delivery::{Delivery, Source},
    handler::{Completed, Entry, HandlerFuture, HandlerRegistry},
    key::{KeyError, KeyReader},
    settle::{Failure, Reason, RequeuePause, settle},
};

mod in_flight;

/// Gives each delivery of one queue to the handler that its key names, and settles it.
///
/// The registry makes one for each consumer and hands it to [`MessageConsumer::consume`].
///
/// [`MessageConsumer::consume`]: crate::MessageConsumer::consume
#[derive(Clone)]
pub struct Dispatcher {
    queue: Arc<Queue>,
    consumer: Arc<Consumer>,
}

/// What all consumers of a queue share.
struct Queue {
    source: Arc<Source>,
    handlers: Arc<HandlerRegistry>,
    slots: Semaphore,
    /// No delivery is started any more.
    stop: CancellationToken,
    /// Nobody waits for the handlers any more.
    abandoned: CancellationToken,
    pause: RequeuePause,
}

/// What belongs to one consumer.
#[derive(Default)]
struct Consumer {
    in_flight: InFlight,
    tasks: TaskTracker,
    /// The deadline is over: handlers are dropped.
    abort: CancellationToken,
}

impl Dispatcher {
    pub(crate) fn new(
        queue: &str,
        key: KeyReader,
        handlers: Arc<HandlerRegistry>,
        concurrency: usize,
        decoding: Decoding,
    ) -> Self {
        Self {
            queue: Arc::new(Queue {
                source: Arc::new(Source {
                    queue: queue.to_owned(),
                    key,
                    decoding,
                }),
                handlers,
                slots: Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)),
                stop: CancellationToken::new(),
                abandoned: CancellationToken::new(),
                pause: RequeuePause::default(),
            }),
            consumer: Arc::default(),
        }
    }

    /// The same queue, for one more consumer.
    pub(crate) fn for_consumer(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            consumer: Arc::new(Consumer {
                abort: self.queue.abandoned.child_token(),
                ..Consumer::default()
            }),
        }
    }

    /// The queue that is consumed.
    pub fn listen_for(&self) -> &str {
        &self.queue.source.queue
    }

    /// Runs the delivery's handler and settles the delivery.
    ///
    /// It returns once the handler is running, not once it is done: handlers run concurrently, up
    /// to the queue's limit, and `dispatch` waits while that many run. After shutdown has begun
    /// it never returns; the delivery is then for [`disconnect`] to give back.
    ///
    /// A handler that needs no waiting runs to its end right here. One that waits goes on in a
    /// task of its own.
    ///
    /// # Cancel safety
    ///
    /// A delivery whose `dispatch` is dropped was either not started or is with its handler.
    ///
    /// [`disconnect`]: crate::MessageConsumer::disconnect
    pub async fn dispatch<A: Acknowledger>(&self, mut delivery: Delivery, acknowledger: &Arc<A>) {
        delivery.set_source(self.queue.source.clone());
        let slot = self.queue.slots.acquire().await.expect("never closed");
        // taken before `stop` is looked at, so that `drain` misses nothing
        let token = self.consumer.tasks.token();
        if self.is_stopped() {
            drop((token, slot));
            return std::future::pending().await;
        }
        let (entry, mut handler) = match self.queue.find(&delivery) {
            Ok(entry) => (entry, entry.call(delivery)),
            Err(failure) => {
                slot.forget();
                let refused = Completed::new(delivery, Err(failure));
                return self.settle_later(NO_HANDLER, refused, acknowledger);
            }
        };
        match poll_fn(|cx| Poll::Ready(handler.as_mut().poll(cx))).await {
            Poll::Ready(completed) if completed.is_settled_at_once() => {
                settle(
                    completed,
                    &**acknowledger,
                    &self.queue.pause,
                    &self.queue.stop,
                )
                .await;
            }
            Poll::Ready(completed) => {
                slot.forget();
                self.settle_later(entry.origin.name, completed, acknowledger);
            }
            Poll::Pending => {
                slot.forget();
                self.run_on(entry.origin.name, handler, acknowledger);
            }
        }
    }

    /// Resolves when shutdown begins: a consumer then tells its source to send nothing more.
    pub async fn stopped(&self) {
        self.queue.stop.cancelled().await;
    }

    /// Whether shutdown has begun.
    pub fn is_stopped(&self) -> bool {
        self.queue.stop.is_cancelled()
    }

    /// Begins the shutdown of all consumers of the queue.
    pub(crate) fn stop(&self) {
        self.queue.stop.cancel();
    }

    /// Drops the handlers of all consumers of the queue where they wait next.
    pub(crate) fn abandon(&self) {
        self.queue.stop.cancel();
        self.queue.abandoned.cancel();
    }

    /// Waits for this consumer's handlers in flight; drops those that are not done within the deadline and
    /// returns their functions' names.
    pub(crate) async fn drain(&self, deadline: tokio::time::Instant) -> Vec<&'static str> {
        let Consumer {
            in_flight,
            tasks,
            abort,
        } = &*self.consumer;
        tasks.close();
        if tokio::time::timeout_at(deadline, tasks.wait())
            .await
            .is_ok()
        {
            return Vec::new();
        }
        let cut_off = in_flight.names();
        abort.cancel();
        // a handler that blocks its thread cannot be dropped, and must not keep the rest
        let _ = tokio::time::timeout(ABORT_TIME, tasks.wait()).await;
        cut_off
    }

    /// Runs a handler to its end, and settles, on a task of its own that gives the slot back.
    fn run_on<A: Acknowledger>(
        &self,
        name: &'static str,
        handler: HandlerFuture,
        acknowledger: &Arc<A>,
    ) {
        let slot = Slot {
            id: self.consumer.in_flight.enter(name),
            dispatcher: self.clone(),
        };
        let acknowledger = acknowledger.clone();
        self.consumer.tasks.spawn(async move {
            let Dispatcher { queue, consumer } = &slot.dispatcher;
            let work = async {
                settle(handler.await, &*acknowledger, &queue.pause, &queue.stop).await;
            };
            consumer.abort.run_until_cancelled(work).await;
        });
    }

    /// Dead-lettering waits for the broker, which must not hold up the next delivery.
    fn settle_later<A: Acknowledger>(
        &self,
        name: &'static str,
        completed: Completed,
        acknowledger: &Arc<A>,
    ) {
        self.run_on(name, Box::pin(std::future::ready(completed)), acknowledger);
    }
}

/// How long handlers that are cut off may take to come to a place where they can be dropped.
const ABORT_TIME: Duration = Duration::from_secs(1);

const NO_HANDLER: &str = "(no handler)";

impl Queue {
    fn find(&self, delivery: &Delivery) -> Result<&Entry, Failure> {
        let key = self.source.key.read(delivery).map_err(|error| {
            let reason = match error {
                KeyError::Missing { .. } => Reason::MissingKey,
                KeyError::Unreadable { .. } => Reason::InvalidKey,
            };
            Failure::new(reason, error.to_string())
        })?;
        self.handlers.get(&key).ok_or_else(|| {
            Failure::new(
                Reason::UnknownKey,
                format!("no handler for the key {key:?}, and no default handler"),
            )
        })
    }
}

/// A place among the handlers that may run at the same time, taken until it is dropped.
struct Slot {
    id: u64,
    dispatcher: Dispatcher,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.dispatcher.consumer.in_flight.leave(self.id);
        self.dispatcher.queue.slots.add_permits(1);
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("source", &self.queue.source)
            .field("handlers", &self.queue.handlers)
            .finish_non_exhaustive()
    }
}
