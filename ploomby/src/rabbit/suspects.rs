//! Finds the message that ends the process, without harm to the others.
//!
//! A broker does not know what a handler began: a deploy, a lost connection and a neighbour that ends the process bring
//! good messages back as well. So what came back is a *suspect* at most. What came back again and again is moved to the
//! queue `<queue>_suspects`, and handled alone there: a message is taken once nothing else is in the way, and only one
//! at a time in the whole process. What the broker counts there is how often the process died over this very message.
//!
//! Nothing here stands before the work. What cannot be counted or moved is handled as if it were no suspect.
//!
//! # Layout
//!
//! - `deaths`: how often the process died with messages that came back, for queues that do not count themselves;
//! - `trial`: one suspect, alone.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use amqprs::channel::{Channel, ConsumerMessage, QueueDeclareArguments};
use tokio::{
    sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, Notify},
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

use self::{
    deaths::Deaths,
    trial::{Taken, Trial},
};
use super::{
    connection::{CLOSE_TIMEOUT, Link, OpenChannel, SharedConnection},
    copies::Copies,
    session::events::ChannelEvents,
    traffic::Idle,
};
use crate::{
    delivery::Delivery,
    dispatcher::Dispatcher,
    message::{Message, wire::number_in},
    settle::ConsumerError,
};

mod deaths;
mod take;
mod trial;

/// How often a quorum queue delivered the message and got it back.
///
/// Source: [poison message
/// handling](https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling).
pub(super) const DELIVERY_COUNT: &str = "x-delivery-count";

/// A message that came back so often to a queue that counts is a suspect. A deploy or two, and a crash, are no reason.
const RETURNS: u32 = 4;

/// Where the order is kept, a suspect loses its place.
const RETURNS_IN_ORDER: u32 = 12;

/// RabbitMQ 4 gives up by itself what came back more than 20 times, whatever brought it back: before that it is moved
/// to a queue that does not.
const RETURNS_NEAR_THE_LIMIT: u32 = 12;

/// In a queue that does not count, what came back is suspect once the process died so often with such messages.
const DEATHS: u32 = 2;
const DEATHS_IN_ORDER: u32 = 8;

/// How long the move of one suspect may take, unless the line is slow.
const MOVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long suspects are handled like all others after one could not be moved.
const PAUSE: Duration = Duration::from_secs(30);

/// How often the queue of suspects is looked at, where there is one.
const LOOK: Duration = Duration::from_secs(5);

/// How long a suspect keeps those of other queues waiting.
const ALONE: Duration = Duration::from_secs(60);

/// How long a suspect waits for a place among the handlers of its queue, before those of other queues have their turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether RabbitMQ 4 may give the message up by itself soon, so that it must not come back as it is.
pub(super) fn is_near_the_limit(message: &ConsumerMessage) -> bool {
    number_in(message, DELIVERY_COUNT) >= Some(RETURNS_NEAR_THE_LIMIT.into())
}

/// The suspects of one queue, for all its consumers in this process.
pub(super) struct Suspects {
    queue: String,
    connection: Arc<SharedConnection>,
    copies: Arc<Copies>,
    most_crashes: Option<u32>,
    deaths: Deaths,
    /// One consumer looks after them.
    is_looked_after: AtomicBool,
    /// There may be some.
    there: Notify,
    /// Until when none is moved.
    paused: Mutex<Option<Instant>>,
    /// How often this process lived on when the channel was lost that a suspect came by, by its name.
    survived: Mutex<HashMap<String, u32>>,
}

impl Suspects {
    pub(super) fn new(
        queue: &str,
        connection: Arc<SharedConnection>,
        copies: Arc<Copies>,
        most_crashes: Option<u32>,
    ) -> Self {
        if most_crashes.is_some() && !copies.companions().can_have_suspects() {
            warn!(
                queue,
                "the name of the queue leaves no room for `_suspects` behind it: a message that crashes the process is \
                 not found, and comes back for ever; choose a name of at most 246 bytes"
            );
        }
        Self {
            queue: queue.to_owned(),
            deaths: Deaths::new(copies.clone()),
            connection,
            copies,
            most_crashes,
            is_looked_after: AtomicBool::new(false),
            there: Notify::new(),
            paused: Mutex::default(),
            survived: Mutex::default(),
        }
    }

    /// Whether a message that came back may be what ends the process. `cuts` says how many channels its consumer lost
    /// and lived on. Each call is followed by one of [`outlived`](Self::outlived).
    pub(super) async fn is_suspect(
        &self,
        delivery: &Delivery,
        is_ordered: bool,
        cuts: u32,
    ) -> bool {
        let counted = delivery.headers().number(DELIVERY_COUNT);
        let counted = counted.and_then(|counted| u32::try_from(counted).ok());
        self.deaths.watch();
        if !self.may_move() {
            return false;
        }
        match counted.filter(|counted| *counted > 0) {
            Some(returns) => {
                let most = if is_ordered {
                    RETURNS_IN_ORDER
                } else {
                    RETURNS
                };
                returns.saturating_sub(cuts) >= most || returns >= RETURNS_NEAR_THE_LIMIT
            }
            None => {
                let most = if is_ordered { DEATHS_IN_ORDER } else { DEATHS };
                self.deaths.count().await >= most
            }
        }
    }

    /// The handler of a message that came back is done, and the process lives.
    pub(super) fn outlived(&self) {
        self.deaths.outlived();
    }

    /// Moves a suspect to where it is handled alone.
    pub(super) async fn set_aside(&self, copy: Message) -> Result<(), ConsumerError> {
        let moved = match self.within_a_moment(self.copies.set_aside(copy)).await {
            Ok(moved) => moved.map_err(ConsumerError::new),
            Err(Idle) => Err(ConsumerError::new(format!(
                "the broker has not taken a copy within {MOVE_TIMEOUT:?}"
            ))),
        };
        match &moved {
            Ok(()) => self.there.notify_one(),
            Err(_) => *self.paused() = Some(Instant::now() + PAUSE),
        }
        moved
    }

    /// Waits for the broker to take a copy, for as long as the line may need: one that is given up may arrive all the
    /// same.
    async fn within_a_moment<T>(&self, moving: impl Future<Output = T>) -> Result<T, Idle> {
        let traffic = self.copies.publisher().connection().traffic();
        traffic.wait(MOVE_TIMEOUT, moving).await
    }

    /// There may be suspects, such as those of a process that died.
    pub(super) fn look(&self) {
        self.there.notify_one();
    }

    /// Handles suspects, one at a time, until shutdown begins. The last of them is done when it returns.
    pub(super) async fn look_after(self: Arc<Self>, dispatcher: Dispatcher) {
        if !self.may_be_there() || self.is_looked_after.swap(true, Ordering::Relaxed) {
            return;
        }
        let _released = Released(&self.is_looked_after);
        let mut is_there = false;
        while !dispatcher.is_stopped() {
            match self.handle_all(&dispatcher).await {
                Ok(found) => is_there = found,
                Err(error) => debug!(queue = self.queue, error, "cannot look at the suspects"),
            }
            // cancel safety: a notification that was taken is followed by a look
            tokio::select! {
                () = self.there.notified() => {}
                () = sleep(LOOK), if is_there => {}
                () = dispatcher.stopped() => {}
            }
        }
    }

    /// Says that nothing more will end in a crash.
    pub(super) async fn close(&self) {
        self.deaths.close().await;
    }

    /// Handles the suspects that there are. Says whether there is a queue of them.
    async fn handle_all(self: &Arc<Self>, dispatcher: &Dispatcher) -> Result<bool, String> {
        let OpenChannel {
            channel,
            connection: link,
            ..
        } = self
            .connection
            .channel()
            .await
            .map_err(|error| error.to_string())?;
        let events = ChannelEvents::register(&channel)
            .await
            .map_err(|error| error.to_string())?;
        let wire = (&channel, &link, &events);
        let handled = self.handle_by(wire, dispatcher).await;
        if events.closed().is_some_and(|closed| closed.is_not_found()) {
            return Ok(false);
        }
        let _ = timeout(CLOSE_TIMEOUT, channel.close()).await;
        handled.map(|()| true)
    }

    async fn handle_by(
        self: &Arc<Self>,
        (channel, link, events): (&Channel, &Arc<Link>, &ChannelEvents),
        dispatcher: &Dispatcher,
    ) -> Result<(), String> {
        while !dispatcher.is_stopped() {
            if self.count(channel, link).await? == 0 {
                return Ok(());
            }
            let Some(alone) = dispatcher.unless_stopped(alone()).await else {
                return Ok(());
            };
            let trial = Arc::new(Trial::new(
                (channel.clone(), link.clone()),
                events.clone(),
                self.clone(),
            ));
            let take = trial.take();
            if dispatcher.dispatch_alone(PATIENCE, take, &trial).await {
                self.wait_for(&trial, events, alone).await;
            }
            if events.is_ended() {
                return Err("the channel was lost".to_owned());
            }
        }
        Ok(())
    }

    /// Waits for a handler that runs alone.
    async fn wait_for(
        &self,
        trial: &Trial,
        events: &ChannelEvents,
        alone: AsyncMutexGuard<'_, ()>,
    ) {
        let start = Instant::now();
        let mut alone = Some(alone);
        let mut is_cut = false;
        loop {
            // cancel safety: none of them loses anything
            tokio::select! {
                biased;
                () = trial.done() => return,
                () = trial.handled(), if alone.is_some() => alone = None,
                () = events.ended(), if !is_cut => {
                    is_cut = true;
                    self.note_survived(trial);
                }
                () = tokio::time::sleep_until(start + ALONE), if alone.is_some() => alone = None,
                // its handler outlives the channel, and may never end: the suspect is delivered again
                () = tokio::time::sleep_until(start + ALONE), if is_cut => return,
            }
        }
    }

    /// The channel of a suspect is lost, and the process is not.
    fn note_survived(&self, trial: &Trial) {
        if let Some(Taken { name, .. }) = &*trial.taken() {
            let mut survived = self.survived();
            // a name is there until the suspect comes here again, which others may have settled
            if survived.len() >= MOST_NAMES {
                survived.clear();
            }
            *survived.entry(name.clone()).or_default() += 1;
        }
    }

    /// How many suspects wait.
    async fn count(&self, channel: &Channel, link: &Link) -> Result<u32, String> {
        let mut declare = QueueDeclareArguments::new(&self.copies.companions().suspects().name);
        declare.passive(true);
        match link
            .answer_behind_others(channel.queue_declare(declare))
            .await
        {
            Ok(Ok(answer)) => Ok(answer.map_or(0, |(_, count, _)| count)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(Idle) => Err("no answer".to_owned()),
        }
    }

    /// Whether suspects are moved at the moment.
    pub(super) fn may_move(&self) -> bool {
        let is_paused = self.paused().is_some_and(|until| Instant::now() < until);
        self.may_be_there() && !is_paused
    }

    /// Without a queue for what is guilty, or a name for that of suspects, nothing is a suspect.
    fn may_be_there(&self) -> bool {
        let companions = self.copies.companions();
        self.most_crashes.is_some()
            && companions.dead_letters.is_some()
            && companions.can_have_suspects()
    }

    fn paused(&self) -> MutexGuard<'_, Option<Instant>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn survived(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.survived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many suspects are remembered of which a channel was lost.
const MOST_NAMES: usize = 1024;

/// Waits until no suspect of any queue is being handled in this process.
async fn alone() -> AsyncMutexGuard<'static, ()> {
    static ALONE: AsyncMutex<()> = AsyncMutex::const_new(());

    ALONE.lock().await
}

struct Released<'a>(&'a AtomicBool);

impl Drop for Released<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
