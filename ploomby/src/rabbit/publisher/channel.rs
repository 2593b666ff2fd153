use std::{fmt, sync::Arc};

use amqprs::channel::{BasicPublishArguments, Channel, ConfirmSelectArguments};
use tokio::time::timeout;
use tracing::warn;

use super::{RabbitPublishError, confirms::Confirms, unconfirmed::Unconfirmed};
use crate::{
    message::{Properties, Routing, fit},
    rabbit::connection::{CLOSE_TIMEOUT, Link, OpenChannel, SharedConnection},
};

/// What a content header takes beside its properties: the frame, class, weight and body size.
const HEADER_FRAME_OVERHEAD: usize = 8 + 2 + 2 + 8;

/// A channel whose messages the broker confirms.
pub(in crate::rabbit) struct ConfirmChannel {
    channel: Channel,
    _link: Arc<Link>,
    confirms: Arc<Confirms>,
    frame_max: usize,
}

impl ConfirmChannel {
    pub(in crate::rabbit) async fn open(
        connection: &SharedConnection,
    ) -> Result<Self, RabbitPublishError> {
        let OpenChannel {
            channel,
            frame_max,
            connection: link,
        } = connection.channel().await?;
        let confirms = Arc::new(Confirms::new(link.traffic().clone()));
        let lost = |error| RabbitPublishError::Lost(link.told(&error));
        channel
            .register_callback(confirms.callback(link.condition().clone()))
            .await
            .map_err(lost)?;
        let selecting = channel.confirm_select(ConfirmSelectArguments::new(false));
        match link.answer(selecting).await {
            Ok(selected) => selected.map_err(lost)?,
            Err(_) => {
                connection.pass_over(&link).await;
                return Err(RabbitPublishError::NoConfirms(link.patience()));
            }
        };
        Ok(Self {
            channel,
            _link: link,
            confirms,
            frame_max,
        })
    }

    pub(in crate::rabbit) fn is_usable(&self) -> bool {
        self.is_open() && !self.confirms.is_refusing()
    }

    pub(in crate::rabbit) fn is_open(&self) -> bool {
        !self.confirms.is_closed() && self.channel.is_open()
    }

    pub(in crate::rabbit) fn confirms(&self) -> &Arc<Confirms> {
        &self.confirms
    }

    /// amqprs closes a channel that nobody holds.
    pub(in crate::rabbit) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Hands a message to the connection. What becomes of it, its sender hears; given back is one
    /// that this channel cannot take any more.
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, it leaves the count of messages wrong, and a channel that is of no use.
    pub(in crate::rabbit) async fn publish(
        &self,
        message: Box<Unconfirmed>,
    ) -> Result<(), Box<Unconfirmed>> {
        let addressed = &message.addressed;
        let arguments = BasicPublishArguments::new(&addressed.exchange, &addressed.routing_key)
            .mandatory(addressed.routing == Routing::Mandatory)
            .finish();
        let properties = match self.fitted(addressed.message.properties.clone()) {
            Ok(properties) => properties,
            Err(error) => {
                message.settle(Err(error));
                return Ok(());
            }
        };
        let body = self.confirms.expect(message)?;
        let published = self
            .channel
            .basic_publish(properties.into_wire(), body.into(), arguments);
        // cancel safety: what is not queued then is no frame of a channel that lives
        tokio::select! {
            biased;
            published = published => if let Err(error) = published {
                self.confirms.close(&error.to_string());
            },
            // a connection that does not write any more holds up whoever waits for room in its queue
            () = self.confirms.closed() => {}
        }
        Ok(())
    }

    /// Closes the channel in order.
    pub(in crate::rabbit) async fn close(self) {
        if !matches!(
            timeout(CLOSE_TIMEOUT, self.channel.close()).await,
            Ok(Ok(()))
        ) {
            warn!("the publishing channel was not closed in order");
        }
    }

    /// The broker closes the connection on properties that do not fit into one frame.
    fn fitted(&self, properties: Properties) -> Result<Properties, RabbitPublishError> {
        let room = self.frame_max.saturating_sub(HEADER_FRAME_OVERHEAD);
        Ok(fit(properties, room)?.rebuilt()?)
    }
}

impl fmt::Debug for ConfirmChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfirmChannel").finish_non_exhaustive()
    }
}
