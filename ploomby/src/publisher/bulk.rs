//! Sending many messages, with a window of them under way.

use std::{collections::VecDeque, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Broker, Outgoing, PublishAllError, PublishError, Publisher, Sending};
use crate::{
    message::Addressed,
    rabbit::{Confirm, Declarations, Line, RabbitPublishError},
};

/// How many messages are sent ahead of their confirms.
const MESSAGES: usize = 1024;

/// How many bytes of bodies, at most. A larger message is sent alone.
const BYTES: usize = 8 * 1024 * 1024;

/// Sends messages in their order, and waits for all of their confirms.
pub(super) async fn send_all<'p>(
    publisher: &Publisher,
    messages: impl Iterator<Item = Outgoing<'p>>,
) -> Result<(), PublishAllError> {
    let mut messages = messages.enumerate();
    if let Broker::Recorded(recorder) = &publisher.broker {
        for (at, outgoing) in messages {
            let draft = outgoing.into_draft();
            let delay = draft.delay();
            let message = draft.finish();
            recorder.note(
                message.map_err(|error| PublishAllError::at(at, error))?,
                delay,
            );
        }
        return Ok(());
    }
    let mut window = Window::new(publisher);
    // the first window is read before any of it is sent: what cannot be sent at all keeps it back
    let (mut first, mut bytes, mut all_ready) = (Vec::new(), 0, None);
    while first.len() < MESSAGES && bytes < BYTES {
        let Some((at, outgoing)) = messages.next() else {
            break;
        };
        let prepared = publisher.prepare_outgoing(outgoing).await;
        let prepared = prepared.map_err(|error| PublishAllError::at(at, error));
        let (message, sending, ready) = prepared?;
        bytes += message.message.body().len();
        all_ready = all_ready.max(ready);
        first.push((at, message, sending));
    }
    if let Some(ready) = all_ready {
        sleep_until(ready).await;
    }
    for (at, message, sending) in first {
        window.send(at, message, sending).await;
    }
    for (at, outgoing) in messages {
        match publisher.prepare_outgoing(outgoing).await {
            Ok((message, sending, ready)) => {
                if let Some(ready) = ready {
                    sleep_until(ready).await;
                }
                window.send(at, message, sending).await;
            }
            Err(error) => {
                window.failed.push((at, error));
                break;
            }
        }
    }
    window.finish().await
}

/// What is sent and not confirmed.
struct Window<'p> {
    broker: &'p Broker,
    timeout: Duration,
    waiting: VecDeque<Waiting>,
    /// How many bytes of bodies wait.
    bytes: usize,
    failed: Vec<(usize, PublishError)>,
    /// A message was not confirmed in its time: those behind it are not sent.
    is_over: bool,
}

struct Waiting {
    at: usize,
    len: usize,
    /// None where the clock does not count as far.
    until: Option<Instant>,
    confirm: Confirm,
    sending: Sending,
}

impl<'p> Window<'p> {
    fn new(publisher: &'p Publisher) -> Self {
        Self {
            broker: &publisher.broker,
            timeout: publisher.timeout,
            waiting: VecDeque::new(),
            bytes: 0,
            failed: Vec::new(),
            is_over: false,
        }
    }

    async fn send(&mut self, at: usize, message: Addressed, sending: Sending) {
        let sent = match self.broker {
            Broker::Rabbit { line, delays } => match self.begin(line, delays, message).await {
                Ok((len, until, confirm)) => {
                    self.bytes += len;
                    return self.waiting.push_back(Waiting {
                        at,
                        len,
                        until,
                        confirm,
                        sending,
                    });
                }
                Err(error) => Err(error),
            },
            Broker::Memory(broker) => broker.send(message).await.map_err(PublishError::from),
            Broker::Recorded(recorder) => {
                recorder.note(message, None);
                Ok(())
            }
        };
        self.end(at, sending, sent);
    }

    fn end(&mut self, at: usize, sending: Sending, sent: Result<(), PublishError>) {
        sending.end(sent.as_ref().err(), PublishError::kind);
        if let Err(error) = sent {
            self.failed.push((at, error));
        }
    }

    /// Sends it once there is room in the window.
    async fn begin(
        &mut self,
        line: &Line,
        delays: &Declarations,
        message: Addressed,
    ) -> Result<(usize, Option<Instant>, Confirm), PublishError> {
        let len = message.message.body().len();
        while self.waiting.len() >= MESSAGES
            || (self.bytes + len > BYTES && !self.waiting.is_empty())
        {
            self.settle_first(line, delays).await;
        }
        if self.is_over {
            return Err(line.overdue(self.timeout).into());
        }
        let until = Instant::now().checked_add(self.timeout);
        match by(until, line.begin(message)).await {
            Some(begun) => Ok((len, until, begun?)),
            None => {
                self.is_over = true;
                Err(line.overdue(self.timeout).into())
            }
        }
    }

    async fn settle_first(&mut self, line: &Line, delays: &Declarations) {
        let Some(Waiting {
            at,
            len,
            until,
            confirm,
            sending,
        }) = self.waiting.pop_front()
        else {
            return;
        };
        self.bytes -= len;
        let confirmed: Result<(), RabbitPublishError> = match by(until, confirm).await {
            Some(confirmed) => confirmed,
            None => {
                self.is_over = true;
                Err(line.overdue(self.timeout))
            }
        };
        if let Err(RabbitPublishError::Unroutable(queue)) = &confirmed {
            delays.forget(queue);
        }
        self.end(at, sending, confirmed.map_err(PublishError::from));
    }

    async fn finish(mut self) -> Result<(), PublishAllError> {
        if let Broker::Rabbit { line, delays } = self.broker {
            while !self.waiting.is_empty() {
                self.settle_first(line, delays).await;
            }
        }
        PublishAllError::of(self.failed)
    }
}

/// What comes by then.
async fn by<T>(until: Option<Instant>, coming: impl Future<Output = T>) -> Option<T> {
    match until {
        Some(until) => timeout_at(until, coming).await.ok(),
        None => Some(coming.await),
    }
}
