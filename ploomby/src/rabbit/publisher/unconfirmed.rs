use std::time::Instant;

use tokio::sync::oneshot;

use super::RabbitPublishError;
use crate::message::Addressed;

/// A message whose sender waits to hear what became of it.
#[derive(Debug)]
pub(in crate::rabbit) struct Unconfirmed {
    pub(in crate::rabbit) addressed: Addressed,
    pub(super) on_loss: OnLoss,
    /// The call that it makes, where it makes one.
    pub(in crate::rabbit) call: Option<u64>,
    /// It goes over a channel that carried no other before.
    pub(in crate::rabbit) needs_fresh_channel: bool,
    pub(super) since: Instant,
    pub(super) returned: bool,
    confirm: oneshot::Sender<Result<(), RabbitPublishError>>,
}

/// What becomes of an unconfirmed message whose channel is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rabbit) enum OnLoss {
    Fail,
    SendAgain,
}

impl Unconfirmed {
    /// The message, and what tells its sender.
    pub(in crate::rabbit) fn new(
        addressed: Addressed,
        on_loss: OnLoss,
    ) -> (
        Box<Self>,
        impl Future<Output = Result<(), RabbitPublishError>> + Send + use<>,
    ) {
        let (confirm, confirmed) = oneshot::channel();
        let unconfirmed = Box::new(Self {
            addressed,
            on_loss,
            call: None,
            needs_fresh_channel: false,
            since: Instant::now(),
            returned: false,
            confirm,
        });
        let confirmed = async {
            confirmed.await.unwrap_or_else(|_| {
                Err(RabbitPublishError::Lost(
                    "the channel was closed".to_owned(),
                ))
            })
        };
        (unconfirmed, confirmed)
    }

    /// Whether nobody waits any more.
    pub(in crate::rabbit) fn is_abandoned(&self) -> bool {
        self.confirm.is_closed()
    }

    pub(in crate::rabbit) fn settle(self, result: Result<(), RabbitPublishError>) {
        // whoever waited may have given up
        let _ = self.confirm.send(result);
    }

    pub(super) fn is(&self, exchange: &str, routing_key: &str, message_id: Option<&str>) -> bool {
        let Addressed { message, .. } = &self.addressed;
        self.addressed.exchange == exchange
            && self.addressed.routing_key == routing_key
            && message.properties().get_message_id() == message_id
    }

    pub(super) fn unroutable(&self) -> RabbitPublishError {
        let Addressed {
            exchange,
            routing_key,
            ..
        } = &self.addressed;
        RabbitPublishError::Unroutable(match &**exchange {
            "" => routing_key.clone(),
            exchange => format!("{exchange}/{routing_key}"),
        })
    }
}
