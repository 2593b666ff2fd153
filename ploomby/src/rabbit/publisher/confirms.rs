use std::{
    collections::BTreeMap,
    future::Future,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use amqprs::{
    Ack, BasicProperties, Cancel, CloseChannel, Nack, Return, callbacks::ChannelCallback,
    channel::Channel, error::Error,
};
use async_trait::async_trait;
use tokio::sync::oneshot;
use tracing::warn;

use super::RabbitPublishError;

/// The messages of one channel that the broker has not confirmed yet.
///
/// RabbitMQ counts them, from 1, and confirms by number. A message that no queue took comes back
/// before its confirm, but without its number: every unconfirmed message for the same queue then
/// counts as returned. That is one too many now and then, which duplicates and never loses.
///
/// Source: [publisher confirms](https://www.rabbitmq.com/docs/confirms#publisher-confirms).
#[derive(Debug, Default)]
pub(super) struct Confirms(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    published: u64,
    waiting: BTreeMap<u64, Waiting>,
    closed: Option<String>,
    /// How many were refused since one was taken.
    refused: u32,
}

#[derive(Debug)]
struct Waiting {
    queue: String,
    returned: bool,
    confirm: oneshot::Sender<Result<(), RabbitPublishError>>,
}

/// A full queue refuses, too, and is no reason to open a channel for each message.
const MOST_REFUSED: u32 = 3;

impl Confirms {
    /// Whether the channel is good for one more message.
    ///
    /// One that takes none any more is not: RabbitMQ 3.10 refuses all that is published on it to a
    /// quorum queue whose leader was lost as the channel was opened, and takes them on another.
    pub(super) fn is_usable(&self) -> bool {
        let state = self.lock();
        state.closed.is_none() && state.refused < MOST_REFUSED
    }

    /// Counts the message that is published next, and waits for its confirm.
    pub(super) fn expect(
        &self,
        queue: &str,
    ) -> impl Future<Output = Result<(), RabbitPublishError>> + use<> {
        let (confirm, confirmed) = oneshot::channel();
        let mut state = self.lock();
        if state.closed.is_none() {
            state.published += 1;
            let number = state.published;
            let waiting = Waiting {
                queue: queue.to_owned(),
                returned: false,
                confirm,
            };
            state.waiting.insert(number, waiting);
        }
        drop(state);
        async {
            confirmed.await.unwrap_or_else(|_| {
                Err(RabbitPublishError::Lost(
                    "the channel was closed".to_owned(),
                ))
            })
        }
    }

    pub(super) fn callback(self: &Arc<Self>) -> ConfirmCallback {
        ConfirmCallback(self.clone())
    }

    fn settle(&self, number: u64, multiple: bool, confirmed: bool) {
        let mut state = self.lock();
        state.refused = if confirmed { 0 } else { state.refused + 1 };
        let settled = if multiple {
            let rest = state.waiting.split_off(&(number + 1));
            mem::replace(&mut state.waiting, rest)
        } else {
            state.waiting.remove_entry(&number).into_iter().collect()
        };
        drop(state);
        for Waiting {
            queue,
            returned,
            confirm,
        } in settled.into_values()
        {
            // whoever waited may have given up
            let _ = confirm.send(match (returned, confirmed) {
                (true, _) => Err(RabbitPublishError::Unroutable(queue)),
                (false, true) => Ok(()),
                (false, false) => Err(RabbitPublishError::Refused),
            });
        }
    }

    fn returned(&self, queue: &str) {
        for waiting in self.lock().waiting.values_mut() {
            waiting.returned |= waiting.queue == queue;
        }
    }

    fn close(&self, reason: &str) {
        let mut state = self.lock();
        let reason = state
            .closed
            .get_or_insert_with(|| reason.to_owned())
            .clone();
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        for Waiting { confirm, .. } in waiting.into_values() {
            let _ = confirm.send(Err(RabbitPublishError::Lost(reason.clone())));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What amqprs tells of a publishing channel. It is dropped with the channel's task, also when
/// that one ends without a word.
pub(super) struct ConfirmCallback(Arc<Confirms>);

impl Drop for ConfirmCallback {
    fn drop(&mut self) {
        self.0.close("the connection was lost");
    }
}

#[async_trait]
impl ChannelCallback for ConfirmCallback {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), Error> {
        warn!(
            reason = close.reply_text(),
            "the broker closed the publishing channel"
        );
        self.0.close(close.reply_text());
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
        _: BasicProperties,
        _: Vec<u8>,
    ) {
        self.0.returned(returned.routing_key());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_range_confirms_all_up_to_its_number() {
        let confirms = Confirms::default();
        let (first, second, third) = (
            confirms.expect("q"),
            confirms.expect("q"),
            confirms.expect("q"),
        );
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
            let _confirm = confirms.expect("q");
            confirms.settle(number, false, false);
        };
        refuse(1);
        refuse(2);
        assert!(confirms.is_usable(), "the queue may be full");
        let _confirm = confirms.expect("q");
        confirms.settle(3, false, true);
        for number in 4..7 {
            assert!(confirms.is_usable());
            let _confirm = confirms.expect("q");
            confirms.settle(number, false, false);
        }
        assert!(!confirms.is_usable());
    }

    #[tokio::test]
    async fn a_returned_message_is_not_confirmed() {
        let confirms = Confirms::default();
        let (gone, there) = (confirms.expect("gone"), confirms.expect("there"));
        confirms.returned("gone");
        confirms.settle(2, true, true);
        assert!(matches!(gone.await, Err(RabbitPublishError::Unroutable(_))));
        assert!(there.await.is_ok());
    }

    #[tokio::test]
    async fn what_was_not_confirmed_is_lost_with_the_channel() {
        let confirms = Arc::new(Confirms::default());
        let waiting = confirms.expect("q");
        drop(confirms.callback());
        assert!(matches!(waiting.await, Err(RabbitPublishError::Lost(_))));
        assert!(!confirms.is_usable());
    }
}
