use serde::Serialize;

use super::{PublishError, Publisher};
use crate::{
    codec::EncodeError,
    message::{Message, Properties},
    outcome::ErrorReply,
    reply,
};

impl Publisher {
    /// Answers a request, such as that of an [`RpcClient`](crate::RpcClient), with a value, in the codec of
    /// the request. One that asks for no reply gets none.
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
        match reply::addressed(reply, request)? {
            Some((queue, reply)) => {
                let reply = self.to(&queue).message(reply).transient();
                reply.allow_unroutable().send().await
            }
            None => Ok(()),
        }
    }
}
