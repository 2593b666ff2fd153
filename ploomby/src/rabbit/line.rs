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

pub(crate) use self::connection::LineConnection;
pub(super) use self::lazy::LazyLine;
use self::runner::Runner;
use super::{
    publisher::{
        CONFIRM_TIMEOUT, Confirm, ConfirmChannel, OnLoss, RabbitPublishError, Unconfirmed,
    },
    replies, topology,
};
use crate::{
    consumer::companions::Declared, message::Addressed, reply::Calls, stage::Stage,
    topology::Wiring,
};

mod connection;
mod lazy;
mod runner;

/// How many messages wait for one that is being published. Who sends more waits as well.
const WAITING: usize = 1024;

/// Publishes in the order that it is given messages, over as many channels as it takes: what a lost channel has
/// not confirmed goes over the next one first. Where the broker closes a channel for a message that it does not
/// take, those that were under way are sent again one by one, so that it is the only one that fails. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Line {
    messages: mpsc::Sender<Box<Unconfirmed>>,
    shared: Arc<Shared>,
}

/// What the handles and the task share.
struct Shared {
    connection: Arc<LineConnection>,
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
    /// Opens a channel to publish over, so that what is wrong with the broker shows.
    pub(crate) async fn connect(
        connection: Arc<LineConnection>,
    ) -> Result<Self, RabbitPublishError> {
        Self::open(connection, None).await
    }

    /// Opens a channel for calls, whose replies come over it.
    pub(crate) async fn connect_for_calls(
        connection: Arc<LineConnection>,
        calls: Arc<Calls>,
    ) -> Result<Self, RabbitPublishError> {
        Self::open(connection, Some(calls)).await
    }

    /// A line whose channel is opened by its first message.
    fn of(connection: Arc<LineConnection>) -> Self {
        Self::start(Shared::new(connection, None), None)
    }

    async fn open(
        connection: Arc<LineConnection>,
        calls: Option<Arc<Calls>>,
    ) -> Result<Self, RabbitPublishError> {
        let shared = Shared::new(connection, calls);
        let channel = shared.open_channel(Runner::FIRST_CHANNEL).await?;
        Ok(Self::start(shared, Some(channel)))
    }

    fn start(shared: Shared, channel: Option<ConfirmChannel>) -> Self {
        let shared = Arc::new(shared);
        shared.connection.join();
        let (messages, receiver) = mpsc::channel(WAITING);
        let runner = Runner::new(shared.clone(), receiver, channel);
        shared.task.spawn(runner.run());
        Self { messages, shared }
    }

    /// The connection, for others to publish over as well.
    pub(crate) fn connection(&self) -> Arc<LineConnection> {
        self.shared.connection.clone()
    }

    /// Publishes a message, and waits until it is confirmed.
    pub(crate) fn publish(
        &self,
        addressed: Addressed,
        within: Duration,
    ) -> impl Future<Output = Result<(), RabbitPublishError>> + Send {
        self.publish_as(OnLoss::SendAgain, addressed, within)
    }

    /// Publishes the copy of a message whose original is unsettled, or the reply to one.
    ///
    /// It fails where there is no connection, and with the connection: the original comes back then.
    pub(super) fn publish_copy(
        &self,
        addressed: Addressed,
        within: Duration,
    ) -> impl Future<Output = Result<(), RabbitPublishError>> + Send {
        self.publish_as(OnLoss::FailUnlessRefused, addressed, within)
    }

    fn publish_as(
        &self,
        on_loss: OnLoss,
        addressed: Addressed,
        within: Duration,
    ) -> impl Future<Output = Result<(), RabbitPublishError>> + Send {
        // boxed before anything waits: a future is moved about with all that it holds
        let (unconfirmed, confirm) = match on_loss {
            // copies and replies have a delivery that is watched
            OnLoss::FailUnlessRefused => Unconfirmed::new(addressed, on_loss),
            OnLoss::Fail | OnLoss::SendAgain => self.watched(addressed, on_loss),
        };
        async move {
            let published = async {
                self.put(unconfirmed).await?;
                confirm.await
            };
            let traffic = self.shared.connection.shared().traffic();
            let published = traffic.wait(within, published).await;
            published.unwrap_or_else(|_| Err(self.overdue(within)))
        }
    }

    /// Puts a message in the line; the future that is returned waits for the confirm.
    pub(crate) async fn begin(&self, addressed: Addressed) -> Result<Confirm, RabbitPublishError> {
        let (unconfirmed, confirm) = self.watched(addressed, OnLoss::SendAgain);
        self.put(unconfirmed).await?;
        Ok(confirm)
    }

    /// A message that the program sends.
    fn watched(&self, addressed: Addressed, on_loss: OnLoss) -> (Box<Unconfirmed>, Confirm) {
        let watch = self.stage().watch();
        let on_its_way = watch.map(|watch| watch.sending(&addressed));
        let (mut unconfirmed, confirm) = Unconfirmed::new(addressed, on_loss);
        unconfirmed.watched = on_its_way;
        (unconfirmed, confirm)
    }

    /// Where its messages are handled.
    pub(crate) fn stage(&self) -> &Stage {
        &self.shared.connection.shared().url().stage
    }

    /// Declares a queue of ours.
    pub(crate) async fn declare(&self, queue: &Declared) -> Result<(), RabbitPublishError> {
        Ok(topology::declare(self.shared.connection.shared(), queue).await?)
    }

    /// Declares exchanges that messages go through.
    pub(crate) async fn declare_exchanges(
        &self,
        wiring: &Wiring,
    ) -> Result<(), RabbitPublishError> {
        Ok(topology::declare_for_sending(self.shared.connection.shared(), wiring).await?)
    }

    /// Whether there is a queue of this name.
    pub(crate) async fn has_queue(&self, queue: &str) -> Result<bool, RabbitPublishError> {
        Ok(topology::exists(self.shared.connection.shared(), queue).await?)
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
    ) -> Result<Confirm, RabbitPublishError> {
        let (mut unconfirmed, confirm) = self.watched(addressed, OnLoss::Fail);
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
        let blocked = || self.shared.connection.shared().blocked();
        let trouble = self.shared.trouble().clone().or_else(blocked);
        RabbitPublishError::Overdue { after, trouble }
    }
}

impl Shared {
    fn new(connection: Arc<LineConnection>, calls: Option<Arc<Calls>>) -> Self {
        Self {
            connection,
            trouble: Mutex::default(),
            overdue: Notify::new(),
            closing: CancellationToken::new(),
            calls,
            task: TaskTracker::new(),
        }
    }

    /// Opens the channel of this number, which tells by which one a reply came.
    async fn open_channel(&self, number: u64) -> Result<ConfirmChannel, RabbitPublishError> {
        let channel = ConfirmChannel::open(self.connection.shared()).await?;
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
