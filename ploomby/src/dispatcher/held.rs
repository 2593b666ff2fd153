//! Messages that wait for what their handler needs: while a brake is on, one of them is a probe, and the others wait.
//!
//! Each waits where it can, in this order:
//!
//! 1. In its queue. While all handlers of the queue wait, the source delivers nothing, and has what it delivered back,
//!    but for the next probe.
//! 2. In a retry queue, as a copy that counts no attempt, so that the messages of the other handlers come through.
//! 3. Here, unsettled, within the prefetch: one message of each handler always does, to be the next probe; the others
//!    if their order is kept, or if no copy can be made.

use std::{future::pending, pin::pin, sync::Arc, time::Duration};

use futures_util::future::poll_immediate;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{
    Dispatcher,
    background::{Run, give_back},
};
use crate::{
    brake::{Candidate, Judged, Permit},
    delivery::Delivery,
    handler::Route,
    settle::{Acknowledger, Decision},
    stage::{Awake, Stage},
};

/// How long messages wait in a retry queue, by how long the brake has been on: about as long as the pause before the next
/// probe. Each copy is work for the broker and for this program, which the other handlers would feel.
const DELAYS: [(Duration, Duration); 3] = [
    (Duration::from_secs(1), Duration::from_secs(1)),
    (Duration::from_secs(10), Duration::from_secs(5)),
    (Duration::MAX, Duration::from_secs(30)),
];

/// How long all handlers of a queue have waited when the source is asked to deliver nothing: shorter outages are not
/// worth the way.
const REST_AFTER: Duration = Duration::from_secs(5);

/// A queue whose name leaves no room for that of a retry queue has none.
const LONGEST_NAME: usize = 255 - "_retry_300000ms".len();

/// Whether a message has to ask before its handler runs. What came back is looked at first.
pub(super) fn is_braked(route: &Route, delivery: &Delivery) -> bool {
    route.brake.is_watching() && !delivery.came_back()
}

impl Dispatcher {
    /// Takes a message to its end whose handler's brake is on, or is to hear what came of it.
    pub(super) async fn under_brake<A: Acknowledger>(
        &self,
        route: &Arc<Route>,
        delivery: &Delivery,
        mut run: Run,
        acknowledger: &A,
    ) -> Decision {
        let mut permit = None;
        let mut standing = Standing::default();
        let mut has_run = !matches!(run, Run::Braked);
        loop {
            if let Run::Judged(decision) = run {
                return decision;
            }
            if let Run::Ended(decision) = run {
                let Decision::Result(result) = &decision else {
                    return decision;
                };
                match route.brake.judge(permit.take(), result, delivery) {
                    Judged::Final => return decision,
                    Judged::Unavailable if self.is_stopped() => return give_back(),
                    Judged::Unavailable => {}
                }
            }
            let waited = self.wait(route, delivery, acknowledger, &mut standing);
            match waited.await {
                Waited::Go(next) => permit = Some(next),
                Waited::Over(decision) => return decision,
            }
            // the turn that it had when it came may be long over
            if has_run || standing.has_waited {
                if let Some(decision) = self.next_turn(route, acknowledger).await {
                    return decision;
                }
                // meanwhile somebody may have paused it, or what it needs may have gone away again
                if !permit.as_ref().is_some_and(Permit::still_holds) {
                    permit = None;
                    if let Some(limits) = &route.limits {
                        limits.undo_turn();
                    }
                    run = Run::Braked;
                    continue;
                }
            }
            has_run = true;
            run = Run::Ended(self.run(route, delivery.clone()).await);
        }
    }

    /// Waits for the turn of a message by its handler's rate; what becomes of it instead, if it does not come to that.
    async fn next_turn<A: Acknowledger>(
        &self,
        route: &Route,
        acknowledger: &A,
    ) -> Option<Decision> {
        let limits = route.limits.as_ref()?;
        // cancel safety: all of them can be dropped
        tokio::select! {
            biased;
            () = self.queue.settling.stop.cancelled() => Some(give_back()),
            () = acknowledger.lost() => Some(Decision::Elsewhere),
            () = limits.next_turn() => None,
        }
    }

    /// What becomes of a message that has to wait for its turn by its handler's rate, if too many do for it to wait here.
    pub(super) async fn out_of_line<A: Acknowledger>(
        &self,
        route: &Route,
        delivery: &Delivery,
        acknowledger: &A,
    ) -> Option<Decision> {
        let limits = route.limits.as_ref()?;
        let delay = limits.better_away()?;
        if !self.may_copy(route) || delivery.came_back() {
            return None;
        }
        // counted at once, so that of those that come together, not all come back together
        limits.sent_away(delay);
        let is_away = self.hold_for(delay, route, delivery, acknowledger).await;
        is_away.then_some(Decision::Elsewhere)
    }

    /// Waits until a message may go to its handler.
    async fn wait<A: Acknowledger>(
        &self,
        route: &Arc<Route>,
        delivery: &Delivery,
        acknowledger: &A,
        standing: &mut Standing,
    ) -> Waited {
        let brake = &route.brake;
        let stage = &self.queue.settling.stage;
        // until it is known what comes of a wait, something goes on
        let mut awake = None;
        loop {
            let mut changed = pin!(brake.changed());
            // before the look, so that nothing is missed between the two
            changed.as_mut().enable();
            let until = match brake.enter() {
                Ok(permit) => return Waited::Go(permit),
                Err(until) => until,
            };
            if !standing.has_waited {
                standing.has_waited = true;
                brake.waits();
            }
            let is_paused = brake.is_paused();
            if standing.candidate.is_none() && !is_paused {
                standing.candidate = brake.stand_by();
            }
            // a pause has no probes
            let is_needed = standing.candidate.is_some() && !is_paused;
            let rest_at = self.rest_if_all_wait(route);
            if self.is_resting() && !is_needed && self.may_rest(route, acknowledger) {
                return Waited::Over(Decision::GiveBack);
            }
            if !is_needed
                && self.may_wait_elsewhere(route)
                && self.wait_elsewhere(route, delivery, acknowledger).await
            {
                return Waited::Over(Decision::Elsewhere);
            }
            let next = until.into_iter().chain(rest_at).min();
            let mut over = pin!(time(stage, next));
            // it waits before it counts as waiting
            let over_at_once = poll_immediate(over.as_mut()).await;
            let parked = brake.park();
            drop(std::mem::replace(&mut awake, over_at_once));
            if awake.is_some() {
                continue;
            }
            // cancel safety: all of them can be dropped
            tokio::select! {
                biased;
                () = self.queue.settling.stop.cancelled() => return Waited::Over(give_back()),
                // the source has the message again, and is told nothing
                () = acknowledger.lost() => return Waited::Over(Decision::Elsewhere),
                () = changed => {}
                over = over => awake = Some(over),
            }
            drop(parked);
        }
    }

    /// Has the source deliver nothing once all handlers of the queue have waited for a while, for the messages to
    /// stay in the broker. Says when that will be.
    fn rest_if_all_wait(&self, route: &Route) -> Option<Instant> {
        let queue = &self.queue;
        if self.is_resting() || self.is_ordered() || !route.brake.may_rest() {
            return None;
        }
        if queue.brakes.count_on() < self.reachable() {
            return None;
        }
        let left = REST_AFTER.saturating_sub(route.brake.on_for());
        if left.is_zero() {
            queue.brakes.rest(true);
            return None;
        }
        Some(self.queue.settling.stage.now() + left)
    }

    /// Whether the messages of a handler go back while the queue is at rest.
    pub(super) fn may_rest<A: Acknowledger>(&self, route: &Route, acknowledger: &A) -> bool {
        acknowledger.rests() && route.order.is_none() && self.queue.policy.concurrency != Some(1)
    }

    /// Resolves once the queue is at rest.
    pub(super) async fn at_rest(&self) {
        let mut resting = self.queue.brakes.resting();
        // it ends with the queue
        let _ = resting.wait_for(|rests| *rests).await;
    }

    fn reachable(&self) -> usize {
        let queue = &self.queue;
        *queue.reachable.get_or_init(|| queue.handlers.reachable())
    }

    /// Whether the messages of a handler are better away, for those of others to come through.
    fn may_wait_elsewhere(&self, route: &Route) -> bool {
        route.brake.is_on()
            && self.may_copy(route)
            && self.queue.brakes.count_on() < self.reachable()
    }

    /// Whether it is worth a try to have a message of a handler wait elsewhere.
    fn may_copy(&self, route: &Route) -> bool {
        let queue = &self.queue;
        let is_ordered = route.order.is_some() || queue.policy.concurrency == Some(1);
        !is_ordered && queue.source.queue.len() <= LONGEST_NAME && queue.brakes.may_copy()
    }

    /// Resolves when the message of a handler with limited slots is better away than in line for one.
    pub(super) async fn when_it_may_wait_elsewhere(&self, route: &Route) {
        if route.limits.is_none() || route.order.is_some() {
            return pending().await;
        }
        loop {
            let mut changed = pin!(route.brake.changed());
            changed.as_mut().enable();
            if self.may_wait_elsewhere(route) {
                return;
            }
            changed.await;
        }
    }

    /// Has a message wait in a retry queue. Whether a copy of it is safe there.
    pub(super) async fn wait_elsewhere<A: Acknowledger>(
        &self,
        route: &Route,
        delivery: &Delivery,
        acknowledger: &A,
    ) -> bool {
        let on_for = route.brake.on_for();
        let delay = DELAYS.iter().find(|(until, _)| on_for < *until);
        let delay = delay.map_or(DELAYS[0].1, |(_, delay)| *delay);
        self.hold_for(delay, route, delivery, acknowledger).await
    }

    async fn hold_for<A: Acknowledger>(
        &self,
        delay: Duration,
        route: &Route,
        delivery: &Delivery,
        acknowledger: &A,
    ) -> bool {
        let settling = &self.queue.settling;
        match settling.hold(delivery, delay, acknowledger).await {
            Ok(()) => {
                let (queue, handler) = (self.listen_for(), route.name);
                debug!(
                    queue,
                    handler, "held for {delay:?}: its handler takes no more for now"
                );
                true
            }
            Err(error) => {
                if self.queue.brakes.cannot_copy() {
                    let queue = self.listen_for();
                    warn!(
                        queue,
                        %error,
                        "messages that their handler does not take for now cannot wait in a retry queue: they stay here, \
                         and hold up those of other handlers"
                    );
                }
                false
            }
        }
    }
}

/// Resolves at this time, if there is one.
async fn time(stage: &Stage, at: Option<Instant>) -> Awake {
    match at {
        Some(at) => stage.sleep(at.saturating_duration_since(stage.now())).await,
        None => pending().await,
    }
}

/// What a message that waits has come to.
#[derive(Default)]
struct Standing {
    has_waited: bool,
    /// It is the one that waits here for the next probe, and then is the probe.
    candidate: Option<Candidate>,
}

/// How the wait of a message ends.
enum Waited {
    Go(Permit),
    /// It is not handled here and now.
    Over(Decision),
}
