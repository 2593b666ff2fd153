use std::{
    future::{Pending, Ready, pending, ready},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::Either;
use tokio_util::sync::CancellationToken;

use super::{
    arguments::QueueArguments,
    broker::unconfirmed,
    error::MemoryError,
    queue::{Entry, Queue},
    state::{QueueId, Shared, State},
    stored::{Death, MAX_PROPERTIES, Stored},
    subscription::Subscription,
};
use crate::{
    consumer::companions::{Companions, Declared},
    delivery::{self, DeliveryTag},
    message::{Message, fit},
    settle::{Acknowledger, ConsumerError, NobodyThere},
    stage::{Asked, Awake, Fate, Stage},
};

/// Settles the deliveries of one subscription. Once that has ended, its tags mean nothing any more.
#[derive(Debug)]
pub(super) struct MemoryAcknowledger {
    shared: Arc<Shared>,
    queue: QueueId,
    consumer: u64,
    name: String,
    companions: Arc<Companions>,
    /// The queue was deleted.
    gone: CancellationToken,
    stage: Stage,
    /// The connection is lost, and its consumer has not heard of it.
    cut: Mutex<Option<Awake>>,
}

impl MemoryAcknowledger {
    pub(super) fn new(
        subscription: &Subscription,
        name: &str,
        companions: &Arc<Companions>,
        stage: &Stage,
    ) -> Self {
        Self {
            shared: subscription.shared.clone(),
            queue: subscription.queue,
            consumer: subscription.consumer,
            name: name.to_owned(),
            companions: companions.clone(),
            gone: CancellationToken::new(),
            stage: stage.clone(),
            cut: Mutex::new(None),
        }
    }

    /// The queue was deleted with all that is delivered.
    pub(super) fn lose(&self) {
        self.gone.cancel();
    }

    /// The connection is lost: what is not settled comes again.
    fn cut(&self) {
        let cut = self.stage.goes_on();
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut);
        let mut state = self.shared.lock();
        if let Some(queue) = state.get_mut(self.queue) {
            queue.cut(self.consumer);
            state.pump(self.queue);
        }
    }

    /// Whether the connection was lost: then something goes on until the consumer is there again.
    pub(super) fn cut_off(&self) -> Option<Awake> {
        self.cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Settles a delivery, unless something goes wrong.
    fn told(&self, settle: impl FnOnce()) -> Either<Pending<()>, Ready<()>> {
        match self.stage.fate(Asked::Settle, &self.name) {
            Fate::Crash => return Either::Left(pending()),
            Fate::Cut => self.cut(),
            _ => settle(),
        }
        Either::Right(ready(()))
    }

    /// Puts the copy of a message where it is kept, unless something goes wrong.
    async fn kept(
        &self,
        asked: Asked,
        copy: Message,
        keep: impl Fn(Message) -> Result<(), ConsumerError>,
    ) -> Result<(), ConsumerError> {
        match self.stage.fate(asked, &self.name) {
            Fate::Done => keep(copy),
            Fate::Crash => pending().await,
            Fate::Twice => keep(copy.clone()).and_then(|()| keep(copy)),
            Fate::Unconfirmed { arrives } => {
                if arrives {
                    keep(copy)?;
                }
                Err(ConsumerError::new(unconfirmed()))
            }
            Fate::Cut => {
                self.cut();
                Err(ConsumerError::new(unconfirmed()))
            }
        }
    }

    /// Takes a delivery from the consumer, which has room for another then.
    fn settle(&self, tag: u64, then: impl FnOnce(&mut Queue, Entry) -> Option<Entry>) {
        let mut state = self.shared.lock();
        let Some((queue, entry)) = self.take(&mut state, tag) else {
            return;
        };
        let done = then(queue, entry);
        if queue.ready_count() > 0 {
            state.pump(self.queue);
        }
        // a message is taken apart without the others waiting
        let stage = state.stage.clone();
        drop(state);
        drop(done);
        stage.changed();
    }

    fn dead_letter_by_queue(&self, tag: u64) {
        let mut state = self.shared.lock();
        let Some((queue, entry)) = self.take(&mut state, tag) else {
            return;
        };
        if let Some(dead) = queue.dead_letter(entry, Death::Rejected) {
            state.dead_letter(self.queue, dead.rejected());
        }
        state.pump(self.queue);
        state.stage.changed();
    }

    /// The delivery of this tag, where it is not settled yet, and its queue.
    fn take<'s>(&self, state: &'s mut State, tag: u64) -> Option<(&'s mut Queue, Entry)> {
        let queue = state.get_mut(self.queue)?;
        let entry = queue.consumer(self.consumer)?.settle(tag)?;
        Some((queue, entry))
    }

    /// Brings a reply to where it goes.
    fn answer(
        &self,
        exchange: &str,
        routing_key: &str,
        reply: Message,
    ) -> Result<(), ConsumerError> {
        let stored = stored((exchange, routing_key), reply)?;
        let is_address = exchange.is_empty() && delivery::is_well_formed(routing_key);
        match self.shared.lock().publish(stored) {
            Ok(()) => Ok(()),
            // a client that waited there may have gone: it is no queue
            Err(MemoryError::Unroutable(_)) if is_address => Ok(()),
            Err(MemoryError::Unroutable(_) | MemoryError::Unbound { .. }) => {
                Err(ConsumerError::new(NobodyThere))
            }
            Err(error) => Err(ConsumerError::new(error)),
        }
    }

    /// Puts a copy into a queue of ours, which is declared where it is gone.
    fn keep(&self, queue: &Declared, copy: Message) -> Result<(), ConsumerError> {
        let stored = stored(("", &queue.name), copy)?;
        let arguments = QueueArguments::of(queue).map_err(ConsumerError::new)?;
        let mut state = self.shared.lock();
        state.declare_if_missing(&queue.name, &arguments);
        state.publish(stored).map_err(ConsumerError::new)
    }
}

fn stored(
    (exchange, routing_key): (&str, &str),
    mut copy: Message,
) -> Result<Stored, ConsumerError> {
    copy.properties = fit(copy.properties, MAX_PROPERTIES).map_err(ConsumerError::new)?;
    Stored::through(exchange, routing_key, copy).map_err(ConsumerError::new)
}

impl Acknowledger for MemoryAcknowledger {
    fn ack(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send {
        self.told(|| self.settle(tag.get(), |_, entry| Some(entry)))
    }

    fn requeue(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send {
        self.told(|| {
            self.settle(tag.get(), |queue, entry| {
                queue.requeue(entry);
                None
            });
        })
    }

    fn rests(&self) -> bool {
        true
    }

    async fn retry(&self, copy: Message, delay: Duration) -> Result<(), ConsumerError> {
        self.kept(Asked::Copy, copy, |copy| {
            match self.companions.waiting_queue(delay) {
                Some(queue) => self.keep(&queue, copy),
                None => {
                    let stored = stored(("", &self.name), copy)?;
                    let published = self.shared.lock().publish(stored);
                    published.map_err(ConsumerError::new)
                }
            }
        })
        .await
    }

    async fn dead_letter(&self, copy: Message) -> Result<(), ConsumerError> {
        match &self.companions.dead_letters {
            Some(queue) => {
                self.kept(Asked::Copy, copy, |copy| self.keep(queue, copy))
                    .await
            }
            None => Err(ConsumerError::new("there is no dead-letter queue")),
        }
    }

    async fn reply(&self, reply_to: &str, reply: Message) -> Result<(), ConsumerError> {
        self.reply_through("", reply_to, reply).await
    }

    async fn reply_through(
        &self,
        exchange: &str,
        routing_key: &str,
        reply: Message,
    ) -> Result<(), ConsumerError> {
        self.kept(Asked::Reply, reply, |reply| {
            self.answer(exchange, routing_key, reply)
        })
        .await
    }

    async fn lost(&self) {
        self.gone.cancelled().await;
    }

    fn reject(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send {
        self.told(|| self.dead_letter_by_queue(tag.get()))
    }
}
