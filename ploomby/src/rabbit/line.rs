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
    topology,
    url::RabbitUrl,
};
use crate::{consumer::companions::Declared, publisher::Addressed};

/// How many messages wait for one that is being published. Who sends more waits as well.
const WAITING: usize = 1024;

/// Publishes in the order that it is given messages, over as many connections as it takes: what a
/// lost channel has not confirmed goes over the next one first. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Line {
    messages: mpsc::Sender<Unconfirmed>,
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
    task: TaskTracker,
}

/// The task that publishes.
struct Runner {
    shared: Arc<Shared>,
    messages: mpsc::Receiver<Unconfirmed>,
    channel: Option<ConfirmChannel>,
    /// What goes next, in order.
    unsent: VecDeque<Unconfirmed>,
    /// How many of those are published alone, since the broker refused one of them.
    suspects: usize,
}

impl Line {
    /// Opens a connection, which the broker's lists show with this purpose.
    pub(crate) async fn connect(
        url: RabbitUrl,
        purpose: &'static str,
    ) -> Result<Self, RabbitPublishError> {
        let connection = SharedConnection::new(url, purpose);
        let channel = ConfirmChannel::open(&connection).await?;
        let shared = Arc::new(Shared {
            connection,
            trouble: Mutex::default(),
            overdue: Notify::new(),
            closing: CancellationToken::new(),
            task: TaskTracker::new(),
        });
        let (messages, receiver) = mpsc::channel(WAITING);
        let runner = Runner {
            shared: shared.clone(),
            messages: receiver,
            channel: Some(channel),
            unsent: VecDeque::new(),
            suspects: 0,
        };
        shared.task.spawn(runner.run());
        Ok(Self { messages, shared })
    }

    /// Publishes a message, and waits until it is confirmed.
    pub(crate) async fn publish(
        &self,
        addressed: Addressed,
        within: Duration,
    ) -> Result<(), RabbitPublishError> {
        let published = timeout(within, async { self.hand_over(addressed).await?.await });
        published
            .await
            .unwrap_or_else(|_| Err(self.overdue(within)))
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
                confirms.push(self.hand_over(addressed).await);
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

    /// Puts a message in the line; the future that is returned waits for the confirm.
    async fn hand_over(
        &self,
        addressed: Addressed,
    ) -> Result<impl Future<Output = Result<(), RabbitPublishError>> + use<>, RabbitPublishError>
    {
        let (unconfirmed, confirm) = Unconfirmed::new(addressed, OnLoss::SendAgain);
        // at once where there is room: tokio might have it wait for its turn, and others go before
        match self.messages.try_send(unconfirmed) {
            Ok(()) => Ok(confirm),
            Err(TrySendError::Full(unconfirmed)) => match self.messages.send(unconfirmed).await {
                Ok(()) => Ok(confirm),
                Err(_) => Err(RabbitPublishError::Closed),
            },
            Err(TrySendError::Closed(_)) => Err(RabbitPublishError::Closed),
        }
    }

    fn overdue(&self, after: Duration) -> RabbitPublishError {
        self.shared.overdue.notify_one();
        let trouble = self.shared.trouble().clone();
        RabbitPublishError::Overdue { after, trouble }
    }
}

impl Shared {
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
            let Some(next) = self.unsent.pop_front() else {
                return;
            };
            if next.is_abandoned() {
                continue;
            }
            let back = match &self.channel {
                Some(channel) if channel.is_usable() => {
                    let back = channel.publish(next).await.err();
                    if self.suspects > 0 && back.is_none() {
                        self.suspects -= 1;
                        let _ = timeout(CONFIRM_TIMEOUT, channel.confirms().drained()).await;
                    }
                    back
                }
                _ => Some(Box::new(next)),
            };
            if let Some(back) = back {
                self.unsent.push_front(*back);
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
            channel.confirms().close("the broker did not confirm");
        }
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
            match ConfirmChannel::open(&self.shared.connection).await {
                Ok(channel) => {
                    self.channel = Some(channel);
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
