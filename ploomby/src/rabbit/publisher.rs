use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use amqprs::{
    channel::{BasicPublishArguments, Channel, ConfirmSelectArguments},
    connection::Connection,
};
use thiserror::Error;
use tokio::{
    sync::Mutex,
    time::{error::Elapsed, timeout},
};
use tracing::{info, warn};

use self::confirms::Confirms;
use super::{
    connection::{ANSWER_TIMEOUT, CLOSE_TIMEOUT, ConnectError, OpenChannel, SharedConnection},
    topology::{self, TopologyError},
    url::RabbitUrl,
};
use crate::{
    consumer::companions::Declared,
    message::{Message, Properties, PropertyError},
    settle::{NoRoom, fit, headers},
};

mod confirms;

/// How long a confirm may take; the broker may have to write to disk, on several nodes.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// A confirm that takes longer is worth a line in the log.
const SLOW_CONFIRM: Duration = Duration::from_secs(5);

/// What a content header takes beside its properties: the frame, class, weight and body size.
const HEADER_FRAME_OVERHEAD: usize = 8 + 2 + 2 + 8;

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

struct ConfirmChannel {
    channel: Channel,
    _connection: Connection,
    confirms: Arc<Confirms>,
    frame_max: usize,
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

    /// Opens the connection, to learn at once whether it can be.
    pub(crate) async fn connect(&self) -> Result<(), RabbitPublishError> {
        let mut channel = self.channel.lock().await;
        if channel.is_none() {
            *channel = Some(self.open().await?);
        }
        Ok(())
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
        let (properties, body) = message.into_parts();
        // one limit for all: a broker without memory takes neither channels nor messages
        let published = timeout(CONFIRM_TIMEOUT, async {
            self.send(queue, properties, body.into()).await?.await
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

    /// Publishes the copy of a consumed message, and declares the queue again where it is gone.
    pub(super) async fn keep(
        &self,
        queue: &Declared,
        copy: Message,
    ) -> Result<(), RabbitPublishError> {
        let copy = self.own(copy)?;
        match self.publish(&queue.name, copy.clone()).await {
            Err(RabbitPublishError::Unroutable(_)) => {
                warn!(queue = queue.name, "the queue is gone, declaring it again");
                self.declare(queue).await?;
                self.publish(&queue.name, copy).await
            }
            published => published,
        }
    }

    /// Publishes the copy of a consumed message to the queue that it came from.
    pub(super) async fn put_back(
        &self,
        queue: &str,
        copy: Message,
    ) -> Result<(), RabbitPublishError> {
        self.publish(queue, self.own(copy)?).await
    }

    /// Declares a queue of ours.
    pub(super) async fn declare(&self, queue: &Declared) -> Result<(), RabbitPublishError> {
        Ok(topology::declare(&self.connection, queue).await?)
    }

    pub(crate) async fn close(&self) {
        let channel = self.channel.lock().await.take();
        if let Some(ConfirmChannel { channel, .. }) = channel {
            if !matches!(timeout(CLOSE_TIMEOUT, channel.close()).await, Ok(Ok(()))) {
                warn!("the publishing channel was not closed in order");
            }
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
        properties: Properties,
        body: Vec<u8>,
    ) -> Result<impl Future<Output = Result<(), RabbitPublishError>> + use<>, RabbitPublishError>
    {
        if queue.len() > 255 {
            return Err(RabbitPublishError::QueueName);
        }
        let mut slot = self.channel.lock().await;
        // out of the slot while it is used: a send that is dropped halfway would leave the count
        // of messages wrong, and so leaves no channel
        let open = match slot.take() {
            Some(open) if open.confirms.is_usable() && open.channel.is_open() => open,
            _ => self.open().await?,
        };
        // the broker closes the connection on properties that do not fit into one frame
        let room = open.frame_max.saturating_sub(HEADER_FRAME_OVERHEAD);
        let fitted = fit(properties, room)
            .map_err(RabbitPublishError::from)
            .and_then(|properties| Ok(properties.rebuilt()?));
        let properties = match fitted {
            Ok(properties) => properties,
            Err(error) => {
                *slot = Some(open);
                return Err(error);
            }
        };
        let arguments = BasicPublishArguments::new("", queue)
            .mandatory(true)
            .finish();
        let confirm = open.confirms.expect(queue);
        open.channel
            .basic_publish(properties.into_wire(), body, arguments)
            .await
            .map_err(|error| RabbitPublishError::Lost(error.to_string()))?;
        // one that is not used any more closes once all its messages are confirmed
        let channel = open.channel.clone();
        *slot = Some(open);
        Ok(async move {
            let confirmed = confirm.await;
            drop(channel);
            confirmed
        })
    }

    async fn open(&self) -> Result<ConfirmChannel, RabbitPublishError> {
        let OpenChannel {
            channel,
            frame_max,
            connection,
        } = self.connection.channel().await?;
        let confirms = Arc::new(Confirms::default());
        let lost = |error: amqprs::error::Error| RabbitPublishError::Lost(error.to_string());
        channel
            .register_callback(confirms.callback())
            .await
            .map_err(lost)?;
        timeout(
            ANSWER_TIMEOUT,
            channel.confirm_select(ConfirmSelectArguments::new(false)),
        )
        .await?
        .map_err(lost)?;
        Ok(ConfirmChannel {
            channel,
            _connection: connection,
            confirms,
            frame_max,
        })
    }
}

impl std::fmt::Debug for ConfirmChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfirmChannel").finish_non_exhaustive()
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
    #[error("the channel was lost before the broker confirmed: {0}")]
    Lost(String),
    #[error("the broker did not confirm within {CONFIRM_TIMEOUT:?}")]
    TimedOut,
}

impl From<Elapsed> for RabbitPublishError {
    fn from(_: Elapsed) -> Self {
        Self::TimedOut
    }
}
