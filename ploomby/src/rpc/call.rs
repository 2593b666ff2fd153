use std::{fmt, pin::pin, time::Duration};

use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::{Broker, CallError, RpcClient};
use crate::{
    delivery::ReplyStyle,
    message::{Addressed, Message},
    publisher::{Draft, PublishError, draft_setters},
    reply::{self, NO_CHANNEL, NoValue, PendingCall, Tag},
};

/// Where RabbitMQ sends replies back over the channel that the request came over.
const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// What is counted apart from messages.
const CALL: &str = "call";

const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A request that is written and not sent yet; by [`RpcClient::to`] or [`RpcClient::through`].
///
/// What is wrong with it, such as a header that AMQP cannot carry, shows when it is sent.
#[must_use = "a request is sent by `call`"]
pub struct Call<'c> {
    client: &'c RpcClient,
    draft: Draft,
    timeout: Duration,
}

impl<'c> Call<'c> {
    pub(super) fn new(client: &'c RpcClient, draft: Draft) -> Self {
        Self {
            client,
            draft,
            timeout: client.timeout,
        }
    }

    draft_setters!(self => self.draft);

    /// How long this call may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends the request, and waits for the value that the handler returns.
    ///
    /// # Errors
    ///
    /// There is no value, and why.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the handler may run or not.
    pub async fn call<R: DeserializeOwned>(self) -> Result<R, CallError> {
        let style = self.client.style;
        self.counted(|reply| reply::read(reply, style)).await
    }

    /// Sends the request, and waits for the reply as it is, such as one in Protobuf. One that is an error is
    /// an error here as well.
    ///
    /// # Errors
    ///
    /// There is no reply, and why.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the handler may run or not.
    pub async fn call_raw(self) -> Result<Message, CallError> {
        let style = self.client.style;
        self.counted(|reply| reply::check(reply, style)).await
    }

    async fn counted<T>(
        mut self,
        read: impl FnOnce(Message) -> Result<T, NoValue>,
    ) -> Result<T, CallError> {
        let sending = self.draft.sending(CALL);
        let called = self.reply().await.and_then(|reply| Ok(read(reply)?));
        sending.end(called.as_ref().err(), CallError::kind);
        called
    }

    async fn reply(self) -> Result<Message, CallError> {
        let Self {
            client,
            draft,
            timeout,
        } = self;
        let (tag, _single) = match client.style {
            ReplyStyle::Ploomby => (Tag::CorrelationId, None),
            ReplyStyle::Python => (Tag::None, Some(client.single.lock().await)),
        };
        client.exchange(draft, tag, timeout).await
    }
}

impl RpcClient {
    /// Sends a request and waits for its reply.
    async fn exchange(
        &self,
        draft: Draft,
        tag: Tag,
        within: Duration,
    ) -> Result<Message, CallError> {
        // so that the sum does not overflow, and RabbitMQ takes the expiration
        let within = within.min(LONGEST);
        let deadline = Instant::now() + within;
        let mut call = self.calls.begin(tag, self.max_reply);
        match &self.broker {
            Broker::Memory(broker) => {
                let address = broker.reply_address(&self.calls);
                self.calls.sent(call.number(), Some(NO_CHANNEL));
                let request = request(draft, &call, address.name(), within)?;
                broker.send(request).await.map_err(PublishError::from)?;
                match timeout_at(deadline, call.reply()).await {
                    Ok(reply) => reply.ok_or(CallError::Lost),
                    Err(_) => Err(CallError::TimedOut(within)),
                }
            }
            Broker::Rabbit(line) => {
                let request = request(draft, &call, REPLY_TO, within)?;
                let mut is_confirmed = false;
                let exchange = async {
                    // a second reply to the call before, as of one that was handled twice, comes over that one's
                    let needs_fresh_channel = tag == Tag::None;
                    let confirm = line.call(request, call.number(), needs_fresh_channel);
                    let confirm = confirm.await?;
                    let mut confirm = pin!(confirm);
                    // both can be dropped: what came is still there
                    tokio::select! {
                        biased;
                        reply = call.reply() => return reply.ok_or(CallError::Lost),
                        confirmed = &mut confirm => confirmed?,
                    }
                    is_confirmed = true;
                    call.reply().await.ok_or(CallError::Lost)
                };
                match timeout_at(deadline, exchange).await {
                    Ok(reply) => reply,
                    Err(_) if is_confirmed => Err(CallError::TimedOut(within)),
                    Err(_) => Err(line.overdue(within).into()),
                }
            }
        }
    }
}

/// The request as it is sent.
fn request(
    mut draft: Draft,
    call: &PendingCall,
    reply_to: &str,
    within: Duration,
) -> Result<Addressed, PublishError> {
    draft.change(|properties| {
        properties
            .with_correlation_id(&call.correlation_id())?
            .with_reply_to(reply_to)
    });
    // nobody waits for its reply any more then
    draft.set_expiration(within);
    draft.set_transient();
    draft.finish()
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.draft, f)
    }
}
