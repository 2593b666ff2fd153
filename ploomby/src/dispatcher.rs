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
use self::{
    in_flight::InFlight,
    room::{Place, Room},
};
use crate::{
    consumer::{Acknowledger, policy::QueuePolicy},
    delivery::{Delivery, DeliveryTag, Source},
    handler::{HandlerFuture, HandlerRegistry, Origin, Route, Table, guard},
    health::ConsumerHealth,
    key::KeyReader,
    order::{Entered, Order, Waiting},
    outcome::Outcome,
    retry::Retry,
    settle::{Decision, Failure, Settling, is_settled_at_once},
};

mod admission;
mod gate;
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
        let stop = CancellationToken::new();
        Self {
            queue: Arc::new(Queue {
                source: Arc::new(Source {
                    queue: queue.to_owned(),
                    key,
                    decoding: policy.decoding,
                    reply_style: policy.reply_style,
                    state,
                }),
                handlers: handlers.table(queue, &policy, &stop),
                room: Room::new(&policy),
                settling: Settling {
                    dead_lettering: policy.dead_lettering,
                    stop,
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

    /// In which orders the handlers take their messages.
    pub(crate) fn orders(&self) -> impl Iterator<Item = &Order> {
        self.queue.handlers.orders()
    }

    /// A handler of batches that would never have as many messages as it takes, with that number and
    /// how many there can be.
    pub(crate) fn batch_that_never_fills(&self) -> Option<(Origin, usize, usize)> {
        let most = self.queue.policy.most_in_flight();
        let mut batches = self.queue.handlers.batches();
        let batch = batches.find(|batch| batch.size() > most)?;
        Some((batch.origin(), batch.size(), most))
    }

    /// Runs the delivery's handler and settles the delivery, which `tag` names to its source.
    ///
    /// It returns once the handler is running, not once it is done: handlers run concurrently, up
    /// to the queue's limit, and `dispatch` waits while that many run. Where a message has to wait
    /// for others by [`OrderBy`](crate::OrderBy), it returns once the message is in line. After
    /// shutdown has begun it never returns; the delivery is then for [`disconnect`] to give back.
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
        let admitted = self.queue.admit(&delivery);
        let turn = match &admitted {
            Ok(route) => match route.line_up(&delivery) {
                Some(Entered::Behind(waiting)) => {
                    let room = self.queue.room.wait().await;
                    let work = self.when_it_is_its_turn(waiting, room, route, &delivery);
                    let token = self.consumer.tasks.token();
                    if self.is_stopped() {
                        drop((token, work));
                        return std::future::pending().await;
                    }
                    return self.spawn(Job::of(route, delivery, tag), work, acknowledger);
                }
                Some(Entered::AtOnce(turn)) => Some(turn),
                None => None,
            },
            Err(_) => None,
        };
        let place = self.queue.room.enter(delivery.body().len()).await;
        // taken before `stop` is looked at, so that `drain` misses nothing
        let token = self.consumer.tasks.token();
        if self.is_stopped() {
            drop((token, place, turn));
            return std::future::pending().await;
        }
        let route = match admitted {
            Ok(route) => route,
            Err(decision) => {
                let work = self.keep(place, &delivery).until(ready(decision));
                return self.spawn(Job::refused(delivery, tag), work, acknowledger);
            }
        };
        let mut work = match &route.slots {
            None => route.call(delivery.clone()),
            Some(slots) => match slots.clone().try_acquire_owned() {
                Ok(slot) => holding(slot, route.call(delivery.clone())),
                Err(_) => {
                    let work = self.when_there_is_a_slot(route, slots, &delivery);
                    let work = self.keep(place, &delivery).until(async move {
                        let _turn = turn;
                        work.await
                    });
                    return self.spawn(Job::of(route, delivery, tag), work, acknowledger);
                }
            },
        };
        let is_bare = turn.is_none() && route.slots.is_none();
        if let Some(turn) = turn {
            work = holding(turn, work);
        }
        let deadline = route.deadline();
        match poll_fn(|cx| Poll::Ready(work.poll(cx))).await {
            Poll::Ready(result) if is_settled_at_once(&result) => {
                if is_bare {
                    route.recycle(work);
                }
                let settling = &self.queue.settling;
                let decision = Decision::Result(result);
                settling
                    .settle(&delivery, tag, decision, &route.retry, &**acknowledger)
                    .await;
            }
            Poll::Ready(result) => {
                let decided = ready(Decision::Result(result));
                let work = self.keep(place, &delivery).until(decided);
                self.spawn(Job::of(route, delivery, tag), work, acknowledger);
            }
            Poll::Pending => {
                let work = self.keep(place, &delivery).until(within(deadline, work));
                self.spawn(Job::of(route, delivery, tag), work, acknowledger);
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

    /// Settles, on a task of its own, what `work` decides, and gives its place back.
    fn spawn<A: Acknowledger>(
        &self,
        job: Job,
        work: impl Future<Output = (Decision, Option<KeptPlace>)> + Send + 'static,
        acknowledger: &Arc<A>,
    ) {
        let Job {
            handler,
            retry,
            delivery,
            tag,
        } = job;
        let named = Named {
            id: self.consumer.in_flight.enter(handler, delivery.clone()),
            dispatcher: self.clone(),
        };
        let acknowledger = acknowledger.clone();
        self.consumer.tasks.spawn(async move {
            let Dispatcher { queue, consumer } = &named.dispatcher;
            let work = async {
                let (decision, _place) = work.await;
                queue
                    .settling
                    .settle(&delivery, tag, decision, &retry, &*acknowledger)
                    .await;
            };
            consumer.abort.run_until_cancelled(work).await;
        });
    }

    /// Runs a handler once those before it in its lane are done. It takes a place only then. What has
    /// not begun when shutdown does goes back.
    fn when_it_is_its_turn(
        &self,
        waiting: Waiting,
        waiting_room: OwnedSemaphorePermit,
        route: &Arc<Route>,
        delivery: &Delivery,
    ) -> impl Future<Output = (Decision, Option<KeptPlace>)> + Send + use<> {
        let (dispatcher, route, delivery) = (self.clone(), route.clone(), delivery.clone());
        async move {
            let Queue { room, settling, .. } = &*dispatcher.queue;
            let entering = async {
                let turn = waiting.await;
                (turn, room.enter(delivery.body().len()).await)
            };
            match settling.stop.run_until_cancelled(entering).await {
                // the turn may come from one that went back just now
                Some((turn, place)) if !settling.stop.is_cancelled() => {
                    let kept = dispatcher.keep(place, &delivery);
                    drop(waiting_room);
                    let decision = match &route.slots {
                        None => within(route.deadline(), route.call(delivery)).await,
                        Some(slots) => {
                            dispatcher
                                .when_there_is_a_slot(&route, slots, &delivery)
                                .await
                        }
                    };
                    drop(turn);
                    (decision, Some(kept))
                }
                _ => (give_back(), None),
            }
        }
    }

    /// Runs a handler once it has a slot left. What has not begun when shutdown does goes back.
    fn when_there_is_a_slot(
        &self,
        route: &Arc<Route>,
        slots: &Arc<Semaphore>,
        delivery: &Delivery,
    ) -> impl Future<Output = Decision> + Send + use<> {
        let slot = slots.clone().acquire_owned();
        let stop = self.queue.settling.stop.clone();
        let (route, delivery) = (route.clone(), delivery.clone());
        async move {
            match stop.run_until_cancelled(slot).await {
                Some(Ok(slot)) => {
                    let deadline = route.deadline();
                    within(deadline, holding(slot, route.call(delivery))).await
                }
                _ => give_back(),
            }
        }
    }

    fn keep(&self, place: Place<'_>, delivery: &Delivery) -> KeptPlace {
        place.keep();
        KeptPlace {
            queue: self.queue.clone(),
            body_len: delivery.body().len(),
        }
    }
}

/// How long handlers that are cut off may take to come to a place where they can be dropped.
const ABORT_TIME: Duration = Duration::from_secs(1);

/// A delivery that is settled on a task of its own.
struct Job {
    handler: &'static str,
    retry: Arc<Retry>,
    delivery: Delivery,
    tag: DeliveryTag,
}

impl Job {
    fn of(route: &Route, delivery: Delivery, tag: DeliveryTag) -> Self {
        Self {
            handler: route.name,
            retry: route.retry.clone(),
            delivery,
            tag,
        }
    }

    fn refused(delivery: Delivery, tag: DeliveryTag) -> Self {
        Self {
            handler: "(no handler)",
            retry: Arc::default(),
            delivery,
            tag,
        }
    }
}

fn give_back() -> Decision {
    Decision::Result(Ok(Outcome::Requeue.into()))
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

/// The handler, and what the next one waits for.
fn holding(held: impl Send + 'static, work: HandlerFuture) -> HandlerFuture {
    HandlerFuture::new(async move {
        let _held = held;
        work.await
    })
}

/// A delivery that is named when the deadline cuts it off, until this is dropped.
struct Named {
    id: u64,
    dispatcher: Dispatcher,
}

impl Drop for Named {
    fn drop(&mut self) {
        self.dispatcher.consumer.in_flight.leave(self.id);
    }
}

/// A place among the handlers that may run at the same time, kept until it is dropped.
struct KeptPlace {
    queue: Arc<Queue>,
    body_len: usize,
}

impl KeptPlace {
    /// Keeps it until this is decided, and hands it on.
    async fn until(self, decided: impl Future<Output = Decision>) -> (Decision, Option<Self>) {
        (decided.await, Some(self))
    }
}

impl Drop for KeptPlace {
    fn drop(&mut self) {
        self.queue.room.leave(self.body_len);
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
