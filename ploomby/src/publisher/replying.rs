use serde::Serialize;

use super::{PublishError, Publisher};
use crate::{
    codec::EncodeError,
    delivery,
    message::{Message, Properties},
    outcome::ErrorReply,
    reply,
};

const NO_PLACE: &str = "`reply_to` names a queue in which ploomby keeps dead letters, or messages that wait: no \
                        reply may go there";

impl Publisher {
    /// Answers a request, such as that of an [`RpcClient`](crate::RpcClient), with a value, in the codec of
    /// the request. One that asks for no reply gets none.
    ///
    /// Whoever wrote the request says where the reply goes, and it is sent with the rights of this program. What a
    /// handler returns is sent with more care: [`reply_addresses`](crate::Queue::reply_addresses) of its queue hold
    /// for that, and not for this.
    ///
    /// ```
    /// use ploomby::{PublishError, Properties, Publisher};
    ///
    /// async fn double(number: u32, request: &Properties, publisher: &Publisher) -> Result<(), PublishError> {
    ///     publisher.reply(request, &(number * 2)).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [What an error means](Self#what-an-error-means); but that nobody waits any more is none.
    pub async fn reply<T: Serialize + ?Sized>(
        &self,
        request: &Properties,
        value: &T,
    ) -> Result<(), PublishError> {
        let codec = reply::codec_for(request, self.settings.codec);
        self.send_reply(request, reply::value(value, codec)).await
    }

    /// Answers a request with an error, in the codec of the request. One that asks for no reply gets none.
    ///
    /// # Errors
    ///
    /// [What an error means](Self#what-an-error-means); but that nobody waits any more is none.
    pub async fn reply_error(
        &self,
        request: &Properties,
        error: &ErrorReply,
    ) -> Result<(), PublishError> {
        let codec = reply::codec_for(request, self.settings.codec);
        self.send_reply(request, error.to_reply(codec)).await
    }

    async fn send_reply(
        &self,
        request: &Properties,
        reply: Result<Message, EncodeError>,
    ) -> Result<(), PublishError> {
        let reply = reply.map_err(PublishError::Invalid)?;
        match request.reply_to() {
            None | Some("") => Ok(()),
            Some(companion) if delivery::is_companion(companion) => {
                Err(PublishError::Invalid(NO_PLACE.into()))
            }
            Some(reply_to) => {
                let reply = reply::correlated(reply, request);
                let reply = self.to(reply_to).message(reply).transient();
                reply.allow_unroutable().send().await
            }
        }
    }
}
