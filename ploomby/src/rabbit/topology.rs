use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use amqprs::channel::QueueDeclareArguments;
use thiserror::Error;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::timeout,
};

use super::{
    connection::{ANSWER_TIMEOUT, CLOSE_TIMEOUT, ConnectError, OpenChannel, SharedConnection},
    session::events::{ChannelEvents, Closed},
};
use crate::{
    consumer::companions::Declared,
    message::{PropertyError, Value, wire::field_table},
};

/// Makes sure that the consumed queue and those beside it are there.
///
/// The broker answers what it does not like by closing the channel, so each question has a channel
/// of its own.
pub(super) async fn ensure(
    connection: &SharedConnection,
    queue: &str,
    arguments: &[(String, Value)],
    beside: &[Declared],
) -> Result<(), TopologyError> {
    if !exists(connection, queue).await? {
        let mut declare = QueueDeclareArguments::durable_client_named(queue);
        declare.arguments(field_table(arguments)?);
        ask(connection, declare)
            .await
            .map_err(|fault| fault.told(|closed| TopologyError::queue(queue, closed)))?;
    }
    for declared in beside {
        self::declare(connection, declared).await?;
    }
    Ok(())
}

/// Whether there is a queue of this name.
pub(super) async fn exists(
    connection: &SharedConnection,
    queue: &str,
) -> Result<bool, TopologyError> {
    let mut declare = QueueDeclareArguments::new(queue);
    declare.passive(true);
    match ask(connection, declare).await {
        Ok(()) => Ok(true),
        Err(Fault::Refused(closed))
            if closed.code == Closed::NOT_FOUND && !closed.is_home_down() =>
        {
            Ok(false)
        }
        Err(fault) => Err(fault.told(|closed| TopologyError::queue(queue, closed))),
    }
}

/// Declares a queue of ours, or makes sure that it is as we declare it.
pub(super) async fn declare(
    connection: &SharedConnection,
    declared: &Declared,
) -> Result<(), TopologyError> {
    let mut declare = QueueDeclareArguments::durable_client_named(&declared.name);
    declare.arguments(field_table(&declared.arguments)?);
    let _alone = alone(&declared.name).await;
    ask(connection, declare).await.map_err(|fault| {
        fault.told(|closed| match closed.is_home_down() {
            true => TopologyError::queue(&declared.name, closed),
            false => TopologyError::Declared {
                queue: declared.name.clone(),
                closed,
            },
        })
    })
}

/// Waits until nothing else in this process declares a queue of this name.
///
/// RabbitMQ answers a second declaration of a quorum queue while the first is under way. What is published by
/// then gets no time to live: it never leaves the queue, nor does what stands behind it.
async fn alone(queue: &str) -> OwnedMutexGuard<()> {
    type Locks = HashMap<String, Weak<AsyncMutex<()>>>;
    static LOCKS: LazyLock<Mutex<Locks>> = LazyLock::new(Mutex::default);

    let lock = {
        let mut locks = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        let known = locks.get(queue).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let new = Arc::default();
            locks.insert(queue.to_owned(), Arc::downgrade(&new));
            new
        })
    };
    lock.lock_owned().await
}

/// Declares on a channel of its own.
async fn ask(connection: &SharedConnection, declare: QueueDeclareArguments) -> Result<(), Fault> {
    let opened = connection.channel().await.map_err(TopologyError::from)?;
    let OpenChannel {
        channel,
        connection: _kept,
        ..
    } = opened;
    let events = ChannelEvents::register(&channel)
        .await
        .map_err(|error| TopologyError::Lost(error.to_string()))?;
    let declared = timeout(ANSWER_TIMEOUT, channel.queue_declare(declare))
        .await
        .map_err(|_| TopologyError::NoAnswer)?;
    match declared {
        Ok(_) => {
            // the broker forgets the channel with the connection at the latest
            let _ = timeout(CLOSE_TIMEOUT, channel.close()).await;
            Ok(())
        }
        Err(error) => Err(match events.closed() {
            Some(closed) => Fault::Refused(closed),
            None => Fault::Other(TopologyError::Lost(error.to_string())),
        }),
    }
}

/// Why one declaration failed.
enum Fault {
    Refused(Closed),
    Other(TopologyError),
}

impl Fault {
    /// The error, where `refused` says what the broker's refusal means.
    fn told(self, refused: impl FnOnce(Closed) -> TopologyError) -> TopologyError {
        match self {
            Self::Refused(closed) => refused(closed),
            Self::Other(error) => error,
        }
    }
}

impl From<TopologyError> for Fault {
    fn from(error: TopologyError) -> Self {
        Self::Other(error)
    }
}

/// Why a queue that must be there is not.
#[derive(Debug, Error)]
pub(crate) enum TopologyError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("an argument of the queue cannot be sent: {0}")]
    Argument(#[from] PropertyError),
    #[error("queue `{queue}`: {closed}")]
    Queue { queue: String, closed: Closed },
    #[error(
        "queue `{queue}`, which keeps messages that failed, exists with other arguments and might \
         drop what it is given: move its messages and delete it, or name another dead-letter queue \
         with `dead_letter_queue` ({closed})"
    )]
    Declared { queue: String, closed: Closed },
    #[error("the connection was lost while queues were declared: {0}")]
    Lost(String),
    #[error("the broker did not answer within {ANSWER_TIMEOUT:?} while queues were declared")]
    NoAnswer,
}

impl TopologyError {
    pub(super) fn queue(queue: &str, closed: Closed) -> Self {
        Self::Queue {
            queue: queue.to_owned(),
            closed,
        }
    }

    /// Whether a later try may go better, without anybody's help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Lost(_) | Self::NoAnswer => true,
            Self::Queue { closed, .. } => closed.is_home_down(),
            Self::Argument(_) | Self::Declared { .. } => false,
        }
    }
}
