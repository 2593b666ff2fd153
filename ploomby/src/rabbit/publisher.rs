use std::{
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    sync::Mutex,
    time::{error::Elapsed, timeout},
};
use tracing::{info, warn};

pub(super) use self::{
    channel::ConfirmChannel,
    unconfirmed::{OnLoss, Unconfirmed},
};
use super::{
    connection::{ConnectError, SharedConnection},
    topology::{self, TopologyError},
    url::RabbitUrl,
};
use crate::{
    consumer::companions::Declared,
    message::{Addressed, Message, NoRoom, PropertyError, header_names as headers},
};

mod channel;
mod confirms;
mod unconfirmed;

/// How long a confirm may take; the broker may have to write to disk, on several nodes.
pub(super) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// A confirm that takes longer is worth a line in the log.
const SLOW_CONFIRM: Duration = Duration::from_secs(5);

/// Publishes to queues and waits until the broker has taken responsibility.
///
/// It has a connection of its own: RabbitMQ stops reading from connections that publish while it
/// is short of memory or disk, and acknowledgements must not wait behind that.
#[derive(Debug)]
pub(crate) struct ConfirmedPublisher {
    connection: SharedConnection,
    channel: Mutex<Option<ConfirmChannel>>,
    /// The last confirm took long, and the log says so.
    slow: AtomicBool,
}

impl ConfirmedPublisher {
    /// The connection is opened by the first message.
    pub(crate) fn new(url: RabbitUrl) -> Self {
        Self {
            connection: SharedConnection::new(url, "publisher"),
            channel: Mutex::default(),
            slow: AtomicBool::new(false),
        }
    }

    /// Publishes to a queue, through the default exchange.
    ///
    /// # Errors
    ///
    /// The message may not be in the queue; after [`RabbitPublishError::TimedOut`] and
    /// [`RabbitPublishError::Lost`] it may be there all the same.
    pub(crate) async fn publish(
        &self,
        queue: &str,
        message: Message,
    ) -> Result<(), RabbitPublishError> {
        let mut publishing = pin!(self.publish_in_time(queue, message));
        let published = match timeout(SLOW_CONFIRM, &mut publishing).await {
            Ok(published) => published,
            Err(_) => {
                if !self.slow.swap(true, Ordering::Relaxed) {
                    warn!(
                        queue,
                        "the broker has not confirmed a message for {SLOW_CONFIRM:?}: it may be \
                         short of memory or disk, or lack the majority of a quorum queue"
                    );
                }
                publishing.await
            }
        };
        if published.is_ok() && self.slow.swap(false, Ordering::Relaxed) {
            info!(queue, "the broker confirms messages again");
        }
        published
    }

    async fn publish_in_time(
        &self,
        queue: &str,
        message: Message,
    ) -> Result<(), RabbitPublishError> {
        // one limit for all: a broker without memory takes neither channels nor messages
        let published = timeout(CONFIRM_TIMEOUT, async {
            self.send(queue, message).await?.await
        });
        match published.await {
            Ok(published) => published,
            Err(elapsed) => {
                // a channel that does not confirm is of no use to the next message either, and
                // would remember this one for ever
                if let Ok(mut channel) = self.channel.try_lock() {
                    channel.take();
                }
                Err(elapsed.into())
            }
        }
    }

    /// Publishes the copy of a consumed message.
    pub(super) async fn keep(&self, queue: &str, copy: Message) -> Result<(), RabbitPublishError> {
        self.publish(queue, self.own(copy)?).await
    }

    /// Declares a queue of ours.
    pub(super) async fn declare(&self, queue: &Declared) -> Result<(), RabbitPublishError> {
        Ok(topology::declare(&self.connection, queue).await?)
    }

    pub(crate) async fn close(&self) {
        let channel = self.channel.lock().await.take();
        if let Some(channel) = channel {
            channel.close().await;
        }
        self.connection.close().await;
    }

    /// RabbitMQ refuses messages in the name of another user than the connection's, with an error
    /// that closes the channel. The copy tells the user in a header.
    fn own(&self, copy: Message) -> Result<Message, PropertyError> {
        match copy.properties.get_user_id() {
            Some(user) if user != self.connection.user() => {
                let mut list = copy.properties.headers().to_list();
                list.push((headers::USER_ID.to_owned(), user.into()));
                Ok(Message {
                    properties: copy.properties.for_copy(&list, false)?,
                    body: copy.body,
                })
            }
            _ => Ok(copy),
        }
    }

    /// Hands the message to the connection; the future that is returned waits for the confirm.
    async fn send(
        &self,
        queue: &str,
        message: Message,
    ) -> Result<impl Future<Output = Result<(), RabbitPublishError>> + use<>, RabbitPublishError>
    {
        if queue.len() > 255 {
            return Err(RabbitPublishError::QueueName);
        }
        let mut slot = self.channel.lock().await;
        // out of the slot while it is used: a send that is dropped halfway would leave the count
        // of messages wrong, and so leaves no channel
        let open = match slot.take() {
            Some(open) if open.is_usable() => open,
            _ => ConfirmChannel::open(&self.connection).await?,
        };
        let (unconfirmed, confirm) =
            Unconfirmed::new(Addressed::to_queue(queue, message), OnLoss::Fail);
        // one that is given back is dropped, which its confirm tells
        let _ = open.publish(unconfirmed).await;
        // one that is not used any more closes once all its messages are confirmed
        let channel = open.channel().clone();
        *slot = Some(open);
        Ok(async move {
            let confirmed = confirm.await;
            drop(channel);
            confirmed
        })
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
    #[error("the name of a queue has at most 255 bytes")]
    QueueName,
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error("the broker dead-letters the queue's messages: there is no queue for copies")]
    NoDeadLetterQueue,
    #[error("there is no queue `{0}`")]
    Unroutable(String),
    #[error("the broker did not take the message: the queue is full or cannot write")]
    Refused,
    #[error("the broker refused the message: {0}")]
    Rejected(String),
    #[error("the channel was lost before the broker confirmed: {0}")]
    Lost(String),
    #[error("the broker did not confirm within {CONFIRM_TIMEOUT:?}")]
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
            Self::Connect(_) => true,
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
