use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
    },
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use self::runner::Runner;
use super::{
    connection::SharedConnection,
    publisher::{CONFIRM_TIMEOUT, ConfirmChannel, OnLoss, RabbitPublishError, Unconfirmed},
    replies, topology,
    url::RabbitUrl,
};
use crate::{consumer::companions::Declared, message::Addressed, reply::Calls};

mod runner;

/// How many messages wait for one that is being published. Who sends more waits as well.
const WAITING: usize = 1024;

/// Publishes in the order that it is given messages, over as many connections as it takes: what a
/// lost channel has not confirmed goes over the next one first. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Line {
    messages: mpsc::Sender<Box<Unconfirmed>>,
    shared: Arc<Shared>,
}

/// What the handles and the task share.
struct Shared {
    connection: SharedConnection,
    /// Why there is no connection at the moment.
    trouble: Mutex<Option<String>>,
    /// Somebody waited in vain for a confirm.
    overdue: Notify,
    closing: CancellationToken,
    /// Who waits for replies, which come over the channel that the request went over.
    calls: Option<Arc<Calls>>,
    task: TaskTracker,
}

impl Line {
    /// Opens a connection, which the broker's lists show with this purpose.
    pub(crate) async fn connect(
        url: RabbitUrl,
        purpose: &'static str,
    ) -> Result<Self, RabbitPublishError> {
        Self::open(url, purpose, None).await
    }

    /// Opens a connection for calls, whose replies come over it.
    pub(crate) async fn connect_for_calls(
        url: RabbitUrl,
        purpose: &'static str,
        calls: Arc<Calls>,
    ) -> Result<Self, RabbitPublishError> {
        Self::open(url, purpose, Some(calls)).await
    }

    async fn open(
        url: RabbitUrl,
        purpose: &'static str,
        calls: Option<Arc<Calls>>,
    ) -> Result<Self, RabbitPublishError> {
        let shared = Arc::new(Shared {
            connection: SharedConnection::new(url, purpose),
            trouble: Mutex::default(),
            overdue: Notify::new(),
            closing: CancellationToken::new(),
            calls,
            task: TaskTracker::new(),
        });
        let channel = shared.open_channel(Runner::FIRST_CHANNEL).await?;
        let (messages, receiver) = mpsc::channel(WAITING);
        let runner = Runner::new(shared.clone(), receiver, channel);
        shared.task.spawn(runner.run());
        Ok(Self { messages, shared })
    }

    /// Publishes a message, and waits until it is confirmed.
    pub(crate) fn publish(
        &self,
        addressed: Addressed,
        within: Duration,
    ) -> impl Future<Output = Result<(), RabbitPublishError>> + Send {
        // boxed before anything waits: a future is moved about with all that it holds
        let (unconfirmed, confirm) = Unconfirmed::new(addressed, OnLoss::SendAgain);
        async move {
            let published = timeout(within, async {
                self.put(unconfirmed).await?;
                confirm.await
            });
            published
                .await
                .unwrap_or_else(|_| Err(self.overdue(within)))
        }
    }

    /// Publishes messages in their order, and waits until all are confirmed. Each has its result.
    pub(crate) async fn publish_all(
        &self,
        addressed: Vec<Addressed>,
        within: Duration,
    ) -> Vec<Result<(), RabbitPublishError>> {
        let count = addressed.len();
        let mut results = Vec::with_capacity(count);
        let publishing = async {
            let mut confirms = Vec::with_capacity(count);
            for addressed in addressed {
                let (unconfirmed, confirm) = Unconfirmed::new(addressed, OnLoss::SendAgain);
                confirms.push(self.put(unconfirmed).await.map(|()| confirm));
            }
            for confirm in confirms {
                results.push(match confirm {
                    Ok(confirm) => confirm.await,
                    Err(error) => Err(error),
                });
            }
        };
        if timeout(within, publishing).await.is_err() {
            results.resize_with(count, || Err(self.overdue(within)));
        }
        results
    }

    /// Declares a queue of ours.
    pub(crate) async fn declare(&self, queue: &Declared) -> Result<(), RabbitPublishError> {
        Ok(topology::declare(&self.shared.connection, queue).await?)
    }

    /// Whether there is a queue of this name.
    pub(crate) async fn has_queue(&self, queue: &str) -> Result<bool, RabbitPublishError> {
        Ok(topology::exists(&self.shared.connection, queue).await?)
    }

    /// Takes no more messages, publishes those that it has, and closes.
    pub(crate) async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.task.close();
        if timeout(CONFIRM_TIMEOUT, self.shared.task.wait())
            .await
            .is_err()
        {
            warn!("the broker did not confirm all messages before the publisher was closed");
        }
    }

    /// Sends the request of a call, once; the future that is returned waits for the confirm.
    pub(crate) async fn call(
        &self,
        addressed: Addressed,
        call: u64,
        needs_fresh_channel: bool,
    ) -> Result<impl Future<Output = Result<(), RabbitPublishError>> + use<>, RabbitPublishError>
    {
        let (mut unconfirmed, confirm) = Unconfirmed::new(addressed, OnLoss::Fail);
        unconfirmed.call = Some(call);
        unconfirmed.needs_fresh_channel = needs_fresh_channel;
        self.put(unconfirmed).await?;
        Ok(confirm)
    }

    /// Puts a message in the line.
    async fn put(&self, unconfirmed: Box<Unconfirmed>) -> Result<(), RabbitPublishError> {
        // at once where there is room: tokio might have it wait for its turn, and others go before
        match self.messages.try_send(unconfirmed) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(unconfirmed)) => match self.messages.send(unconfirmed).await {
                Ok(()) => Ok(()),
                Err(_) => Err(RabbitPublishError::Closed),
            },
            Err(TrySendError::Closed(_)) => Err(RabbitPublishError::Closed),
        }
    }

    /// Somebody waited so long, and in vain.
    pub(crate) fn overdue(&self, after: Duration) -> RabbitPublishError {
        self.shared.overdue.notify_one();
        let trouble = self.shared.trouble().clone();
        RabbitPublishError::Overdue { after, trouble }
    }
}

impl Shared {
    /// Opens the channel of this number, which tells by which one a reply came.
    async fn open_channel(&self, number: u64) -> Result<ConfirmChannel, RabbitPublishError> {
        let channel = ConfirmChannel::open(&self.connection).await?;
        if let Some(calls) = &self.calls {
            replies::consume(&channel, number, calls.clone(), &self.task).await?;
        }
        Ok(channel)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}
