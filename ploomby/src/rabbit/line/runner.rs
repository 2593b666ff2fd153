use std::{collections::VecDeque, mem, sync::Arc};

use futures_util::future::select_all;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{Shared, WAITING};
use crate::rabbit::{
    options::Reconnect,
    publisher::{CONFIRM_TIMEOUT, ConfirmChannel, OnLoss, RabbitPublishError, Unconfirmed},
};

/// The task that publishes. It ends when nobody has anything more to send.
pub(super) struct Runner {
    shared: Arc<Shared>,
    messages: mpsc::Receiver<Box<Unconfirmed>>,
    channel: Option<ConfirmChannel>,
    /// How many channels there were.
    channels: u64,
    /// Those that publish no more and over which replies come, with their numbers.
    set_aside: Vec<(u64, ConfirmChannel)>,
    /// What goes next, in order.
    unsent: VecDeque<Box<Unconfirmed>>,
    /// How many of those are published alone, since the broker refused one of them.
    suspects: usize,
    /// The channel carried a call whose reply has no id: who receives another over it would know its address.
    is_taken: bool,
}

impl Runner {
    pub(super) const FIRST_CHANNEL: u64 = 1;

    pub(super) fn new(
        shared: Arc<Shared>,
        messages: mpsc::Receiver<Box<Unconfirmed>>,
        channel: Option<ConfirmChannel>,
    ) -> Self {
        Self {
            shared,
            messages,
            channels: channel.as_ref().map_or(0, |_| Self::FIRST_CHANNEL),
            channel,
            set_aside: Vec::new(),
            unsent: VecDeque::new(),
            suspects: 0,
            is_taken: false,
        }
    }

    pub(super) async fn run(mut self) {
        let mut incoming = Vec::new();
        loop {
            // each of them can be dropped and asked again
            tokio::select! {
                count = self.messages.recv_many(&mut incoming, WAITING) => match count {
                    0 => break,
                    _ => self.unsent.extend(incoming.drain(..)),
                },
                () = closed(self.channel.as_ref()) => {}
                () = one_closed(&self.set_aside) => {}
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
        self.shared.connection.leave().await;
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
            let needs_fresh_channel = mem::take(&mut next.needs_fresh_channel);
            if needs_fresh_channel || mem::take(&mut self.is_taken) {
                self.is_taken = false;
                self.replace_channel("the next call is to have another");
            }
            let is_alone = self.is_alone(&next);
            let back = match &self.channel {
                Some(channel) if self.is_good(channel) => {
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
            if back.is_none() {
                self.is_taken = is_alone;
            }
            if let Some(back) = back {
                self.note_call(&back, None);
                self.unsent.push_front(back);
                self.renew_channel().await;
            }
        }
    }

    /// Whether a channel is good for one more message. While replies come over another one, it is as long as
    /// it is open, whatever it refuses: what is refused opens no more channels than one.
    fn is_good(&self, channel: &ConfirmChannel) -> bool {
        channel.is_usable() || (!self.set_aside.is_empty() && channel.is_open())
    }

    /// Takes back what a channel that is closed has not confirmed.
    ///
    /// The broker closes a channel for a message that it does not take, such as one for an exchange
    /// that does not exist, without saying which it was: it is the one that was there alone.
    fn take_back(&mut self) {
        self.close_what_is_done();
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
        let traffic = self.shared.connection.shared().traffic();
        if oldest.is_some_and(|since| traffic.is_idle(since, CONFIRM_TIMEOUT)) {
            warn!("the broker does not confirm messages, trying another channel");
            self.replace_channel("the broker did not confirm");
        }
    }

    /// Publishes over another channel from here on. The one that there is stays for the replies that come over
    /// it, where some do.
    fn replace_channel(&mut self, reason: &str) {
        self.set_channel_aside();
        self.give_up_channel(reason);
    }

    /// Where replies come over the channel.
    fn set_channel_aside(&mut self) {
        let Some(calls) = &self.shared.calls else {
            return;
        };
        if calls.wait_for(self.channels) {
            let open = self.channel.take_if(|channel| channel.is_open());
            let numbered = open.map(|channel| (self.channels, channel));
            self.set_aside.extend(numbered);
        }
    }

    /// Of the channels that are set aside, those over which no reply comes any more.
    fn close_what_is_done(&mut self) {
        let Some(calls) = &self.shared.calls else {
            return;
        };
        self.set_aside.retain(|(number, channel)| {
            let is_closed = channel.confirms().is_closed();
            if is_closed {
                calls.lost(*number);
            }
            !is_closed && calls.wait_for(*number)
        });
    }

    /// Whether the message is a call whose reply has no id.
    fn is_alone(&self, message: &Unconfirmed) -> bool {
        match (&self.shared.calls, message.call) {
            (Some(calls), Some(call)) => calls.is_alone(call),
            _ => false,
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
        self.set_channel_aside();
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
            match self.shared.open_channel(self.channels + 1).await {
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
                    self.fail_copies(&error);
                    if self.unsent.is_empty() {
                        return;
                    }
                }
            }
            sleep(Reconnect::forever().pause(attempt)).await;
        }
    }

    /// Copies do not wait for a connection: their originals are safe.
    fn fail_copies(&mut self, error: &str) {
        for message in mem::take(&mut self.unsent) {
            match message.on_loss {
                OnLoss::FailUnlessRefused => {
                    message.settle(Err(RabbitPublishError::Unreachable(error.to_owned())));
                }
                OnLoss::Fail | OnLoss::SendAgain => self.unsent.push_back(message),
            }
        }
    }

    fn note_trouble(&self, trouble: Option<String>) -> Option<String> {
        mem::replace(&mut *self.shared.trouble(), trouble)
    }
}

/// Resolves when one of the channels closes.
async fn one_closed(channels: &[(u64, ConfirmChannel)]) {
    let closed = channels
        .iter()
        .map(|(_, channel)| Box::pin(channel.confirms().closed()));
    match channels {
        [] => std::future::pending().await,
        _ => drop(select_all(closed).await),
    }
}

/// Resolves when the channel that there is closes.
async fn closed(channel: Option<&ConfirmChannel>) {
    match channel {
        Some(channel) => channel.confirms().closed().await,
        None => std::future::pending().await,
    }
}
