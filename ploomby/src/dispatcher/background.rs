//! Handlers that go on while the next messages come: those that wait for something, and those whose
//! message takes more than a word to settle.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use futures_util::{FutureExt, future::Either};
use pin_project_lite::pin_project;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{Dispatcher, Queue, room::Place};
use crate::{
    brake::Judged,
    delivery::{Delivery, DeliveryTag, HandlerTime},
    handler::{Entered, Route, Turn, Waiting},
    health::{AtWork, HandlerNumber},
    layer::guard,
    outcome::{Failure, Outcome},
    reply::Answer,
    settle::{Acknowledger, Decision, Handled, NO_HANDLER, Trying},
    trace::{self, Work},
};

impl Dispatcher {
    /// Settles, on a task of its own, what `work` decides, and gives its place back.
    pub(super) fn spawn<A: Acknowledger>(
        &self,
        unsettled: Unsettled,
        work: impl Future<Output = (Run, Option<Holding>)> + Send + 'static,
        acknowledger: &Arc<A>,
    ) {
        let settling = self.settling(unsettled, work, acknowledger.clone());
        self.consumer.tasks.spawn(settling);
    }

    /// As large as this is, so much memory does each message take whose handler waits.
    pub(super) fn settling<A: Acknowledger>(
        &self,
        unsettled: Unsettled,
        work: impl Future<Output = (Run, Option<Holding>)> + Send + 'static,
        acknowledger: Arc<A>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let Unsettled {
            route,
            delivery,
            tag,
        } = unsettled;
        let (handler, number) = match &route {
            Some(route) => (route.name, route.number),
            None => (NO_HANDLER, HandlerNumber::NONE),
        };
        let since = std::time::Instant::now();
        if let Some(watch) = self.queue.settling.stage.watch() {
            watch.entered();
        }
        let is_in_batch = route.as_ref().is_some_and(|route| route.is_batch());
        let traced = trace::of(&delivery, self.queue.policy.trace, is_in_batch);
        let named = Named {
            id: self.consumer.in_flight.enter(handler, delivery.clone()),
            watched: self.watched(handler),
        };
        // no async block around what waits: that would hold it once more
        UntilCancelled {
            cancelled: self.consumer.abort.clone().cancelled_owned(),
            at_work: self.queue.blocked.handler(number),
            traced,
            work: work.then(move |(run, mut holding)| async move {
                let dispatcher = &named.watched.dispatcher;
                let unruled = Trying::default();
                let (trying, meter) = match &route {
                    Some(route) => (&*route.trying, &route.meter),
                    None => (&unruled, dispatcher.queue.meter.unknown()),
                };
                let decision = match (run, &route) {
                    (Run::Judged(decision), _) => decision,
                    (Run::Ended(decision), Some(route)) if !route.is_concerned(&decision) => {
                        decision
                    }
                    (run, Some(route)) => {
                        // boxed, since each message whose handler waits would be as large
                        let held = dispatcher.under_brake(route, &delivery, run, &*acknowledger);
                        Box::pin(held).await
                    }
                    (Run::Ended(decision), None) => {
                        decision.failure().inspect(|failure| meter.refuses(failure));
                        decision
                    }
                    (Run::Braked, None) => give_back(),
                };
                if let Some(holding) = &mut holding {
                    // the next message of its lane, or of its handler, may begin
                    holding.held = (None, None);
                }
                let handled = Handled {
                    handler,
                    trying,
                    meter,
                    since,
                };
                trace::begin_settling(handler, decision.failure());
                let settling = &dispatcher.queue.settling;
                settling
                    .settle(&delivery, tag, decision, &handled, &*acknowledger, holding)
                    .await;
            }),
        }
    }

    /// Runs a handler once it is the message's turn in its lane, the handler has a slot left, and the queue a place. It
    /// takes a place last, so that it holds up nothing else. What has not begun when shutdown does goes back.
    pub(super) fn later<A: Acknowledger>(
        &self,
        line: Line,
        waiting_room: OwnedSemaphorePermit,
        route: &Arc<Route>,
        delivery: &Delivery,
        acknowledger: &Arc<A>,
    ) -> impl Future<Output = (Run, Option<Holding>)> + Send + use<A> {
        let (dispatcher, route, delivery) = (self.clone(), route.clone(), delivery.clone());
        let acknowledger = acknowledger.clone();
        async move {
            let entered = dispatcher
                .enter_in_line(line, &route, &delivery, &*acknowledger)
                .await;
            match entered {
                InLine::Entered(holding) => {
                    drop(waiting_room);
                    let run = dispatcher
                        .run_or_set_aside(route, delivery, &*acknowledger)
                        .await;
                    (run, Some(holding))
                }
                InLine::Left(decision) => (Run::Ended(decision), None),
            }
        }
    }

    /// Waits for the turn of a message, a slot of its handler and a place, unless it is better elsewhere.
    async fn enter_in_line<A: Acknowledger>(
        &self,
        line: Line,
        route: &Arc<Route>,
        delivery: &Delivery,
        acknowledger: &A,
    ) -> InLine {
        let Queue { room, settling, .. } = &*self.queue;
        if let Some(decision) = self.out_of_line(route, delivery, acknowledger).await {
            return InLine::Left(decision);
        }
        let _queued = route.limits.as_ref().and_then(|limits| limits.queue_up());
        let mut entering = pin!(line.enter(route, room.enter(delivery.body().len())));
        // cancel safety: `entering` goes on below, and nothing else takes anything
        let mut entered = tokio::select! {
            biased;
            () = settling.stop.cancelled() => None,
            entered = &mut entering => Some(entered),
            () = self.when_it_may_wait_elsewhere(route) => None,
            // the source has the message again, and is told nothing
            () = acknowledger.lost() => return InLine::Left(Decision::Elsewhere),
            () = self.at_rest(), if self.may_rest(route, acknowledger) => {
                return InLine::Left(Decision::GiveBack);
            }
        };
        if entered.is_none() && !self.is_stopped() {
            if self.wait_elsewhere(route, delivery, acknowledger).await {
                return InLine::Left(Decision::Elsewhere);
            }
            entered = settling.stop.run_until_cancelled(entering).await;
        }
        match entered {
            // the turn may come from a message that went back just now
            Some((held, place)) if !self.is_stopped() => {
                InLine::Entered(self.keep(place, delivery).with(held))
            }
            _ => InLine::Left(give_back()),
        }
    }

    /// Runs a handler once the body of its message is unpacked.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(super) fn when_unpacked(
        &self,
        route: &Arc<Route>,
        delivery: &Delivery,
    ) -> impl Future<Output = Run> + Send + use<> {
        let (dispatcher, route, delivery) = (self.clone(), route.clone(), delivery.clone());
        async move { Run::Ended(dispatcher.run(&route, delivery).await) }
    }

    /// Runs a handler, whose time begins once the body is unpacked. What has not begun by then when shutdown does
    /// goes back.
    #[cfg_attr(
        not(any(feature = "gzip", feature = "zstd")),
        allow(clippy::unused_self, reason = "nothing is unpacked")
    )]
    pub(super) async fn run(&self, route: &Arc<Route>, delivery: Delivery) -> Decision {
        #[cfg(any(feature = "gzip", feature = "zstd"))]
        if route.takes_payload && delivery.is_packed() {
            let Queue {
                memory, settling, ..
            } = &*self.queue;
            let unpacking = Box::pin(delivery.unpack(memory));
            if settling.stop.run_until_cancelled(unpacking).await.is_none() {
                return give_back();
            }
        }
        let deadline = route.deadline();
        let delivery = delivery.timed(deadline.as_ref().and_then(Deadline::time));
        trace::begin_handling(route.name);
        let at_work = route.meter.at_work();
        let decision = within(deadline, route.call(delivery)).await;
        at_work.ends(decision.failure());
        decision
    }

    pub(super) fn keep(&self, place: Place<'_>, delivery: &Delivery) -> KeptPlace {
        place.keep();
        KeptPlace {
            queue: self.queue.clone(),
            body_len: delivery.body().len(),
        }
    }
}

/// What became of a message in line.
enum InLine {
    Entered(Holding),
    Left(Decision),
}

/// How far a message has come.
pub(super) enum Run {
    Ended(Decision),
    /// The brake of its handler has heard of it.
    Judged(Decision),
    /// Nowhere: the brake of its handler is on.
    Braked,
}

impl Run {
    pub(super) fn judged(
        route: &Route,
        result: Result<Answer, Failure>,
        delivery: &Delivery,
    ) -> Self {
        let judged = match route.brake.is_concerned(&result) {
            true => route.brake.judge(None, &result, delivery),
            false => Judged::Final,
        };
        match judged {
            Judged::Final => Self::Judged(Decision::Result(result)),
            Judged::Unavailable => Self::Braked,
        }
    }
}

impl Route {
    /// Whether the result of a message says something about what the handler needs.
    #[inline]
    fn is_concerned(&self, decision: &Decision) -> bool {
        match decision {
            Decision::Result(result) => self.brake.is_concerned(result),
            Decision::Elsewhere | Decision::GiveBack => false,
        }
    }
}

/// Where a message stands in its lane.
pub(super) enum Line {
    Behind(Waiting),
    /// It has its turn, or there is no lane.
    First(Option<Turn>),
}

/// What the next one waits for: a turn in a lane, and a slot of the handler.
pub(super) type Held = (Option<Turn>, Option<OwnedSemaphorePermit>);

impl Line {
    pub(super) fn of(entered: Option<Entered>) -> Self {
        match entered {
            Some(Entered::Behind(waiting)) => Self::Behind(waiting),
            Some(Entered::AtOnce(turn)) => Self::First(Some(turn)),
            None => Self::First(None),
        }
    }

    /// Waits for the turn in the lane, then for what the handler's own limits give, and at last for what `enter` takes.
    pub(super) async fn enter<T>(self, route: &Route, enter: impl Future<Output = T>) -> (Held, T) {
        let turn = self.turn().await;
        let (slot, entered) = match &route.limits {
            Some(limits) => limits.enter(enter).await,
            None => (None, enter.await),
        };
        ((turn, slot), entered)
    }

    async fn turn(self) -> Option<Turn> {
        match self {
            Self::Behind(waiting) => Some(waiting.await),
            Self::First(turn) => turn,
        }
    }
}

/// A delivery that is settled on a task of its own.
pub(super) struct Unsettled {
    /// None where there is no handler.
    route: Option<Arc<Route>>,
    delivery: Delivery,
    tag: DeliveryTag,
}

impl Unsettled {
    pub(super) fn of(route: &Arc<Route>, delivery: &Delivery, tag: DeliveryTag) -> Self {
        Self {
            route: Some(route.clone()),
            delivery: delivery.clone(),
            tag,
        }
    }

    pub(super) fn refused(delivery: &Delivery, tag: DeliveryTag) -> Self {
        Self {
            route: None,
            delivery: delivery.clone(),
            tag,
        }
    }
}

pub(super) fn give_back() -> Decision {
    Decision::Result(Ok(Outcome::Requeue.into()))
}

pin_project! {
    /// Work that is dropped where it waits once the deadline of a shutdown is over.
    struct UntilCancelled<W> {
        #[pin]
        cancelled: WaitForCancellationFutureOwned,
        at_work: AtWork,
        traced: Option<Arc<Work>>,
        #[pin]
        work: W,
    }
}

impl<W: Future<Output = ()>> Future for UntilCancelled<W> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.cancelled.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let traced = this.traced.as_ref();
        this.at_work
            .poll(|| trace::poll(traced, || this.work.poll(cx)))
    }
}

/// The handler, dropped where it waits once its time is over.
pub(super) fn within<W>(deadline: Option<Deadline>, work: W) -> impl Future<Output = Decision>
where
    W: Future<Output = Result<Answer, Failure>>,
{
    match deadline {
        None => Either::Left(work.map(Decision::Result)),
        // boxed, since each message whose handler waits would be as large. What a handler drops may panic, too
        Some(Deadline { at, timeout, time }) => Either::Right(Box::pin(async move {
            let in_time = async {
                let in_time = match time {
                    None => timeout_at(at, work).await.ok(),
                    // cancel safety: what is dropped is dropped for good
                    Some(time) => tokio::select! {
                        biased;
                        result = work => Some(result),
                        () = time.over() => None,
                    },
                };
                in_time.unwrap_or_else(|| Err(Failure::timed_out(timeout)))
            };
            Decision::Result(guard(in_time).await)
        })),
    }
}

/// When the time of a handler is over.
pub(super) struct Deadline {
    at: Instant,
    timeout: Duration,
    /// Where layers are around the handler, one of them may let time not count.
    time: Option<Arc<HandlerTime>>,
}

impl Deadline {
    pub(super) fn time(&self) -> Option<&Arc<HandlerTime>> {
        self.time.as_ref()
    }
}

impl Route {
    #[inline]
    pub(super) fn deadline(&self) -> Option<Deadline> {
        let timeout = self.timeout?;
        // one that the clock cannot count to never comes
        let at = Instant::now().checked_add(timeout)?;
        let time = self.is_layered().then(|| HandlerTime::until(at));
        Some(Deadline { at, timeout, time })
    }
}

/// A delivery that is named when the deadline cuts it off, until this is dropped.
struct Named {
    id: u64,
    watched: Watched,
}

impl Drop for Named {
    fn drop(&mut self) {
        let dispatcher = &self.watched.dispatcher;
        dispatcher.consumer.in_flight.leave(self.id);
        if let Some(watch) = dispatcher.queue.settling.stage.watch() {
            watch.left();
        }
    }
}

impl Dispatcher {
    pub(super) fn watched(&self, handler: &'static str) -> Watched {
        Watched {
            handler,
            dispatcher: self.clone(),
        }
    }
}

/// A task that settles a message of this handler, and tells if it panics.
pub(super) struct Watched {
    handler: &'static str,
    pub(super) dispatcher: Dispatcher,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if thread::panicking() {
            self.dispatcher.settling_panicked(self.handler);
        }
    }
}

/// A place among the handlers that may run at the same time, kept until it is dropped.
pub(super) struct KeptPlace {
    pub(super) queue: Arc<Queue>,
    pub(super) body_len: usize,
}

/// What a message has while its handler is at work, and others wait for.
pub(super) struct Holding {
    held: Held,
    _place: KeptPlace,
}

impl KeptPlace {
    pub(super) fn with(self, held: Held) -> Holding {
        Holding { held, _place: self }
    }

    /// As [`Holding::until`], with nothing beside the place.
    pub(super) fn until(
        self,
        run: impl Future<Output = Run>,
    ) -> impl Future<Output = (Run, Option<Holding>)> {
        self.with((None, None)).until(run)
    }
}

impl Holding {
    /// Keeps it until the message has come so far, and hands it on.
    pub(super) fn until(
        self,
        run: impl Future<Output = Run>,
    ) -> impl Future<Output = (Run, Option<Self>)> {
        run.map(|run| (run, Some(self)))
    }
}

impl Drop for KeptPlace {
    fn drop(&mut self) {
        self.queue.room.leave(self.body_len);
    }
}
