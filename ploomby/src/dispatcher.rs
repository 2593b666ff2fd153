//! From a delivery to its handler: the one place where a message meets a function.
//!
//! The way of a delivery, in the order of `Dispatcher::handle`:
//!
//! 1. `admission` finds the handler by the key of the message, or says why there is none.
//! 2. A message that is ordered behind others waits for its turn, on a task of its own.
//! 3. The message takes a place of the queue's concurrency (`room`, `gate`). While no place is free, `dispatch`
//!    waits, and the consumer with it: so a queue whose handlers are busy is not read any further.
//! 4. The message takes one of its handler's own slots, and its turn by the rate, or waits for them on a task.
//! 5. A handler whose brake is on (`held`) gets the message once the brake lets it through.
//! 6. Else the handler is called right here and goes as far as it comes without waiting. Most handlers are done
//!    then: the source is told, and no task was spawned.
//! 7. A handler that waits, and a message that takes more to settle than one verdict, go on in `background`. Such
//!    a task is waited for by the shutdown, and named (`in_flight`) and dropped when the deadline is over.

use std::{
    fmt,
    future::{pending, poll_fn, ready},
    pin::pin,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, poll_immediate},
};
use http::Extensions;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::in_flight::CutOff;
use self::{
    background::{Deadline, Line, Run, Unsettled, within},
    held::is_braked,
    in_flight::InFlight,
    room::Room,
    turn::Turn,
};
pub(crate) use self::{rehearsal::Rehearsed, trial::Tried};
use crate::{
    brake::{Brakes, Mode},
    delivery::{Delivery, DeliveryTag, KeyReader, Life, LostReplies, Recycler, Replying, Source},
    handler::{Called, Entered, HandlerRegistry, MustWait, QueuePolicy, Route, Table},
    health::{Blocked, ConsumerHealth},
    layer::watch_panics,
    metrics::{QueueMeter, Samples},
    settle::{Acknowledger, Settling, done_by, note},
    stage::{Stage, Verdict},
    trace::{self, Trace},
};

mod admission;
mod aside;
mod background;
mod control;
mod fitting;
mod gate;
mod held;
mod hints;
mod in_flight;
mod rehearsal;
mod room;
mod source;
mod trial;
mod turn;

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
    /// How many functions its messages can reach, once that was asked.
    reachable: OnceLock<usize>,
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    memory: crate::delivery::Memory,
    /// The key of a message may be in its body.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    reads_body: bool,
    settling: Settling,
    meter: QueueMeter,
    /// Its handlers that keep their threads.
    blocked: Arc<Blocked>,
    /// Whether shutdown has begun, which `settling.stop` says as well, or a brake is on.
    mode: Arc<Mode>,
    brakes: Arc<Brakes>,
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
    turn: Turn,
    samples: Samples,
    health: Arc<ConsumerHealth>,
    /// A message of this handler can never be settled: what settles it has panicked.
    cannot_settle: OnceLock<&'static str>,
    /// There is such a message, or shutdown has begun.
    over: CancellationToken,
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.settling.log.finish(&self.source.queue);
    }
}

impl Dispatcher {
    pub(crate) fn new(
        queue: &str,
        key: KeyReader,
        handlers: &HandlerRegistry,
        policy: QueuePolicy,
        state: Arc<Extensions>,
    ) -> Self {
        watch_panics();
        if policy.trace.is_some_and(|trace| trace != Trace::Off) {
            trace::turn_on();
        }
        let stop = CancellationToken::new();
        let lost = Arc::<LostReplies>::default();
        let mode = Arc::<Mode>::default();
        let brakes = Brakes::new(queue, &mode, &policy.stage);
        let meter = QueueMeter::new();
        let handlers = handlers.table(queue, &policy, &brakes, &meter, &stop);
        let delays = handlers.retry_delays();
        #[cfg(any(feature = "gzip", feature = "zstd"))]
        let reads_body = key.reads_body();
        let returns = policy.returns(queue, delays.contains(&Duration::ZERO));
        Self {
            queue: Arc::new(Queue {
                source: Arc::new(Source {
                    queue: queue.to_owned(),
                    key,
                    words: handlers.words(),
                    decoding: policy.decoding,
                    reply_style: policy.reply_style,
                    replying: Arc::new(Replying {
                        queue: queue.to_owned(),
                        rules: policy.reply.clone(),
                        lost,
                    }),
                    returns,
                    state,
                    fitted: OnceLock::new(),
                    stop: stop.clone(),
                    is_trial: policy.is_trial,
                }),
                handlers,
                room: Room::new(&policy),
                reachable: OnceLock::new(),
                #[cfg(any(feature = "gzip", feature = "zstd"))]
                reads_body,
                #[cfg(any(feature = "gzip", feature = "zstd"))]
                memory: crate::delivery::Memory::of(policy.max_in_flight_bytes),
                settling: Settling {
                    dead_lettering: policy.dead_lettering,
                    app: policy.app.clone(),
                    stage: policy.stage.clone(),
                    stop,
                    ..Settling::default()
                },
                policy,
                meter,
                blocked: Blocked::new(queue),
                mode,
                brakes,
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
                health: Arc::new(ConsumerHealth::new(
                    self.queue.settling.copies.clone(),
                    self.queue.source.replying.lost.clone(),
                    self.queue.blocked.clone(),
                    self.queue.brakes.clone(),
                )),
                turn: Turn::on(self.stage()),
                over: self.queue.settling.stop.child_token(),
                ..Consumer::default()
            }),
        }
    }

    /// Where its messages are handled.
    pub(crate) fn stage(&self) -> &Stage {
        &self.queue.settling.stage
    }

    /// The queue that is consumed.
    pub fn listen_for(&self) -> &str {
        &self.queue.source.queue
    }

    /// Makes the deliveries of one consumer, for [`dispatch_in_consume`](Self::dispatch_in_consume).
    pub fn recycler(&self) -> Recycler {
        Recycler::new(self.queue.source.clone())
    }

    /// Runs the delivery's handler and settles the delivery, which `tag` names to its source.
    ///
    /// It returns once the handler is running, not once it is done: handlers run concurrently, up
    /// to the queue's limit, and `dispatch` waits while that many run. Where a message has to wait
    /// for others by [`OrderBy`](crate::OrderBy), it returns once the message is in line. After
    /// shutdown has begun it never returns; the delivery is then for [`disconnect`] to give back.
    ///
    /// A handler that needs no waiting runs to its end right here. One that waits goes on in a
    /// task of its own. Once handlers have computed for a millisecond, the next `dispatch` lets
    /// everything else on the thread go first: send what there is to acknowledge before you await it
    /// again.
    ///
    /// # Cancel safety
    ///
    /// A delivery whose `dispatch` is dropped was either not started or is with its handler, or its handler
    /// is done and [`Acknowledger`] was not when it was told so: where that waits, let `dispatch` end.
    ///
    /// [`disconnect`]: crate::MessageConsumer::disconnect
    pub async fn dispatch<A: Acknowledger>(
        &self,
        mut delivery: Delivery,
        tag: DeliveryTag,
        acknowledger: &Arc<A>,
    ) {
        delivery.set_source(&self.queue.source);
        let start = || {
            // taken before `stop` is looked at, so that `drain` misses nothing
            let token = self.consumer.tasks.token();
            self.queue.mode.is_plain_for_all().then_some(token)
        };
        self.handle(&delivery, tag, acknowledger, start).await;
    }

    /// The same as [`dispatch`](Self::dispatch), in less time: for the loop of
    /// [`consume`](crate::MessageConsumer::consume), with deliveries that the [`recycler`](Self::recycler) made.
    ///
    /// Only the task that polls `consume` may call it. That task is the one that drains: so no handler is at
    /// work here while the shutdown looks for handlers, and the beginning of the shutdown is seen
    /// without a count of who is at work. Called by another task, a handler that is at work here when the
    /// program shuts down is not waited for.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ploomby::{Acknowledger, DeliveryTag, Dispatcher, Message};
    ///
    /// async fn consume_all<A: Acknowledger>(
    ///     messages: Vec<Message>,
    ///     dispatcher: &Dispatcher,
    ///     acknowledger: &Arc<A>,
    /// ) {
    ///     let mut recycler = dispatcher.recycler();
    ///     for (tag, message) in (1..).zip(messages) {
    ///         let delivery = recycler.delivery(message);
    ///         dispatcher
    ///             .dispatch_in_consume(delivery, DeliveryTag::new(tag), acknowledger)
    ///             .await;
    ///     }
    /// }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As that of [`dispatch`](Self::dispatch).
    pub async fn dispatch_in_consume<A: Acknowledger>(
        &self,
        delivery: &Delivery,
        tag: DeliveryTag,
        acknowledger: &Arc<A>,
    ) {
        if !delivery.is_of(&self.queue.source) {
            // made by itself, or by the recycler of another queue
            let dispatching = self.dispatch(delivery.clone(), tag, acknowledger);
            return Box::pin(dispatching).await;
        }
        let start = || self.queue.mode.is_plain().then_some(());
        self.handle(delivery, tag, acknowledger, start).await;
    }

    /// Gives a delivery back to its source, to be delivered again: one that came and was not dispatched,
    /// such as after the shutdown has begun.
    pub async fn give_back<A: Acknowledger>(&self, tag: DeliveryTag, acknowledger: &Arc<A>) {
        acknowledger.give_back(tag).await;
    }

    /// `start` gives nothing once shutdown has begun or a brake is on, and else what is held while the handler is at
    /// work here.
    async fn handle<A: Acknowledger, T>(
        &self,
        delivery: &Delivery,
        tag: DeliveryTag,
        acknowledger: &Arc<A>,
        start: impl Fn() -> Option<T>,
    ) {
        let clock = &self.consumer.turn;
        let mut now = clock.now();
        if clock.is_over(now) {
            // boxed, since each message would be as large
            Box::pin(clock.pass()).await;
            now = clock.now();
        }
        #[cfg(any(feature = "gzip", feature = "zstd"))]
        if self.queue.reads_body && self.queue.must_unpack(delivery) {
            // here, for its key is in there
            Box::pin(delivery.unpack(&self.queue.memory)).await;
        }
        let admitted = self.queue.admit(delivery);
        if self.consumer.samples.is_due(now) {
            if let Ok(route) = &admitted {
                route.meter.queue_time(delivery);
            }
        }
        #[cfg(any(feature = "gzip", feature = "zstd"))]
        if let Ok(route) = &admitted {
            if delivery.is_packed() && route.order.as_ref().is_some_and(|order| order.reads_body())
            {
                // here, for it decides about the order
                Box::pin(delivery.unpack(&self.queue.memory)).await;
            }
        }
        let living;
        let delivery = match &admitted {
            Ok(route) if route.is_batch() => {
                let acknowledger = acknowledger.clone();
                living = delivery.living(Life::new(move || {
                    acknowledger.lost().now_or_never().is_some()
                }));
                &living
            }
            _ => delivery,
        };
        let mut turn = None;
        let mut slot = None;
        if let Ok(route) = &admitted {
            let line = match route.line_up(delivery) {
                Some(Entered::Behind(waiting)) => Some(Line::Behind(waiting)),
                Some(Entered::AtOnce(first)) => {
                    turn = Some(first);
                    None
                }
                None => None,
            };
            // a slot goes before a place: what waits for one must not hold up other handlers
            let line = match (line, &route.limits) {
                (None, Some(limits)) => match limits.try_enter() {
                    Ok(free) => {
                        slot = free;
                        None
                    }
                    Err(MustWait) => Some(Line::First(turn.take())),
                },
                (line, _) => line,
            };
            if let Some(line) = line {
                let room = self.queue.room.wait().await;
                let work = self.later(line, room, route, delivery, acknowledger);
                // taken before `stop` is looked at, so that `drain` misses nothing
                let _token = self.consumer.tasks.token();
                if self.is_stopped() {
                    drop(work);
                    return pending().await;
                }
                return self.spawn(Unsettled::of(route, delivery, tag), work, acknowledger);
            }
        }
        let room = &self.queue.room;
        let place = match room.try_enter() {
            Some(place) => place,
            // boxed, since each message would be as large
            None => {
                let place = Box::pin(room.enter(delivery.body().len())).await;
                now = clock.now();
                place
            }
        };
        let Some(_started) = start() else {
            let token = self.consumer.tasks.token();
            if self.is_stopped() {
                drop((place, turn, slot));
                return pending().await;
            }
            let route = admitted.as_ref().ok();
            if let Some(route) = route.filter(|&route| is_braked(route, delivery)) {
                let holding = self.keep(place, delivery).with((turn, slot));
                let work = holding.until(ready(Run::Braked));
                return self.spawn(Unsettled::of(route, delivery, tag), work, acknowledger);
            }
            // the brake of another handler is on: it takes all of them again
            drop((token, place, turn, slot));
            if let Some(limits) = route.and_then(|route| route.limits.as_ref()) {
                limits.undo_turn();
            }
            return self
                .handle_beside_a_brake(delivery, tag, acknowledger)
                .await;
        };
        let route = match admitted {
            Ok(route) => route,
            Err(decision) => {
                let work = self
                    .keep(place, delivery)
                    .until(ready(Run::Ended(decision)));
                return self.spawn(Unsettled::refused(delivery, tag), work, acknowledger);
            }
        };
        let policy = &self.queue.policy;
        // one that has a span goes on in a task, which is in it
        if delivery.came_back() || trace::makes_spans(policy.trace) {
            let work = self.when_it_is_no_suspect(route, delivery, acknowledger);
            let work = self.keep(place, delivery).with((turn, slot)).until(work);
            return self.spawn(Unsettled::of(route, delivery, tag), work, acknowledger);
        }
        #[cfg(any(feature = "gzip", feature = "zstd"))]
        if route.takes_payload && delivery.is_packed() {
            let work = self.when_unpacked(route, delivery);
            let work = self.keep(place, delivery).with((turn, slot)).until(work);
            return self.spawn(Unsettled::of(route, delivery, tag), work, acknowledger);
        }
        let deadline = route.deadline();
        let at_work = self.queue.blocked.handler(route.number);
        let timed = || delivery.timed(deadline.as_ref().and_then(Deadline::time));
        route.meter.begins();
        let called = poll_fn(|cx| {
            let traced = trace::of(delivery, policy.trace, route.is_batch());
            let call = || route.call_at_once(timed(), cx);
            Poll::Ready(at_work.poll(|| trace::poll(traced.as_ref(), call)))
        });
        let decided = match called.await {
            Called::Done(result) => {
                route
                    .meter
                    .ends(|| clock.now() - now, result.as_ref().err());
                if let Some(outcome) = done_by(&result) {
                    let became = (outcome, None);
                    note(became, route.name, &route.meter, delivery, || clock.at(now));
                    if let Some(watch) = self.queue.settling.stage.watch() {
                        watch.settled(delivery, route.name, Verdict::of(outcome));
                    }
                    drop(slot);
                    drop(turn);
                    let mut telling = pin!(acknowledger.ack(tag));
                    // as a rule there is nothing to wait for
                    if poll_immediate(telling.as_mut()).await.is_none() {
                        let _token = self.consumer.tasks.token();
                        telling.await;
                    }
                    return;
                }
                // at once: the next message is not to fail as well before the brake is on
                Either::Left(ready(Run::judged(route, result, delivery)))
            }
            Called::Waits(work) => {
                let at_work = route.meter.still_at_work(|| clock.at(now));
                let work = within(deadline, work);
                Either::Right(work.map(|decision| {
                    at_work.ends(decision.failure());
                    Run::Ended(decision)
                }))
            }
        };
        let work = self.keep(place, delivery).with((turn, slot)).until(decided);
        self.spawn(Unsettled::of(route, delivery, tag), work, acknowledger);
    }

    /// The same while a brake is on that does not concern the message.
    #[cold]
    fn handle_beside_a_brake<'a, A: Acknowledger>(
        &'a self,
        delivery: &'a Delivery,
        tag: DeliveryTag,
        acknowledger: &'a Arc<A>,
    ) -> BoxFuture<'a, ()> {
        let start = || {
            // taken before `stop` is looked at, so that `drain` misses nothing
            let token = self.consumer.tasks.token();
            (!self.is_stopped()).then_some(token)
        };
        Box::pin(self.handle(delivery, tag, acknowledger, start))
    }

    /// Runs the handler of a message that came back.
    fn when_it_is_no_suspect<A: Acknowledger>(
        &self,
        route: &Arc<Route>,
        delivery: &Delivery,
        acknowledger: &Arc<A>,
    ) -> impl Future<Output = Run> + Send + use<A> {
        let (dispatcher, route, delivery) = (self.clone(), route.clone(), delivery.clone());
        let acknowledger = acknowledger.clone();
        async move {
            dispatcher
                .run_or_set_aside(route, delivery, &*acknowledger)
                .await
        }
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

#[cfg(test)]
mod tests;
