//! A queue at rest, whose messages wait in the broker.

use std::time::Duration;

use amqprs::channel::{BasicCancelArguments, Channel, ConsumerMessage};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, timeout},
};
use tracing::debug;

use super::{
    Lost, Session,
    subscription::{Subscription, consume},
};
use crate::{dispatcher::Dispatcher, rabbit::connection::CLOSE_TIMEOUT};

/// How long after a rest another session is opened in the place of the one that was at rest.
pub(super) const RENEW_AFTER: Duration = Duration::from_secs(1);

impl Session {
    /// Has the broker deliver one message and no more, or, once all that had not begun is back in the queue, as many as
    /// ever.
    pub(super) async fn rest_or_resume(&mut self) -> Result<(), Lost> {
        self.flush().await?;
        let standby = self.standby.take();
        let mut subscription = self.subscription.clone();
        if standby.is_none() {
            subscription.prefetch = 1;
        }
        let consuming = self.link.answer(consume(&self.channel, &subscription));
        let Ok(Ok((consumer_tag, deliveries))) = consuming.await else {
            return Err(self.lost());
        };
        let Some(standby) = standby else {
            self.standby = Some(deliveries);
            self.cancel();
            self.consumer_tag = consumer_tag;
            return Ok(());
        };
        let arguments = BasicCancelArguments::new(&self.consumer_tag);
        let cancelling = self.link.answer(self.channel.basic_cancel(arguments));
        if !matches!(cancelling.await, Ok(Ok(_))) {
            return Err(self.lost());
        }
        self.consumer_tag = consumer_tag;
        self.acknowledger.may_not_return();
        self.drained = false;
        self.renew_at = Some(Instant::now() + RENEW_AFTER);
        let reopened = self.inbox.reopen(standby, deliveries);
        reopened.map_err(|odd| self.wire().odd(&odd))
    }

    /// Whether something is to go back though the queue does not rest here: what a handler was not to begin since the
    /// queue was at rest, where that was over before it began here.
    pub(super) fn has_returned_late(&self) -> bool {
        !self.is_leaving() && self.acknowledger.has_returned()
    }

    /// Gives that back, unless the program stops: then all goes back at once.
    pub(super) async fn return_late(&self, dispatcher: &Dispatcher) -> Result<(), Lost> {
        if dispatcher.is_stopped() {
            return Ok(());
        }
        self.acknowledger.may_return();
        let flushed = self.flush().await;
        self.acknowledger.may_not_return();
        flushed
    }

    /// Consumes one message of the queue by a channel of its own while this one is exchanged for another, where the
    /// broker may delete a queue without a consumer.
    pub(in crate::rabbit) async fn hold_queue(&self) -> Option<Holder> {
        self.renew_at?;
        let channel = self.link.open_channel().await.ok()?;
        let one = Subscription {
            prefetch: 1,
            ..self.subscription.clone()
        };
        let consuming = self.link.answer(consume(&channel, &one)).await;
        let (_, deliveries) = consuming.ok()?.ok()?;
        Some(Holder {
            channel,
            _deliveries: deliveries,
        })
    }
}

/// Holds a queue; what is delivered to it goes back with its channel.
pub(in crate::rabbit) struct Holder {
    channel: Channel,
    /// To be kept: what is delivered to nobody, the client takes for an error.
    _deliveries: UnboundedReceiver<ConsumerMessage>,
}

impl Holder {
    pub(in crate::rabbit) async fn close(self) {
        if timeout(CLOSE_TIMEOUT, self.channel.close()).await.is_err() {
            debug!("the broker did not answer the closing of the channel");
        }
    }
}
