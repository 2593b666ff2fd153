use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{sync::oneshot, time::Instant};

use super::RabbitPublishError;
use crate::{message::Addressed, rabbit::traffic::OnItsWay, stage};

/// A message whose sender waits to hear what became of it.
#[derive(Debug)]
pub(in crate::rabbit) struct Unconfirmed {
    pub(in crate::rabbit) addressed: Addressed,
    pub(in crate::rabbit) on_loss: OnLoss,
    /// The call that it makes, where it makes one.
    pub(in crate::rabbit) call: Option<u64>,
    /// It goes over a channel that carried no other before.
    pub(in crate::rabbit) needs_fresh_channel: bool,
    pub(super) since: Instant,
    /// A test watches what becomes of it.
    pub(in crate::rabbit) watched: Option<Box<dyn stage::OnItsWay>>,
    /// From when it was handed to a connection.
    pub(super) on_its_way: Option<OnItsWay>,
    pub(super) returned: bool,
    /// What the channel knows it by.
    pub(super) number: u64,
    /// What it comes back as, where no queue takes it.
    pub(super) identity: u64,
    confirm: oneshot::Sender<Result<(), RabbitPublishError>>,
}

/// Resolves once it is known what became of a message.
#[derive(Debug)]
pub(crate) struct Confirm(oneshot::Receiver<Result<(), RabbitPublishError>>);

impl Future for Confirm {
    type Output = Result<(), RabbitPublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|confirmed| {
            let lost = || RabbitPublishError::Lost("the channel was closed".to_owned());
            confirmed.unwrap_or_else(|_| Err(lost()))
        })
    }
}

/// What becomes of an unconfirmed message whose channel is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rabbit) enum OnLoss {
    /// Its sender hears of it.
    Fail,
    /// It is sent again, as long as its sender waits.
    SendAgain,
    /// A copy, whose original comes back with a lost connection: to send it again would make two of it. Where
    /// the broker refused a message, it is sent again, since it was another one that was at fault.
    FailUnlessRefused,
}

impl Unconfirmed {
    /// The message, and what tells its sender.
    pub(in crate::rabbit) fn new(addressed: Addressed, on_loss: OnLoss) -> (Box<Self>, Confirm) {
        let (confirm, confirmed) = oneshot::channel();
        let unconfirmed = Box::new(Self {
            addressed,
            on_loss,
            call: None,
            needs_fresh_channel: false,
            watched: None,
            since: Instant::now(),
            on_its_way: None,
            returned: false,
            number: 0,
            identity: 0,
            confirm,
        });
        (unconfirmed, Confirm(confirmed))
    }

    /// Whether nobody waits any more.
    pub(in crate::rabbit) fn is_abandoned(&self) -> bool {
        self.confirm.is_closed()
    }

    pub(in crate::rabbit) fn settle(mut self, result: Result<(), RabbitPublishError>) {
        if let Some(mut watched) = self.watched.take() {
            match &result {
                Ok(()) => watched.arrived(),
                Err(RabbitPublishError::Unroutable(_) | RabbitPublishError::Unbound { .. }) => {
                    watched.is_unroutable();
                }
                Err(_) => {}
            }
        }
        // whoever waited may have given up
        let _ = self.confirm.send(result);
    }

    pub(super) fn is(&self, exchange: &str, routing_key: &str, message_id: Option<&str>) -> bool {
        let Addressed { message, .. } = &self.addressed;
        self.addressed.exchange == exchange
            && self.addressed.routing_key == routing_key
            && message.properties().message_id() == message_id
    }

    pub(super) fn unroutable(&self) -> RabbitPublishError {
        let Addressed {
            exchange,
            routing_key,
            ..
        } = &self.addressed;
        match &**exchange {
            "" => RabbitPublishError::Unroutable(routing_key.clone()),
            exchange => RabbitPublishError::Unbound {
                exchange: exchange.to_owned(),
                routing_key: routing_key.clone(),
            },
        }
    }
}
