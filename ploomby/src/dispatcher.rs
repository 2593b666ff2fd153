//! From a delivery to its handler: the one place where a message meets a function.

use std::{
    fmt,
    future::{poll_fn, ready},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::Extensions;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info};

pub use self::in_flight::CutOff;
use self::{in_flight::InFlight, room::Room};
use crate::{
    consumer::{Acknowledger, policy::QueuePolicy},
    delivery::{Delivery, DeliveryTag, Source},
    handler::{HandlerFuture, HandlerRegistry, Route, Table, guard},
    health::ConsumerHealth,
    key::KeyReader,
    outcome::Outcome,
    retry::Retry,
    settle::{Decision, Failure, Settling, is_settled_at_once},
};

mod admission;
mod in_flight;
mod room;

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
    handlers: Table,
    policy: QueuePolicy,
    room: Room,
    settling: Settling,
    /// Nobody waits for the handlers any more.
    abandoned: CancellationToken,
}

/// What belongs to one consumer.
#[derive(Default)]
struct Consumer {
    in_flight: InFlight,
    tasks: TaskTracker,
    /// The deadline is over: handlers are dropped.
    abort: CancellationToken,
    health: Arc<ConsumerHealth>,
}

impl Dispatcher {
    pub(crate) fn new(
        queue: &str,
        key: KeyReader,
        handlers: &HandlerRegistry,
        policy: QueuePolicy,
        state: Arc<Extensions>,
    ) -> Self {
        Self {
            queue: Arc::new(Queue {
                source: Arc::new(Source {
                    queue: queue.to_owned(),
                    key,
                    decoding: policy.decoding,
                    state,
                }),
                handlers: handlers.table(queue, &policy),
                room: Room::new(&policy),
                settling: Settling {
                    dead_lettering: policy.dead_lettering,
                    ..Settling::default()
                },
                policy,
                abandoned: CancellationToken::new(),
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
                health: Arc::new(ConsumerHealth::new(self.queue.settling.copies.clone())),
                ..Consumer::default()
            }),
        }
    }

    /// The queue that is consumed.
    pub fn listen_for(&self) -> &str {
        &self.queue.source.queue
    }

    /// The delays of the handlers' retries, each once, shortest first: what [`Acknowledger::retry`]
    /// will be asked for. Beside them it may be asked for a second, for a message that came back
    /// unsettled.
    pub fn retry_delays(&self) -> Vec<Duration> {
        self.queue.handlers.retry_delays()
    }

    /// Runs the delivery's handler and settles the delivery, which `tag` names to its source.
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
    pub async fn dispatch<A: Acknowledger>(
        &self,
        mut delivery: Delivery,
        tag: DeliveryTag,
        acknowledger: &Arc<A>,
    ) {
        delivery.set_source(self.queue.source.clone());
        let place = self.queue.room.enter(delivery.body().len()).await;
        // taken before `stop` is looked at, so that `drain` misses nothing
        let token = self.consumer.tasks.token();
        if self.is_stopped() {
            drop((token, place));
            return std::future::pending().await;
        }
        let route = match self.queue.admit(&delivery) {
            Ok(route) => route,
            Err(decision) => {
                place.keep();
                let refused = Job::new(NO_HANDLER, Arc::default(), delivery, tag);
                return self.spawn(refused, ready(decision), acknowledger);
            }
        };
        let job = |delivery, tag| Job::new(route.name, route.retry.clone(), delivery, tag);
        let mut work = match &route.slots {
            None => route.call(delivery.clone()),
            Some(slots) => match slots.clone().try_acquire_owned() {
                Ok(slot) => with_slot(slot, route.call(delivery.clone())),
                Err(_) => {
                    place.keep();
                    let work = self.when_there_is_a_slot(route.clone(), slots, &delivery);
                    return self.spawn(job(delivery, tag), work, acknowledger);
                }
            },
        };
        let deadline = route.deadline();
        match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
            Poll::Ready(result) if is_settled_at_once(&result) => {
                let settling = &self.queue.settling;
                let decision = Decision::Result(result);
                settling
                    .settle(&delivery, tag, decision, &route.retry, &**acknowledger)
                    .await;
            }
            Poll::Ready(result) => {
                place.keep();
                let decided = ready(Decision::Result(result));
                self.spawn(job(delivery, tag), decided, acknowledger);
            }
            Poll::Pending => {
                place.keep();
                let work = within(deadline, work);
                self.spawn(job(delivery, tag), work, acknowledger);
            }
        }
    }

    /// Says that the source delivers again, after [`not_consuming`](Self::not_consuming). A consumer
    /// counts as consuming from its start on.
    pub fn consuming(&self) {
        if self.consumer.health.consuming() {
            info!(queue = self.listen_for(), "consuming again");
        }
    }

    /// Says that the source does not deliver for now, and why: a lost connection, or a try to open
    /// it again that failed. It shows in the log and in [`Health`](crate::Health), so the reason
    /// must not hold a secret.
    ///
    /// Without it, a consumer counts as consuming until its `consume` ends.
    pub fn not_consuming(&self, reason: impl fmt::Display) {
        if self.consumer.health.not_consuming(&reason) && !self.is_stopped() {
            error!(queue = self.listen_for(), %reason, "not consuming");
        }
    }

    /// Says that the consumer is over, unless it said why before.
    pub(crate) fn ended(&self) {
        if self.is_stopped() {
            self.consumer.health.not_consuming("shut down");
        } else {
            self.consumer.health.ended();
        }
    }

    pub(crate) fn health(&self) -> Arc<ConsumerHealth> {
        self.consumer.health.clone()
    }

    /// Resolves when shutdown begins: a consumer then tells its source to send nothing more.
    pub async fn stopped(&self) {
        self.queue.settling.stop.cancelled().await;
    }

    /// Whether shutdown has begun.
    pub fn is_stopped(&self) -> bool {
        self.queue.settling.stop.is_cancelled()
    }

    /// Begins the shutdown of all consumers of the queue.
    pub(crate) fn stop(&self) {
        self.queue.settling.stop.cancel();
    }

    /// Drops the handlers of all consumers of the queue where they wait next.
    pub(crate) fn abandon(&self) {
        self.queue.settling.stop.cancel();
        self.queue.abandoned.cancel();
    }

    /// Waits for this consumer's handlers in flight; drops those that are not done within the
    /// deadline and names them.
    pub(crate) async fn drain(&self, deadline: Instant) -> Vec<CutOff> {
        let Consumer {
            in_flight,
            tasks,
            abort,
            ..
        } = &*self.consumer;
        tasks.close();
        if timeout_at(deadline, tasks.wait()).await.is_ok() {
            return Vec::new();
        }
        let cut_off = in_flight.cut_off();
        abort.cancel();
        // a handler that blocks its thread cannot be dropped, and must not keep the rest
        let _ = timeout(ABORT_TIME, tasks.wait()).await;
        cut_off
    }

    /// Settles, on a task of its own that gives the place back, what `work` decides.
    fn spawn<A: Acknowledger>(
        &self,
        job: Job,
        work: impl Future<Output = Decision> + Send + 'static,
        acknowledger: &Arc<A>,
    ) {
        let Job {
            handler,
            retry,
            delivery,
            tag,
        } = job;
        let kept = KeptPlace {
            id: self.consumer.in_flight.enter(handler, delivery.clone()),
            body_len: delivery.body().len(),
            dispatcher: self.clone(),
        };
        let acknowledger = acknowledger.clone();
        self.consumer.tasks.spawn(async move {
            let Dispatcher { queue, consumer } = &kept.dispatcher;
            let work = async {
                let decision = work.await;
                queue
                    .settling
                    .settle(&delivery, tag, decision, &retry, &*acknowledger)
                    .await;
            };
            consumer.abort.run_until_cancelled(work).await;
        });
    }

    /// Runs a handler once it has a slot left. What has not begun when shutdown does goes back.
    fn when_there_is_a_slot(
        &self,
        route: Arc<Route>,
        slots: &Arc<Semaphore>,
        delivery: &Delivery,
    ) -> impl Future<Output = Decision> + Send + use<> {
        let slot = slots.clone().acquire_owned();
        let stop = self.queue.settling.stop.clone();
        let delivery = delivery.clone();
        async move {
            match stop.run_until_cancelled(slot).await {
                Some(Ok(slot)) => {
                    let deadline = route.deadline();
                    within(deadline, with_slot(slot, route.call(delivery))).await
                }
                _ => Decision::Result(Ok(Outcome::Requeue.into())),
            }
        }
    }
}

/// How long handlers that are cut off may take to come to a place where they can be dropped.
const ABORT_TIME: Duration = Duration::from_secs(1);

const NO_HANDLER: &str = "(no handler)";

/// A delivery that is settled on a task of its own.
struct Job {
    handler: &'static str,
    retry: Arc<Retry>,
    delivery: Delivery,
    tag: DeliveryTag,
}

impl Job {
    fn new(handler: &'static str, retry: Arc<Retry>, delivery: Delivery, tag: DeliveryTag) -> Self {
        Self {
            handler,
            retry,
            delivery,
            tag,
        }
    }
}

/// The handler, dropped where it waits once its time is over.
async fn within(deadline: Option<Deadline>, work: HandlerFuture) -> Decision {
    Decision::Result(match deadline {
        None => work.await,
        // what a handler drops may panic, too
        Some(Deadline { at, timeout }) => {
            guard(async {
                timeout_at(at, work)
                    .await
                    .unwrap_or_else(|_| Err(Failure::timed_out(timeout)))
            })
            .await
        }
    })
}

/// When the time of a handler is over.
struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Route {
    fn deadline(&self) -> Option<Deadline> {
        let timeout = self.timeout?;
        // one that the clock cannot count to never comes
        let at = Instant::now().checked_add(timeout)?;
        Some(Deadline { at, timeout })
    }
}

fn with_slot(slot: OwnedSemaphorePermit, work: HandlerFuture) -> HandlerFuture {
    Box::pin(async move {
        let _slot = slot;
        work.await
    })
}

/// A place among the handlers that may run at the same time, kept until it is dropped.
struct KeptPlace {
    id: u64,
    body_len: usize,
    dispatcher: Dispatcher,
}

impl Drop for KeptPlace {
    fn drop(&mut self) {
        self.dispatcher.consumer.in_flight.leave(self.id);
        self.dispatcher.queue.room.leave(self.body_len);
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("source", &self.queue.source)
            .field("policy", &self.queue.policy)
            .finish_non_exhaustive()
    }
}
