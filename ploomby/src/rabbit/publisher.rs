use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use thiserror::Error;
use tokio::time::{error::Elapsed, timeout};
use tracing::{info, warn};

pub(crate) use self::unconfirmed::Confirm;
pub(super) use self::{
    channel::ConfirmChannel,
    unconfirmed::{OnLoss, Unconfirmed},
};
use super::{
    connection::ConnectError,
    line::{LazyLine, LineConnection},
    topology::{self, TopologyError},
};
use crate::{
    consumer::companions::Declared,
    message::{Addressed, Message, NoRoom, PropertyError, header_names as headers},
};

mod channel;
mod confirms;
mod returns;
mod unconfirmed;

/// How long a confirm may take; the broker may have to write to disk, on several nodes.
pub(super) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// A confirm that takes longer is worth a line in the log.
const SLOW_CONFIRM: Duration = Duration::from_secs(5);

/// How long the broker may take to say whether the user may publish.
const RIGHT_TIMEOUT: Duration = Duration::from_secs(4);

/// Publishes copies and replies to queues, and waits until the broker has taken responsibility.
///
/// It is a [`Line`] whose messages do not outlast its channel. One that the broker refuses fails alone.
#[derive(Debug)]
pub(crate) struct ConfirmedPublisher {
    line: LazyLine,
    /// The last confirm took long, and the log says so.
    slow: AtomicBool,
    /// It was asked whether the user may publish.
    is_checked: AtomicBool,
}

impl ConfirmedPublisher {
    /// Nothing is opened before the first message.
    pub(crate) fn new(connection: Arc<LineConnection>) -> Self {
        Self {
            line: LazyLine::new(connection),
            slow: AtomicBool::new(false),
            is_checked: AtomicBool::new(false),
        }
    }

    /// Publishes to a queue, through the default exchange.
    ///
    /// # Errors
    ///
    /// The message may not be in the queue; after [`RabbitPublishError::Overdue`] and
    /// [`RabbitPublishError::Lost`] it may be there all the same.
    pub(crate) async fn publish(
        &self,
        queue: &str,
        message: Message,
    ) -> Result<(), RabbitPublishError> {
        if queue.len() > 255 {
            return Err(RabbitPublishError::QueueName);
        }
        let line = self.line.get();
        let bytes = message.body().len();
        let copy = Addressed::to_queue(queue, message);
        // one limit for all: a broker without memory takes neither channels nor messages
        let mut publishing = Box::pin(line.publish_copy(copy, CONFIRM_TIMEOUT));
        let published = match timeout(SLOW_CONFIRM, &mut publishing).await {
            Ok(published) => published,
            Err(_) => {
                if !self.slow.swap(true, Ordering::Relaxed) {
                    match self
                        .line
                        .connection()
                        .shared()
                        .traffic()
                        .is_leaving(SLOW_CONFIRM)
                    {
                        true => warn!(
                            queue,
                            bytes,
                            "a message has been on its way for {SLOW_CONFIRM:?}: the line to the broker is slow"
                        ),
                        false => warn!(
                            queue,
                            "the broker has not confirmed a message for {SLOW_CONFIRM:?}: it may be \
                             short of memory or disk, or lack the majority of a quorum queue"
                        ),
                    }
                }
                publishing.await
            }
        };
        if published.is_ok() && self.slow.swap(false, Ordering::Relaxed) {
            info!(queue, "the broker confirms messages again");
        }
        published
    }

    /// Says in the log, once, if the user may not publish to queues. Otherwise that would show at the first message
    /// that fails. It sends a message that no queue takes: there is no other way to ask.
    pub(super) async fn check_right(&self) {
        if self.is_checked.swap(true, Ordering::Relaxed) {
            return;
        }
        let nowhere = format!("ploomby-nowhere-{:016x}", fastrand::u64(..));
        let asking = self.publish(&nowhere, Message::new(""));
        // a broker that takes no messages at the moment answers later, and nobody waits for that
        let asked = timeout(RIGHT_TIMEOUT, asking).await;
        if let Ok(Err(RabbitPublishError::Rejected(reason))) = asked {
            let user = self.line.connection().shared().user();
            warn!(
                user,
                reason,
                "the user may not publish to queues: a message that fails cannot be kept or tried again, and is \
                 handled anew until it succeeds; give the user the right `write` for `amq.default`"
            );
        }
    }

    /// Publishes the copy of a consumed message.
    pub(super) async fn keep(&self, queue: &str, copy: Message) -> Result<(), RabbitPublishError> {
        self.publish(queue, self.own(copy)?).await
    }

    /// Declares a queue of ours.
    pub(super) async fn declare(&self, queue: &Declared) -> Result<(), RabbitPublishError> {
        Ok(topology::declare(self.line.connection().shared(), queue).await?)
    }

    pub(super) fn connection(&self) -> &super::connection::SharedConnection {
        self.line.connection().shared()
    }

    pub(crate) async fn close(&self) {
        self.line.close().await;
    }

    /// RabbitMQ refuses messages in the name of another user than the connection's, with an error
    /// that closes the channel. The copy tells the user in a header.
    fn own(&self, copy: Message) -> Result<Message, PropertyError> {
        match copy.properties.user_id() {
            Some(user) if user != self.line.connection().shared().user() => {
                let mut fields = copy.properties.headers().to_fields();
                fields.set_text(headers::USER_ID, user)?;
                Ok(Message {
                    properties: copy.properties.for_copy(fields, false)?,
                    body: copy.body,
                })
            }
            _ => Ok(copy),
        }
    }
}

/// Why a message is not known to be in its queue.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum RabbitPublishError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// The same, for each message that waits.
    #[error("{0}")]
    Unreachable(String),
    #[error("the name of a queue has at most 255 bytes")]
    QueueName,
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error("the broker dead-letters the queue's messages: there is no queue for copies")]
    NoDeadLetterQueue,
    #[error("there is no queue `{0}`")]
    Unroutable(String),
    #[error("no binding of exchange `{exchange}` takes the routing key `{routing_key}`")]
    Unbound {
        exchange: String,
        routing_key: String,
    },
    #[error("the broker did not take the message: the queue is full or cannot write")]
    Refused,
    #[error("the broker refused the message: {0}")]
    Rejected(String),
    #[error("the channel was lost before the broker confirmed: {0}")]
    Lost(String),
    #[error("the broker did not answer within {0:?} when it was asked to confirm messages")]
    NoConfirms(Duration),
    #[error("the broker did not answer in time")]
    TimedOut,
    #[error("the broker did not confirm within {after:?}{}", told(trouble.as_deref()))]
    Overdue {
        after: Duration,
        trouble: Option<String>,
    },
    #[error("the publisher was closed")]
    Closed,
}

impl RabbitPublishError {
    /// Whether there was no connection to ask over, so that a later try may go better.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Unreachable(_) => true,
            Self::Topology(error) => error.is_passing(),
            _ => false,
        }
    }
}

impl From<Elapsed> for RabbitPublishError {
    fn from(_: Elapsed) -> Self {
        Self::TimedOut
    }
}

fn told(trouble: Option<&str>) -> String {
    trouble.map_or_else(String::new, |trouble| format!(": {trouble}"))
}
