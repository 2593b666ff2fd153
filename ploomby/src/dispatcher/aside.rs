//! Messages that came back: those that may be what ends the process are handled alone.

use std::{
    future::ready,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::poll_immediate;
use tokio::time::timeout;

use super::{
    Dispatcher,
    background::{KeptPlace, Line, Run, Unsettled, give_back},
};
use crate::{
    delivery::{Delivery, DeliveryTag},
    handler::Route,
    outcome::Failure,
    settle::{Acknowledger, Decision, NO_HANDLER},
};

impl Dispatcher {
    /// Runs a handler, unless the message came back so often that it is set aside.
    pub(super) async fn run_or_set_aside<A: Acknowledger>(
        &self,
        route: Arc<Route>,
        delivery: Delivery,
        acknowledger: &A,
    ) -> Run {
        if delivery.came_back() {
            // boxed, since each message that waits would be as large
            return Box::pin(self.run_again(route, delivery, acknowledger)).await;
        }
        self.run_unless_braked(&route, delivery).await
    }

    async fn run_unless_braked(&self, route: &Arc<Route>, delivery: Delivery) -> Run {
        if route.brake.is_watching() {
            return Run::Braked;
        }
        Run::Ended(self.run(route, delivery).await)
    }

    async fn run_again<A: Acknowledger>(
        &self,
        route: Arc<Route>,
        delivery: Delivery,
        acknowledger: &A,
    ) -> Run {
        let is_ordered = route.order.is_some() || self.queue.policy.concurrency == Some(1);
        let _outlived = Outlived(acknowledger);
        let settling = &self.queue.settling;
        if acknowledger.is_suspect(&delivery, is_ordered).await
            && settling.set_aside(&delivery, acknowledger).await
        {
            return Run::Ended(Decision::Elsewhere);
        }
        // it may have taken a while
        if self.is_stopped() {
            return Run::Ended(give_back());
        }
        self.run_unless_braked(&route, delivery).await
    }

    /// Moves a message to where it is handled alone, at once: it waits for no slot, since it must not come back as it
    /// is. If it cannot be moved, it is handled as any other.
    pub(crate) fn set_aside<A: Acknowledger>(
        &self,
        delivery: Delivery,
        tag: DeliveryTag,
        acknowledger: Arc<A>,
    ) {
        let watched = self.watched(NO_HANDLER);
        self.consumer.tasks.spawn(async move {
            let dispatcher = &watched.dispatcher;
            let settling = &dispatcher.queue.settling;
            if settling.set_aside(&delivery, &*acknowledger).await {
                return acknowledger.ack(tag).await;
            }
            let again = DeliveryTag::new(tag.get());
            let dispatching = dispatcher.dispatch(delivery, tag, &acknowledger);
            if dispatcher.unless_stopped(dispatching).await.is_none() {
                acknowledger.give_back(again).await;
            }
        });
    }

    /// Takes a message that may be what ends the process, once the queue has a place for it, and runs its handler. The
    /// place comes first, so that a message that was taken is not held without having begun.
    ///
    /// Says whether there was one. It is with its handler then, or `acknowledger` was told.
    ///
    /// # Cancel safety
    ///
    /// Dropped before `take` is done, it takes no place; `take` decides what becomes of the message.
    pub(crate) async fn dispatch_alone<A: Acknowledger>(
        &self,
        patience: Duration,
        take: impl Future<Output = Option<(Delivery, DeliveryTag, Option<Failure>)>>,
        acknowledger: &Arc<A>,
    ) -> bool {
        let entering = self.unless_stopped(timeout(patience, self.queue.room.enter(0)));
        let Some(Ok(place)) = entering.await else {
            return false;
        };
        let Some((mut delivery, tag, condemned)) = take.await else {
            return false;
        };
        delivery.set_source(&self.queue.source);
        // taken before `stop` is looked at, so that `drain` misses nothing
        let _token = self.consumer.tasks.token();
        if self.is_stopped() {
            acknowledger.give_back(tag).await;
            return true;
        }
        place.keep();
        let kept = KeptPlace {
            queue: self.queue.clone(),
            body_len: 0,
        };
        let admitted = match condemned {
            Some(failure) => Err(Decision::Result(Err(failure))),
            None => self.queue.admit(&delivery),
        };
        let route = match admitted {
            Ok(route) => route,
            Err(decision) => {
                let work = kept.until(ready(Run::Ended(decision)));
                self.spawn(Unsettled::refused(&delivery, tag), work, acknowledger);
                return true;
            }
        };
        let line = Line::of(route.line_up(&delivery));
        let job = Unsettled::of(route, &delivery, tag);
        let (dispatcher, route, stop) = (
            self.clone(),
            route.clone(),
            self.queue.settling.stop.clone(),
        );
        let work = async move {
            let room = &dispatcher.queue.room;
            let kept = Mutex::new(Some(kept));
            let take = || kept.lock().unwrap_or_else(PoisonError::into_inner).take();
            let body_len = delivery.body().len();
            let mut entering = pin!(line.enter(&route, async {
                match take() {
                    Some(kept) => kept,
                    None => dispatcher.keep(room.enter(body_len).await, &delivery),
                }
            }));
            let mut entered = poll_immediate(entering.as_mut()).await;
            if entered.is_none() {
                // what it waits for may be with a message that waits for a place: it waits for one as any other
                drop(take());
                entered = stop.run_until_cancelled(entering).await;
            }
            match entered {
                Some((held, kept)) => {
                    let holding = kept.with(held);
                    let run = dispatcher.run_unless_braked(&route, delivery.clone()).await;
                    (run, Some(holding))
                }
                None => (Run::Ended(give_back()), None),
            }
        };
        self.spawn(job, work, acknowledger);
        true
    }
}

/// Says that a message which came back did not end the process.
struct Outlived<'a, A: Acknowledger>(&'a A);

impl<A: Acknowledger> Drop for Outlived<'_, A> {
    fn drop(&mut self) {
        self.0.outlived();
    }
}
