use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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
    line::{Line, LineConnection},
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

/// Publishes copies and replies to queues, and waits until the broker has taken responsibility.
///
/// It is a [`Line`] whose messages do not outlast its channel. One that the broker refuses fails alone.
#[derive(Debug)]
pub(crate) struct ConfirmedPublisher {
    connection: Arc<LineConnection>,
    /// Opened by the first message.
    line: Mutex<Option<Line>>,
    /// The last confirm took long, and the log says so.
    slow: AtomicBool,
}

impl ConfirmedPublisher {
    /// Nothing is opened before the first message.
    pub(crate) fn new(connection: Arc<LineConnection>) -> Self {
        Self {
            connection,
            line: Mutex::default(),
            slow: AtomicBool::new(false),
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
        let line = self.line();
        let copy = Addressed::to_queue(queue, message);
        // one limit for all: a broker without memory takes neither channels nor messages
        let mut publishing = pin!(line.publish_copy(copy, CONFIRM_TIMEOUT));
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

    /// Publishes the copy of a consumed message.
    pub(super) async fn keep(&self, queue: &str, copy: Message) -> Result<(), RabbitPublishError> {
        self.publish(queue, self.own(copy)?).await
    }

    /// Declares a queue of ours.
    pub(super) async fn declare(&self, queue: &Declared) -> Result<(), RabbitPublishError> {
        Ok(topology::declare(self.connection.shared(), queue).await?)
    }

    pub(super) fn connection(&self) -> &super::connection::SharedConnection {
        self.connection.shared()
    }

    pub(crate) async fn close(&self) {
        let line = self.lock().take();
        match line {
            Some(line) => line.close().await,
            None => self.connection.close_unless_used().await,
        }
    }

    fn line(&self) -> Line {
        let mut line = self.lock();
        line.get_or_insert_with(|| Line::of(self.connection.clone()))
            .clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Line>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// RabbitMQ refuses messages in the name of another user than the connection's, with an error
    /// that closes the channel. The copy tells the user in a header.
    fn own(&self, copy: Message) -> Result<Message, PropertyError> {
        match copy.properties.user_id() {
            Some(user) if user != self.connection.shared().user() => {
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
