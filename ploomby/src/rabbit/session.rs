//! The life of one channel that consumes.
//!
//! `Session::run` goes round in a loop of three steps:
//!
//! 1. It dispatches each delivery that is at hand. A handler without anything to wait for is done by then, and its
//!    acknowledgement noted. Once half the prefetch is noted, the notes are sent.
//! 2. It takes more from the client, as long as there is more, and goes back to 1.
//! 3. Nothing is at hand. It sends what is noted, or holds that back for a moment (`pace`) if more deliveries are
//!    likely: one acknowledgement then tells of all. It waits for whatever comes first: a delivery, a handler that
//!    is done, the end of the channel, the shutdown.
//!
//! After the shutdown has begun, the loop goes on to settle what handlers finish. What comes and was not begun
//! goes back to the queue.

use std::{pin::pin, sync::Arc, time::Duration};

use amqprs::channel::{BasicCancelArguments, Channel, ConsumerMessage};
use futures_util::future::poll_immediate;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    task::{JoinHandle, yield_now},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub(super) use self::subscription::{Subscription, is_refusal_to_tell};
use self::{
    events::ChannelEvents,
    inbox::{BURST, Inbox},
    pace::Pace,
    rest::RENEW_AFTER,
    stale::{LOOK, STALE, next_stale},
    starved::{Starved, Verdict},
    subscription::{Subscribed, subscribe},
    tags::OddTag,
    wire::Wire,
};
use super::{
    acknowledger::RabbitAcknowledger,
    connection::{ANSWER_TIMEOUT, CLOSE_TIMEOUT, Link, OpenChannel},
    copies::Copies,
    suspects::Suspects,
    topology::{Asker, TopologyError},
};
use crate::{
    delivery::{Delivery, DeliveryTag},
    dispatcher::Dispatcher,
};

pub(super) mod events;
mod inbox;
mod pace;
mod rest;
mod stale;
mod starved;
mod subscription;
mod tags;
mod wire;

/// One channel that consumes, from its opening to its end, with all that is only good for it.
pub(super) struct Session {
    channel: Channel,
    link: Arc<Link>,
    events: ChannelEvents,
    consumer_tag: String,
    queue: String,
    inbox: Inbox,
    acknowledger: Arc<RabbitAcknowledger>,
    /// The broker says when the queue is deleted.
    is_told: bool,
    /// How long nothing comes before another session is opened in its place.
    stale: Duration,
    /// Shutdown has begun, and what comes is given back.
    is_stopping: bool,
    /// The queue is at rest: what comes is given back, until deliveries are asked for again. A consumer of one message
    /// that nobody reads stays meanwhile: the broker may delete a queue that has none.
    standby: Option<UnboundedReceiver<ConsumerMessage>>,
    /// When another session is opened in its place, as soon as nothing is to be done: what was on its way to a consumer
    /// as it was cancelled may come behind the broker's answer. amqprs has nobody to give it to, and it goes back with
    /// the channel.
    renew_at: Option<Instant>,
    subscription: Subscription,
    /// Where the order is kept, no other consumer may begin before this one is done.
    is_ordered: bool,
    /// Asks the broker to send nothing more, once shutdown has begun.
    cancelling: Option<JoinHandle<()>>,
    /// The broker has answered that, or never will.
    cancelled: CancellationToken,
    /// The last delivery has come.
    drained: bool,
    starved: Starved,
    /// The broker does not give it what it should.
    is_stuck: bool,
    /// Health does not count it as consuming yet.
    is_doubted: bool,
}

impl Session {
    /// Subscribes over the channel that questions went over, or a new one: deliveries come from here on.
    pub(super) async fn open(
        asker: Asker<'_>,
        subscription: &Subscription,
        copies: &Arc<Copies>,
        suspects: (Arc<Suspects>, u32),
    ) -> Result<Self, TopologyError> {
        let Subscribed {
            open:
                OpenChannel {
                    channel,
                    connection: link,
                    ..
                },
            events,
            consumer_tag,
            deliveries,
        } = subscribe(asker, subscription).await?;
        let acknowledger = RabbitAcknowledger::new(
            channel.clone(),
            events.clone(),
            (subscription.prefetch, !subscription.is_ordered),
            copies.clone(),
            suspects,
        );
        Ok(Self {
            channel,
            link,
            events,
            consumer_tag,
            queue: subscription.queue.clone(),
            inbox: Inbox::new(deliveries, subscription.prefetch),
            acknowledger: Arc::new(acknowledger),
            is_told: subscription.is_told,
            stale: STALE,
            is_stopping: false,
            standby: None,
            renew_at: None,
            subscription: subscription.clone(),
            is_ordered: subscription.is_ordered,
            cancelling: None,
            cancelled: CancellationToken::new(),
            drained: false,
            starved: Starved::default(),
            is_stuck: false,
            is_doubted: false,
        })
    }

    /// How long the session that takes the place of this one waits for a message.
    pub(super) fn next_stale(&self) -> Duration {
        next_stale(self.stale, self.inbox.last() > 0)
    }

    pub(super) fn stale_after(mut self, stale: Duration) -> Self {
        self.stale = stale;
        self
    }

    /// Has the session be believed to consume only once something comes, or the broker says that nothing is ready: the
    /// one before got nothing.
    pub(super) fn doubted(mut self) -> Self {
        self.is_doubted = true;
        self
    }

    pub(super) fn is_doubted(&self) -> bool {
        self.is_doubted || self.is_stuck
    }

    fn believe(&mut self, dispatcher: &Dispatcher) {
        if self.is_doubted {
            self.is_doubted = false;
            dispatcher.consuming();
        }
    }

    /// Dispatches and acknowledges until the channel is lost, and says why it was. Once shutdown has begun, what
    /// was not started goes back to the queue.
    ///
    /// `Ok` means that nothing has come for a while, and that the broker may have lost the consumer.
    ///
    /// # Cancel safety
    ///
    /// A delivery that was taken and not started stays unsettled, as all that were not taken.
    pub(super) async fn run(&mut self, dispatcher: &Dispatcher) -> Result<(), Lost> {
        let mut at_hand = Vec::with_capacity(BURST);
        let mut recycler = dispatcher.recycler();
        let mut looked_again = false;
        let mut pace = Pace::new();
        let mut look = interval(LOOK);
        // after a busy time, each time is as long all the same
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_at_look = None;
        let mut quiet = 0;
        let events = self.events.clone();
        let mut ended = pin!(events.ended());
        let mut stopped = pin!(dispatcher.stopped());
        loop {
            // not moved out: it is large to carry along
            for message in &mut at_hand {
                // what is still at hand belongs to others by now
                if self.events.is_ended() && !self.is_leaving() {
                    return Err(self.lost());
                }
                let Some(delivery) = recycler.wire(message) else {
                    warn!("the client handed over half a message, opening the channel again");
                    return Err(self.lost());
                };
                self.take(delivery, dispatcher).await?;
                if self.acknowledger.is_due() {
                    self.flush().await?;
                    pace.sent();
                }
            }
            at_hand.clear();
            let received = poll_immediate(self.inbox.receive(&mut at_hand)).await;
            if let Some(count) = received {
                if self.arrived(count, dispatcher)? {
                    looked_again = false;
                    continue;
                }
            }
            // nothing more is at hand
            if !pace.hold_back(self.inbox.last(), || self.can_wait()) {
                // in a burst the client's own tasks have more, which one acknowledgement can tell of: they
                // get one turn of the runtime, and no time passes for a message that is alone; those that were
                // held back have had theirs
                if !pace.is_holding() && !looked_again && self.acknowledger.held() > 1 {
                    looked_again = true;
                    yield_now().await;
                    continue;
                }
                self.flush().await?;
                pace.sent();
                recycler.clear();
            }
            looked_again = false;
            let is_resting = self.is_resting();
            // cancel safety: what was received is at hand in the same step
            tokio::select! {
                // in turn, which costs less than by chance; where nothing is at hand, none keeps out the others
                biased;
                count = self.inbox.receive(&mut at_hand), if !self.drained => {
                    self.arrived(count, dispatcher)?;
                }
                // here, not at the next turn: a delivery may come first, and wait for a slot
                () = self.acknowledger.settled(), if !pace.is_holding() => self.flush().await?,
                () = pace.over(), if pace.is_holding() => {}
                // amqprs does not end the deliveries where the broker cancels the consumer before amqprs has
                // it registered, as it does when the queue is deleted right behind the subscription
                () = &mut ended, if !self.is_stopping => return Err(self.lost()),
                () = &mut stopped, if !self.is_stopping => self.stop(),
                () = self.cancelled.cancelled(), if self.is_cancelling() => {
                    self.cancelling = None;
                    self.acknowledger.may_return();
                }
                () = dispatcher.rest_changed(is_resting), if self.may_change_rest() => {
                    self.rest_or_resume().await?;
                    self.set_aside(dispatcher);
                }
                () = dispatcher.rest_changed(true), if self.has_returned_late() => {
                    self.return_late(dispatcher).await?;
                }
                () = sleep_until(self.renew_at.unwrap_or_else(Instant::now)), if self.renew_at.is_some() => {
                    if self.is_idle() {
                        return Ok(());
                    }
                    self.renew_at = Some(Instant::now() + RENEW_AFTER);
                }
                _ = look.tick() => {
                    let last = last_at_look.replace(self.inbox.last());
                    if last != last_at_look || !self.is_idle() {
                        self.starved.fed();
                        quiet = 0;
                        if last.is_some() {
                            self.stale = STALE;
                        }
                    } else {
                        quiet += 1;
                        self.starved.ask(&self.link, &self.queue);
                    }
                }
                verdict = self.starved.judged() => {
                    let is_quiet = last_at_look == Some(self.inbox.last()) && self.is_idle();
                    match verdict {
                        Verdict::Starved(reason) if is_quiet => return Err(self.give_up(reason)),
                        Verdict::Gone(reason) if is_quiet => {
                            self.acknowledger.lose();
                            return Err(Lost(reason));
                        }
                        Verdict::Fed => self.believe(dispatcher),
                        _ => {}
                    }
                    if is_quiet && !self.is_told && LOOK * quiet >= self.stale {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn take(
        &mut self,
        (delivery, tag): (&Delivery, DeliveryTag),
        dispatcher: &Dispatcher,
    ) -> Result<(), Lost> {
        self.believe(dispatcher);
        if self.is_leaving() {
            dispatcher.give_back(tag, &self.acknowledger).await;
            return Ok(());
        }
        let number = tag.get();
        let is_started = {
            let mut dispatching =
                pin!(dispatcher.dispatch_in_consume(delivery, tag, &self.acknowledger));
            // as a rule it has nothing to wait for
            let at_once = poll_immediate(dispatching.as_mut()).await;
            at_once.is_some() || {
                // handlers have computed for a while, or all slots are taken: the broker hears of what
                // is done, and the others on this thread have their turn
                self.flush().await?;
                yield_now().await;
                let wire = Wire {
                    acknowledger: &self.acknowledger,
                    events: &self.events,
                    link: &self.link,
                };
                wire.is_started(dispatching, dispatcher, &mut self.inbox)
                    .await?
            }
        };
        if !is_started {
            self.stop();
            let tag = DeliveryTag::new(number);
            dispatcher.give_back(tag, &self.acknowledger).await;
        }
        Ok(())
    }

    /// Notes what was received, and whether that was anything.
    fn arrived(
        &mut self,
        count: Result<usize, OddTag>,
        dispatcher: &Dispatcher,
    ) -> Result<bool, Lost> {
        let count = count.map_err(|odd| self.wire().odd(&odd))?;
        if count == 0 && !self.is_leaving() {
            return Err(self.lost());
        }
        self.drained = count == 0;
        // what is left out on a queue at rest is with the other consumer
        if !self.is_leaving() {
            if let Some(left_out) = self.inbox.left_out() {
                self.acknowledger.put_back(left_out);
            }
        }
        self.set_aside(dispatcher);
        Ok(count > 0)
    }

    /// Moves what must not wait to where it is handled alone.
    fn set_aside(&mut self, dispatcher: &Dispatcher) {
        let wire = Wire {
            acknowledger: &self.acknowledger,
            events: &self.events,
            link: &self.link,
        };
        wire.set_aside(&mut self.inbox, dispatcher);
    }

    fn wire(&self) -> Wire<'_> {
        Wire {
            acknowledger: &self.acknowledger,
            events: &self.events,
            link: &self.link,
        }
    }

    async fn flush(&self) -> Result<(), Lost> {
        self.wire().flush().await
    }

    /// Begins nothing more.
    ///
    /// As a rule the broker is asked to deliver nothing more, and once it has answered, what has not begun goes back,
    /// for others to handle it. Before, it would come here again, and each time counts.
    ///
    /// Where the order is kept, the consumer stays until what runs is done, and all that has not begun goes back as
    /// one, with the channel. The broker would let the next consumer begin as soon as this one is cancelled, with what
    /// stands behind the messages that are here.
    fn stop(&mut self) {
        self.is_stopping = true;
        if !self.is_ordered {
            self.cancel();
        }
    }

    /// Whether what comes is not begun any more, for ever or for now.
    fn is_leaving(&self) -> bool {
        self.is_stopping || self.is_resting()
    }

    fn is_resting(&self) -> bool {
        self.standby.is_some()
    }

    /// Where the order is kept, messages stay here, and so does the consumer.
    fn may_change_rest(&self) -> bool {
        !self.is_stopping && !self.is_cancelling() && !self.is_ordered
    }

    /// Asks the broker to send nothing more, on a task of its own: amqprs ends the channel in a
    /// panic where the one who asks is dropped, or where two ask at once. What is under way is given back as it comes.
    fn cancel(&mut self) {
        let before = self.cancelling.take();
        self.cancelled = CancellationToken::new();
        let answered = self.cancelled.clone().drop_guard();
        let channel = self.channel.clone();
        let arguments = BasicCancelArguments::new(&self.consumer_tag);
        self.cancelling = Some(tokio::spawn(async move {
            let _answered = answered;
            if let Some(before) = before {
                // a panic there was told by the runtime
                let _ = before.await;
            }
            match timeout(ANSWER_TIMEOUT, channel.basic_cancel(arguments)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => debug!(%error, "not cancelled: the channel is gone"),
                Err(_) => warn!("the broker did not answer the cancelling of the consumer"),
            }
        }));
    }

    /// Whether nothing that came is with its handler, and more may come.
    fn is_done(&self) -> bool {
        !self.is_leaving() && self.acknowledger.has_settled_all_up_to(self.inbox.last())
    }

    /// Whether nothing is to be done but to wait for what comes.
    fn is_idle(&self) -> bool {
        self.is_done() && self.inbox.is_empty()
    }

    /// Whether there is something to acknowledge that the broker can deliver on without.
    fn can_wait(&self) -> bool {
        self.acknowledger.held() > 0 && !self.acknowledger.is_due() && self.is_done()
    }

    fn is_cancelling(&self) -> bool {
        self.cancelling.is_some()
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Whether it was left because the broker did not do its part.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Leaves a broker that does not do its part.
    fn give_up(&mut self, reason: String) -> Lost {
        self.is_stuck = true;
        self.acknowledger.lose();
        Lost(reason)
    }

    fn lost(&self) -> Lost {
        self.wire().lost()
    }

    /// Sends what is held back and closes the channel; the broker requeues what is unsettled.
    pub(super) async fn close(mut self) {
        if let Some(cancelling) = self.cancelling.take() {
            // a panic there was told by the runtime
            let _ = cancelling.await;
            self.acknowledger.may_return();
        }
        match timeout(CLOSE_TIMEOUT, self.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(Lost(reason))) => debug!(reason, "acknowledgements were lost"),
            Err(_) => warn!("acknowledgements were lost: the connection does not write"),
        }
        self.acknowledger.lose();
        if timeout(CLOSE_TIMEOUT, self.channel.close()).await.is_err() {
            warn!("the broker did not answer the closing of the channel");
        }
    }
}

/// Why a channel consumes no more.
#[derive(Debug)]
pub(super) struct Lost(pub(super) String);
