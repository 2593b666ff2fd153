use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use amqprs::{
    Ack, BasicProperties, Cancel, CloseChannel, Nack, Return, callbacks::ChannelCallback,
    channel::Channel, error::Error,
};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    RabbitPublishError,
    returns::Returns,
    unconfirmed::{OnLoss, Unconfirmed},
};
use crate::{
    message::{Addressed, Routing},
    rabbit::{guard::Condition, traffic::Traffic},
};

/// The messages of one channel that the broker has not confirmed yet.
///
/// RabbitMQ counts them, from 1, and confirms by number. A message that no queue took comes back
/// before its confirm, but without its number: every unconfirmed message with its address and its
/// message id counts as returned. Without ids that is one too many now and then, which duplicates
/// and never loses. Both are found without looking through what is unconfirmed.
///
/// Source: [publisher confirms](https://www.rabbitmq.com/docs/confirms#publisher-confirms).
#[derive(Debug, Default)]
pub(in crate::rabbit) struct Confirms {
    state: Mutex<State>,
    closed: CancellationToken,
    drained: Notify,
    traffic: Arc<Traffic>,
}

#[derive(Debug, Default)]
struct State {
    /// How many are confirmed of those that were published, up to the first one that waits.
    settled: u64,
    /// In the order of their numbers; gone are those that were confirmed before earlier ones.
    waiting: VecDeque<Option<Box<Unconfirmed>>>,
    /// Which of them can come back, and as what.
    returns: Returns,
    /// What is to be sent on another channel, in the order of publishing.
    kept: VecDeque<Box<Unconfirmed>>,
    closed: Option<String>,
    /// The broker closed the channel, for a message that it does not take.
    is_refusal: bool,
    /// How many were refused since one was taken.
    refused: u32,
}

/// A full queue refuses, too, and is no reason to open a channel for each message.
const MOST_REFUSED: u32 = 3;

impl Confirms {
    pub(super) fn new(traffic: Arc<Traffic>) -> Self {
        Self {
            traffic,
            ..Self::default()
        }
    }

    /// Whether the channel takes no message any more: RabbitMQ 3.10 refuses all that is published on it
    /// to a quorum queue whose leader was lost as the channel was opened, and takes them on another.
    pub(in crate::rabbit) fn is_refusing(&self) -> bool {
        self.lock().refused >= MOST_REFUSED
    }

    /// Counts the message that is published next, and hands out its body; gives the message back, whole,
    /// where the channel is closed.
    pub(super) fn expect(&self, mut message: Box<Unconfirmed>) -> Result<Bytes, Box<Unconfirmed>> {
        let mut state = self.lock();
        if state.closed.is_some() {
            return Err(message);
        }
        message.returned = false;
        message.number = state.settled + state.waiting.len() as u64 + 1;
        if message.addressed.routing == Routing::Mandatory {
            let Addressed {
                exchange,
                routing_key,
                message: content,
                ..
            } = &message.addressed;
            let id = content.properties().message_id();
            message.identity = state.returns.identity(exchange, routing_key, id);
            state.returns.expect(message.identity, message.number);
        }
        // the wait of the broker's own begins here, however long the message waited for a connection
        message.since = Instant::now();
        let body = &mut message.addressed.message.body;
        message.on_its_way = Some(self.traffic.send(body.len()));
        let body = match message.on_loss {
            OnLoss::Fail => mem::take(body),
            OnLoss::SendAgain | OnLoss::FailUnlessRefused => body.clone(),
        };
        state.waiting.push_back(Some(message));
        Ok(body)
    }

    /// Resolves once the channel is closed.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub(in crate::rabbit) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Resolves once nothing waits for its confirm any more, or the channel is closed.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub(in crate::rabbit) async fn drained(&self) {
        loop {
            let drained = self.drained.notified();
            if self.is_drained() {
                return;
            }
            drained.await;
        }
    }

    pub(in crate::rabbit) fn is_drained(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    pub(in crate::rabbit) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Since when the first message waits for its confirm.
    pub(in crate::rabbit) fn oldest(&self) -> Option<Instant> {
        let state = self.lock();
        state.waiting.front()?.as_ref().map(|first| first.since)
    }

    /// Why the broker closed the channel, where it did: one of the messages is at fault.
    pub(in crate::rabbit) fn refusal(&self) -> Option<String> {
        let state = self.lock();
        state.closed.clone().filter(|_| state.is_refusal)
    }

    /// What a closed channel has not confirmed and another is to send, in order.
    pub(in crate::rabbit) fn take_kept(&self) -> VecDeque<Box<Unconfirmed>> {
        mem::take(&mut self.lock().kept)
    }

    /// What amqprs is to tell; `condition` tells why the connection is lost.
    pub(super) fn callback(self: &Arc<Self>, condition: Condition) -> ConfirmCallback {
        ConfirmCallback(self.clone(), condition)
    }

    fn settle(&self, number: u64, multiple: bool, confirmed: bool) {
        let mut state = self.lock();
        state.refused = if confirmed { 0 } else { state.refused + 1 };
        let settled = state.take(number, multiple);
        let is_drained = state.waiting.is_empty();
        drop(state);
        if is_drained {
            self.drained.notify_waiters();
        }
        for unconfirmed in settled {
            let result = match (unconfirmed.returned, confirmed) {
                (true, _) => Err(unconfirmed.unroutable()),
                (false, true) => Ok(()),
                (false, false) => Err(RabbitPublishError::Refused),
            };
            unconfirmed.settle(result);
        }
    }

    fn returned(&self, exchange: &str, routing_key: &str, message_id: Option<&str>) {
        let mut state = self.lock();
        let State {
            settled,
            waiting,
            returns,
            ..
        } = &mut *state;
        let identity = returns.identity(exchange, routing_key, message_id);
        for number in returns.of(identity) {
            let at = number.checked_sub(*settled + 1);
            let at = at.and_then(|at| usize::try_from(at).ok());
            let Some(Some(waiting)) = at.and_then(|at| waiting.get_mut(at)) else {
                continue;
            };
            // those before it are by then, too
            if waiting.returned {
                return;
            }
            waiting.returned = waiting.is(exchange, routing_key, message_id);
        }
    }

    /// The broker closed the channel.
    fn refuse(&self, reason: &str) {
        self.lock().is_refusal = true;
        self.close(reason);
    }

    pub(in crate::rabbit) fn close(&self, reason: &str) {
        let mut state = self.lock();
        let reason = state
            .closed
            .get_or_insert_with(|| reason.to_owned())
            .clone();
        let waiting = mem::take(&mut state.waiting).into_iter().flatten();
        let waiting = waiting.map(|mut waiting| {
            waiting.on_its_way = None;
            waiting
        });
        let is_refusal = state.is_refusal;
        let (kept, lost): (VecDeque<_>, VecDeque<_>) =
            waiting.partition(|waiting| match waiting.on_loss {
                OnLoss::SendAgain => true,
                OnLoss::FailUnlessRefused => is_refusal,
                OnLoss::Fail => false,
            });
        state.kept.extend(kept);
        state.returns.clear();
        drop(state);
        for unconfirmed in lost {
            unconfirmed.settle(Err(RabbitPublishError::Lost(reason.clone())));
        }
        self.drained.notify_waiters();
        self.closed.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out the message of this number, or all up to it.
    fn take(&mut self, number: u64, multiple: bool) -> VecDeque<Box<Unconfirmed>> {
        let Some(at) = number
            .checked_sub(self.settled + 1)
            .and_then(|at| usize::try_from(at).ok())
            .filter(|at| *at < self.waiting.len())
        else {
            return VecDeque::new();
        };
        let mut taken = VecDeque::new();
        if multiple {
            taken.extend(self.waiting.drain(..=at).flatten());
            self.settled = number;
        } else {
            taken.extend(self.waiting[at].take());
        }
        while matches!(self.waiting.front(), Some(None)) {
            self.waiting.pop_front();
            self.settled += 1;
        }
        let (settled, waiting) = (self.settled, &self.waiting);
        let is_waiting = |number: u64| {
            let at = number.checked_sub(settled + 1);
            let at = at.and_then(|at| usize::try_from(at).ok());
            at.is_some_and(|at| matches!(waiting.get(at), Some(Some(_))))
        };
        for unconfirmed in &taken {
            if unconfirmed.addressed.routing == Routing::Mandatory {
                self.returns.settle(unconfirmed.identity, is_waiting);
            }
        }
        taken
    }
}

/// What amqprs tells of a publishing channel. It is dropped with the channel's task, also when
/// that one ends without a word.
pub(super) struct ConfirmCallback(Arc<Confirms>, Condition);

impl Drop for ConfirmCallback {
    fn drop(&mut self) {
        match self.1.ended() {
            Some(ended) => self.0.close(&ended.to_string()),
            None => self.0.close("the connection was lost"),
        }
    }
}

#[async_trait]
impl ChannelCallback for ConfirmCallback {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), Error> {
        warn!(
            reason = close.reply_text(),
            "the broker closed the publishing channel"
        );
        self.0.refuse(close.reply_text());
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), Error> {
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.0.settle(ack.delivery_tag(), ack.mutiple(), true);
    }

    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        self.0.settle(nack.delivery_tag(), nack.multiple(), false);
    }

    async fn publish_return(
        &mut self,
        _: &Channel,
        returned: Return,
        properties: BasicProperties,
        _: Vec<u8>,
    ) {
        let message_id = properties.message_id().map(String::as_str);
        self.0
            .returned(returned.exchange(), returned.routing_key(), message_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, Properties};

    type Confirm = std::pin::Pin<Box<dyn Future<Output = Result<(), RabbitPublishError>>>>;

    fn expect(confirms: &Confirms, queue: &str, id: &str) -> Confirm {
        let properties = Properties::new().with_message_id(id).expect("it is short");
        let message = Message::new("").with_properties(properties);
        let addressed = Addressed::to_queue(queue, message);
        let (unconfirmed, confirm) = Unconfirmed::new(addressed, OnLoss::Fail);
        assert!(confirms.expect(unconfirmed).is_ok());
        Box::pin(confirm)
    }

    #[tokio::test]
    async fn a_range_confirms_all_up_to_its_number() {
        let confirms = Confirms::default();
        let [first, second, third] = ["1", "2", "3"].map(|id| expect(&confirms, "q", id));
        confirms.settle(2, true, true);
        assert!(first.await.is_ok());
        assert!(second.await.is_ok());
        confirms.settle(3, false, false);
        assert!(matches!(third.await, Err(RabbitPublishError::Refused)));
    }

    #[tokio::test]
    async fn a_channel_that_takes_no_message_any_more_is_given_up() {
        let confirms = Confirms::default();
        let refuse = |number| {
            let _confirm = expect(&confirms, "q", "1");
            confirms.settle(number, false, false);
        };
        refuse(1);
        refuse(2);
        assert!(!confirms.is_refusing(), "the queue may be full");
        let _confirm = expect(&confirms, "q", "3");
        confirms.settle(3, false, true);
        for number in 4..7 {
            assert!(!confirms.is_refusing());
            let _confirm = expect(&confirms, "q", "n");
            confirms.settle(number, false, false);
        }
        assert!(confirms.is_refusing());
    }

    #[test]
    fn what_a_closed_channel_does_not_take_is_given_back_whole() {
        let confirms = Confirms::default();
        confirms.close("the connection was lost");
        for on_loss in [OnLoss::Fail, OnLoss::SendAgain] {
            let addressed = Addressed::to_queue("q", Message::new("body"));
            let (unconfirmed, _confirm) = Unconfirmed::new(addressed, on_loss);
            let back = confirms.expect(unconfirmed).unwrap_err();
            assert_eq!(back.addressed.message.body(), "body");
        }
    }

    #[tokio::test]
    async fn a_returned_message_is_not_confirmed_and_others_are() {
        let confirms = Confirms::default();
        let gone = expect(&confirms, "gone", "1");
        let there = expect(&confirms, "there", "1");
        let back = expect(&confirms, "gone", "2");
        confirms.returned("", "gone", Some("1"));
        confirms.settle(3, true, true);
        assert!(matches!(gone.await, Err(RabbitPublishError::Unroutable(_))));
        assert!(there.await.is_ok());
        assert!(back.await.is_ok());
    }

    #[tokio::test]
    async fn what_was_not_confirmed_is_lost_with_the_channel_or_kept_in_order() {
        let confirms = Arc::new(Confirms::default());
        let waiting = expect(&confirms, "q", "1");
        let mut kept = Vec::new();
        for id in ["2", "3"] {
            let addressed = Addressed::to_queue(id, Message::new(""));
            let (unconfirmed, confirm) = Unconfirmed::new(addressed, OnLoss::SendAgain);
            assert!(confirms.expect(unconfirmed).is_ok());
            kept.push(confirm);
        }
        drop(confirms.callback(Condition::of_nothing()));
        assert!(matches!(waiting.await, Err(RabbitPublishError::Lost(_))));
        assert!(confirms.is_closed());
        let again = confirms.take_kept().into_iter();
        let queues: Vec<_> = again
            .map(|kept| kept.addressed.routing_key.clone())
            .collect();
        assert_eq!(queues, ["2", "3"]);
    }

    #[tokio::test]
    async fn all_that_a_returned_message_may_be_count_as_returned() {
        let confirms = Confirms::default();
        let done = expect(&confirms, "q", "same");
        let [first, second] = [(); 2].map(|()| expect(&confirms, "q", "same"));
        let other = expect(&confirms, "q", "other");
        confirms.settle(1, false, true);
        assert!(done.await.is_ok());
        confirms.returned("", "q", Some("same"));
        let late = expect(&confirms, "q", "same");
        confirms.settle(5, true, true);
        for returned in [first, second] {
            assert!(matches!(
                returned.await,
                Err(RabbitPublishError::Unroutable(_))
            ));
        }
        assert!(other.await.is_ok());
        assert!(late.await.is_ok());
        assert!(confirms.lock().returns.is_empty());
    }

    #[tokio::test]
    async fn what_is_returned_is_found_among_any_number_in_the_same_time() {
        const MESSAGES: u64 = 100_000;

        let confirms = Confirms::default();
        let waiting: Vec<_> = (0..MESSAGES)
            .map(|id| expect(&confirms, "gone", &id.to_string()))
            .collect();
        let start = Instant::now();
        for id in 0..MESSAGES {
            confirms.returned("", "gone", Some(&id.to_string()));
        }
        // a search through all of them takes minutes
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
        confirms.settle(MESSAGES, true, true);
        for confirm in waiting {
            assert!(matches!(
                confirm.await,
                Err(RabbitPublishError::Unroutable(_))
            ));
        }
    }

    #[test]
    fn a_copy_is_sent_again_where_the_broker_refused_one_of_them_and_lost_with_the_connection() {
        let copy = |confirms: &Confirms| {
            let addressed = Addressed::to_queue("q", Message::new("body"));
            let (unconfirmed, _) = Unconfirmed::new(addressed, OnLoss::FailUnlessRefused);
            assert!(confirms.expect(unconfirmed).is_ok());
        };
        let confirms = Confirms::default();
        copy(&confirms);
        confirms.close("the connection was lost");
        assert!(confirms.take_kept().is_empty());
        let confirms = Confirms::default();
        copy(&confirms);
        confirms.refuse("PRECONDITION_FAILED");
        let kept = confirms.take_kept();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].addressed.message.body(), "body");
    }
}
