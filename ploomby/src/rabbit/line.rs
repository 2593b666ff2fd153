use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
    },
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    connection::SharedConnection,
    options::Reconnect,
    publisher::{CONFIRM_TIMEOUT, ConfirmChannel, OnLoss, RabbitPublishError, Unconfirmed},
    replies, topology,
    url::RabbitUrl,
};
use crate::{consumer::companions::Declared, publisher::Addressed, rpc::Calls};

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

/// The task that publishes.
struct Runner {
    shared: Arc<Shared>,
    messages: mpsc::Receiver<Box<Unconfirmed>>,
    channel: Option<ConfirmChannel>,
    /// How many channels there were.
    channels: u64,
    /// What goes next, in order.
    unsent: VecDeque<Box<Unconfirmed>>,
    /// How many of those are published alone, since the broker refused one of them.
    suspects: usize,
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
        let channel = shared.open_channel().await?;
        let (messages, receiver) = mpsc::channel(WAITING);
        let runner = Runner {
            shared: shared.clone(),
            messages: receiver,
            channel: Some(channel),
            channels: 1,
            unsent: VecDeque::new(),
            suspects: 0,
        };
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
    async fn open_channel(&self) -> Result<ConfirmChannel, RabbitPublishError> {
        let channel = ConfirmChannel::open(&self.connection).await?;
        if let Some(calls) = &self.calls {
            replies::consume(&channel, calls.clone(), &self.task).await?;
        }
        Ok(channel)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runner {
    async fn run(mut self) {
        let mut incoming = Vec::new();
        loop {
            // each of them can be dropped and asked again
            tokio::select! {
                count = self.messages.recv_many(&mut incoming, WAITING) => match count {
                    0 => break,
                    _ => self.unsent.extend(incoming.drain(..)),
                },
                () = closed(self.channel.as_ref()) => {}
                () = self.shared.overdue.notified() => self.give_up_if_stale(),
                () = self.shared.closing.cancelled(), if !self.messages.is_closed() => {
                    self.messages.close();
                }
            }
            self.publish_unsent().await;
        }
        loop {
            self.publish_unsent().await;
            let Some(channel) = &self.channel else { break };
            let _ = timeout(CONFIRM_TIMEOUT, channel.confirms().drained()).await;
            if channel.confirms().is_closed() {
                continue;
            }
            if let Some(channel) = self.channel.take() {
                channel.close().await;
            }
            break;
        }
        self.shared.connection.close().await;
    }

    async fn publish_unsent(&mut self) {
        loop {
            self.take_back();
            let Some(mut next) = self.unsent.pop_front() else {
                return;
            };
            if next.is_abandoned() {
                continue;
            }
            if std::mem::take(&mut next.needs_fresh_channel) {
                self.give_up_channel("the next call is to have another");
            }
            let back = match &self.channel {
                Some(channel) if channel.is_usable() => {
                    self.note_call(&next, Some(self.channels));
                    let back = channel.publish(next).await.err();
                    if self.suspects > 0 && back.is_none() {
                        self.suspects -= 1;
                        let _ = timeout(CONFIRM_TIMEOUT, channel.confirms().drained()).await;
                    }
                    back
                }
                _ => Some(next),
            };
            if let Some(back) = back {
                self.note_call(&back, None);
                self.unsent.push_front(back);
                self.renew_channel().await;
            }
        }
    }

    /// Takes back what a channel that is closed has not confirmed.
    ///
    /// The broker closes a channel for a message that it does not take, such as one for an exchange
    /// that does not exist, without saying which it was: it is the one that was there alone.
    fn take_back(&mut self) {
        let closed = self
            .channel
            .take_if(|channel| channel.confirms().is_closed());
        let Some(channel) = closed else { return };
        if let Some(calls) = &self.shared.calls {
            calls.lost(self.channels);
        }
        let mut kept = channel.confirms().take_kept();
        if let Some(reason) = channel.confirms().refusal() {
            if kept.len() == 1 {
                for culprit in kept.drain(..) {
                    culprit.settle(Err(RabbitPublishError::Rejected(reason.clone())));
                }
            }
            self.suspects = self.suspects.max(kept.len());
        }
        for kept in kept.into_iter().rev() {
            self.unsent.push_front(kept);
        }
    }

    /// A channel that does not confirm is of no use to the next message either, and would remember
    /// all of them.
    fn give_up_if_stale(&mut self) {
        let Some(channel) = &self.channel else { return };
        let oldest = channel.confirms().oldest();
        if oldest.is_some_and(|since| since.elapsed() >= CONFIRM_TIMEOUT) {
            warn!("the broker does not confirm messages, trying another channel");
            self.give_up_channel("the broker did not confirm");
        }
    }

    /// Says over which channel the request of a call goes.
    fn note_call(&self, message: &Unconfirmed, channel: Option<u64>) {
        if let (Some(calls), Some(call)) = (&self.shared.calls, message.call) {
            calls.sent(call, channel);
        }
    }

    fn give_up_channel(&mut self, reason: &str) {
        if let Some(channel) = &self.channel {
            channel.confirms().close(reason);
        }
        self.take_back();
    }

    /// Opens a channel, as long as somebody waits for it.
    async fn renew_channel(&mut self) {
        if let Some(channel) = &self.channel {
            if channel.channel().is_open() {
                // it refuses all that it is given: what it was given before is answered soon
                let _ = timeout(CONFIRM_TIMEOUT, channel.confirms().drained()).await;
            }
            channel.confirms().close("the channel was lost");
            self.take_back();
        }
        for attempt in 1.. {
            self.unsent.retain(|message| !message.is_abandoned());
            if self.unsent.is_empty() {
                return;
            }
            match self.shared.open_channel().await {
                Ok(channel) => {
                    self.channel = Some(channel);
                    self.channels += 1;
                    if self.note_trouble(None).is_some() {
                        info!("publishing again");
                    }
                    return;
                }
                Err(error) => {
                    let error = error.to_string();
                    if self.note_trouble(Some(error.clone())).is_none() {
                        warn!(error, "cannot publish, trying again");
                    }
                }
            }
            sleep(Reconnect::forever().pause(attempt)).await;
        }
    }

    fn note_trouble(&self, trouble: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.shared.trouble(), trouble)
    }
}

/// Resolves when the channel that there is closes.
async fn closed(channel: Option<&ConfirmChannel>) {
    match channel {
        Some(channel) => channel.confirms().closed().await,
        None => std::future::pending().await,
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}
