use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use amqprs::channel::{BasicAckArguments, BasicNackArguments, Channel};
use futures_util::FutureExt;
use tokio::sync::Notify;
use tracing::debug;

use super::{
    copies::Copies, publisher::RabbitPublishError, replies::ReplyError,
    session::events::ChannelEvents, suspects::Suspects, window::Window,
};
use crate::{
    delivery::{Delivery, DeliveryTag},
    message::Message,
    settle::{Acknowledger, ConsumerError, NobodyThere, NotTaken},
};

/// Settles the deliveries of one channel. A handler that outlives the channel keeps this one, so
/// that its late acknowledgement never reaches the next channel.
///
/// Acknowledgements are noted here and sent by the channel's session: when half the prefetch is
/// settled, or when there is nothing more to do; where many come, a moment later.
pub(super) struct RabbitAcknowledger {
    channel: Channel,
    events: ChannelEvents,
    window: Mutex<Window>,
    unsent: AtomicUsize,
    half: usize,
    settled: Notify,
    /// The broker gave the channel's deliveries to others.
    lost: AtomicBool,
    /// What had not begun when shutdown did.
    returned: Mutex<Vec<u64>>,
    has_returned: AtomicBool,
    /// The broker delivers nothing more, so that what is given back does not come here again.
    may_return: AtomicBool,
    /// The source can leave messages with the broker while the queue is at rest.
    may_rest: bool,
    copies: Arc<Copies>,
    suspects: Arc<Suspects>,
    /// How many channels the consumer lost before this one, and lived on.
    cuts: u32,
}

impl RabbitAcknowledger {
    pub(super) fn new(
        channel: Channel,
        events: ChannelEvents,
        (prefetch, may_rest): (u16, bool),
        copies: Arc<Copies>,
        (suspects, cuts): (Arc<Suspects>, u32),
    ) -> Self {
        Self {
            channel,
            events,
            window: Mutex::new(Window::new()),
            unsent: AtomicUsize::new(0),
            half: usize::from(prefetch).div_ceil(2),
            settled: Notify::new(),
            lost: AtomicBool::new(false),
            returned: Mutex::default(),
            has_returned: AtomicBool::new(false),
            may_return: AtomicBool::new(false),
            may_rest,
            copies,
            suspects,
            cuts,
        }
    }

    /// Whether so many acknowledgements are held back that the broker should be told.
    pub(super) fn is_due(&self) -> bool {
        self.held() >= self.half
    }

    /// How many acknowledgements are held back, as far as this thread has seen.
    pub(super) fn held(&self) -> usize {
        self.unsent.load(Ordering::Relaxed)
    }

    /// Whether none up to this tag is with its handler.
    pub(super) fn has_settled_all_up_to(&self, tag: u64) -> bool {
        self.window().has_settled_all_up_to(tag)
    }

    /// Resolves when an acknowledgement is held back that was not yet flushed.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped: what it waited for is seen by the next call.
    pub(super) async fn settled(&self) {
        self.settled.notified().await;
    }

    /// Sends what is held back.
    ///
    /// # Errors
    ///
    /// The connection does not write any more.
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, the next call sends the rest.
    pub(super) async fn flush(&self) -> Result<(), amqprs::error::Error> {
        // what is held back by now goes out with this, and its wake-up would hold up the one who writes it
        let _ = self.settled.notified().now_or_never();
        let unsent = self.window().unsent();
        if !self.is_open() {
            return Ok(());
        }
        if let Some(tag) = unsent.up_to {
            let arguments = BasicAckArguments::new(tag, true);
            self.channel.basic_ack(arguments).await?;
            self.window().sent_up_to(tag);
        }
        for tag in unsent.singles {
            // a frame for a channel that is closed would cost the connection
            if !self.is_open() {
                return Ok(());
            }
            let arguments = BasicAckArguments::new(tag, false);
            self.channel.basic_ack(arguments).await?;
            self.window().sent(tag);
        }
        self.flush_returned().await?;
        let unsent = self.window().len_unsent();
        self.unsent.store(unsent, Ordering::Relaxed);
        if unsent > 0 {
            // settled while this was sent, maybe without a wake-up of its own
            self.settled.notify_one();
        }
        Ok(())
    }

    /// The broker delivers again.
    pub(super) fn may_not_return(&self) {
        self.may_return.store(false, Ordering::Relaxed);
    }

    /// The broker delivers nothing more: what had not begun goes back with the next flush.
    pub(super) fn may_return(&self) {
        self.may_return.store(true, Ordering::Relaxed);
        self.settled.notify_one();
    }

    /// Whether suspects are moved at the moment.
    pub(super) fn may_set_aside(&self) -> bool {
        self.suspects.may_move()
    }

    /// Gives back what had not begun, once that may be.
    async fn flush_returned(&self) -> Result<(), amqprs::error::Error> {
        if !self.may_return.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut returned = {
            let mut returned = self.returned();
            self.has_returned.store(false, Ordering::Relaxed);
            std::mem::take(&mut *returned)
        };
        returned.sort_unstable();
        for tag in returned {
            if !self.is_open() {
                return Ok(());
            }
            let arguments = BasicNackArguments::new(tag, false, true);
            self.channel.basic_nack(arguments).await?;
            self.window().rejected(tag);
        }
        Ok(())
    }

    /// Whether something is to go back that had not begun.
    pub(super) fn has_returned(&self) -> bool {
        self.has_returned.load(Ordering::Relaxed)
    }

    /// They go back, also if nothing is known of them but their tags.
    pub(super) fn put_back(&self, tags: impl IntoIterator<Item = u64>) {
        let mut returned = self.returned();
        returned.extend(tags);
        self.has_returned.store(true, Ordering::Relaxed);
        drop(returned);
        self.settled.notify_one();
    }

    fn returned(&self) -> MutexGuard<'_, Vec<u64>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is sent from here on.
    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Gives a delivery back to the queue, or to the queue's dead-letter exchange.
    async fn give_up(&self, tag: DeliveryTag, requeue: bool) {
        if !self.is_open() {
            debug!(
                tag = tag.get(),
                "not rejected: the channel is gone, the broker requeued the message"
            );
            return;
        }
        let arguments = BasicNackArguments::new(tag.get(), false, requeue);
        // cancel safety: a frame that was not queued is one less for a channel that is gone
        tokio::select! {
            biased;
            nacked = self.channel.basic_nack(arguments) => if let Err(error) = nacked {
                debug!(%error, "not rejected: the connection is gone, the broker will requeue");
            },
            () = self.events.ended() => {
                debug!("not rejected: the channel is gone, the broker will requeue");
            }
        }
        // after the frame is queued: a range must not reach over a tag that the broker still holds
        self.window().rejected(tag.get());
    }

    fn is_open(&self) -> bool {
        !self.lost.load(Ordering::Relaxed) && self.channel.is_open()
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acknowledger for RabbitAcknowledger {
    async fn ack(&self, tag: DeliveryTag) {
        let unsent = self.window().ack(tag.get());
        self.unsent.store(unsent, Ordering::Relaxed);
        if unsent == 1 {
            self.settled.notify_one();
        }
    }

    fn requeue(&self, tag: DeliveryTag) -> impl Future<Output = ()> + Send {
        // boxed, since each message would be as large
        Box::pin(self.give_up(tag, true))
    }

    async fn give_back(&self, tag: DeliveryTag) {
        self.put_back([tag.get()]);
    }

    fn rests(&self) -> bool {
        self.may_rest
    }

    async fn is_suspect(&self, delivery: &Delivery, is_ordered: bool) -> bool {
        self.suspects
            .is_suspect(delivery, is_ordered, self.cuts)
            .await
    }

    fn outlived(&self) {
        self.suspects.outlived();
    }

    async fn set_aside(&self, copy: Message) -> Result<(), ConsumerError> {
        self.suspects.set_aside(copy).await
    }

    async fn retry(&self, copy: Message, delay: Duration) -> Result<(), ConsumerError> {
        self.copies.retry(copy, delay).await.map_err(not_kept)
    }

    async fn dead_letter(&self, copy: Message) -> Result<(), ConsumerError> {
        self.copies.dead_letter(copy).await.map_err(not_kept)
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
        let sent = self.copies.reply(exchange, routing_key, reply).await;
        sent.map_err(not_sent)
    }

    async fn lost(&self) {
        self.events.ended().await;
    }

    async fn reject(&self, tag: DeliveryTag) {
        self.give_up(tag, false).await;
    }
}

/// What RabbitMQ's reason begins with where it is the message that it does not take.
const OF_THE_MESSAGE: &str = "PRECONDITION_FAILED";

/// Why a reply was not sent, as the settlement hears it.
pub(super) fn not_sent(error: ReplyError) -> ConsumerError {
    match error {
        ReplyError::Publish(
            RabbitPublishError::Unroutable(_) | RabbitPublishError::Unbound { .. },
        ) => ConsumerError::new(NobodyThere),
        ReplyError::Publish(error) => not_kept(error),
        error => ConsumerError::new(error),
    }
}

/// Why a copy was not kept, as the settlement hears it.
pub(super) fn not_kept(error: RabbitPublishError) -> ConsumerError {
    match error {
        // told by its type, for the settlement to find another way
        RabbitPublishError::NoRoom(error) => ConsumerError::new(error),
        // a right that is missing, for one, is not the message's fault
        RabbitPublishError::Rejected(reason) if reason.starts_with(OF_THE_MESSAGE) => {
            ConsumerError::new(NotTaken(reason))
        }
        error => ConsumerError::new(error),
    }
}
