use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use amqprs::{
    Ack, BasicProperties, Cancel, CloseChannel, Nack, Return, callbacks::ChannelCallback,
    channel::Channel, error::Error,
};
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

/// The end of a channel or of its consumer, and why the broker brought it about, where it did.
#[derive(Clone, Debug, Default)]
pub(in crate::rabbit) struct ChannelEvents {
    ended: CancellationToken,
    /// What `ended` says, for each message to look at without a lock.
    is_ended: Arc<AtomicBool>,
    reason: Arc<Mutex<Option<Closed>>>,
}

/// The broker's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(in crate::rabbit) code: u16,
    pub(in crate::rabbit) text: String,
}

impl Closed {
    /// AMQP's reply code for what does not exist.
    pub(in crate::rabbit) const NOT_FOUND: u16 = 404;

    /// AMQP's reply code for what belongs to another connection.
    pub(in crate::rabbit) const RESOURCE_LOCKED: u16 = 405;

    /// AMQP's reply code for what does not fit.
    pub(in crate::rabbit) const PRECONDITION_FAILED: u16 = 406;

    /// AMQP's reply code for what a user may not.
    const ACCESS_REFUSED: u16 = 403;

    /// AMQP's reply code for what makes no sense to the broker, such as a type of exchanges that it does not know. RabbitMQ
    /// closes the whole connection by it.
    pub(in crate::rabbit) const COMMAND_INVALID: u16 = 503;

    /// AMQP's reply code for what a broker fails at.
    const INTERNAL_ERROR: u16 = 541;

    /// There is no such queue.
    pub(in crate::rabbit) fn is_not_found(&self) -> bool {
        self.code == Self::NOT_FOUND && !self.is_home_down()
    }

    /// The user has not the right.
    pub(in crate::rabbit) fn is_no_right(&self) -> bool {
        self.code == Self::ACCESS_REFUSED
    }

    /// There are as many as there may be: RabbitMQ has no code of its own for that.
    pub(in crate::rabbit) fn is_limit(&self) -> bool {
        self.text.contains(" limit ") && !self.text.contains("inequivalent arg")
    }

    /// It may be otherwise soon, without anybody's help.
    pub(in crate::rabbit) fn is_passing(&self) -> bool {
        self.is_home_down() || self.is_ill()
    }

    /// The broker failed within itself.
    pub(in crate::rabbit) fn is_ill(&self) -> bool {
        self.code == Self::INTERNAL_ERROR
    }

    /// The queue exists, but the node that holds it is down: RabbitMQ says 404 to that, too.
    pub(in crate::rabbit) fn is_home_down(&self) -> bool {
        self.code == Self::NOT_FOUND && self.text.contains("home node")
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ChannelEvents {
    pub(in crate::rabbit) async fn register(channel: &Channel) -> Result<Self, Error> {
        let events = Self::default();
        channel.register_callback(Callback(events.clone())).await?;
        Ok(events)
    }

    /// Resolves when nothing more will come.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub(in crate::rabbit) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether nothing more will come.
    pub(in crate::rabbit) fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Relaxed)
    }

    /// What the broker said, where it did.
    pub(in crate::rabbit) fn closed(&self) -> Option<Closed> {
        self.reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn end(&self, reason: Closed) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        self.set_ended();
    }

    fn set_ended(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
        self.ended.cancel();
    }
}

/// What amqprs tells of a channel. It is dropped with the channel's task, also when that one ends
/// without a word.
struct Callback(ChannelEvents);

impl Drop for Callback {
    fn drop(&mut self) {
        self.0.set_ended();
    }
}

#[async_trait]
impl ChannelCallback for Callback {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Result<(), Error> {
        self.0.end(Closed {
            code: close.reply_code(),
            text: close.reply_text().clone(),
        });
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), Error> {
        self.0.end(Closed {
            code: 0,
            text: "the broker cancelled the consumer: the queue was deleted or moved".to_owned(),
        });
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, _: Ack) {}

    async fn publish_nack(&mut self, _: &Channel, _: Nack) {}

    async fn publish_return(&mut self, _: &Channel, _: Return, _: BasicProperties, _: Vec<u8>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_whose_node_is_down_is_not_one_that_is_missing() {
        let closed = |text: &str| Closed {
            code: Closed::NOT_FOUND,
            text: text.to_owned(),
        };
        let down = "NOT_FOUND - home node 'rabbit@b' of durable queue 'q' in vhost '/' is down or \
                    inaccessible";
        assert!(closed(down).is_home_down());
        assert!(!closed("NOT_FOUND - no queue 'q' in vhost '/'").is_home_down());
    }
}
