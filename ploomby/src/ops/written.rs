//! Messages for handlers, written by hand.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value as Json;

use super::{Done, Fit, Ops, OpsError};
use crate::{
    delivery::ReplyStyle,
    message::{Message, Value},
    publisher::{Draft, Settings},
    rpc::{CallError, RpcClient},
};

/// What is to be said to a handler, and to which one.
///
/// ```
/// use std::time::Duration;
/// use ploomby::ops::ToHandler;
///
/// let message = ToHandler::new("billing", "charge", r#"{"cents": 100}"#)
///     .header("tenant", "acme")
///     .delay(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ToHandler {
    queue: String,
    key: String,
    body: Bytes,
    headers: Vec<(String, Value)>,
    id: Option<String>,
    delay: Option<Duration>,
}

/// A message as it would be sent. By [`Ops::write`].
#[derive(Clone, Debug)]
pub struct Written {
    queue: String,
    message: Message,
    delay: Option<Duration>,
}

impl ToHandler {
    /// To the handler of this key, by its queue. A body that is JSON says so in its content type.
    pub fn new(queue: impl Into<String>, key: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            queue: queue.into(),
            key: key.into(),
            body: body.into(),
            headers: Vec::new(),
            id: None,
            delay: None,
        }
    }

    /// With this header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With this message id (default: a new one).
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// To be there after this time.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }
}

impl Written {
    /// The queue that it is for.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// How long it waits before it is there.
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }

    fn id(&self) -> String {
        let id = self.message.properties().message_id();
        id.unwrap_or_default().to_owned()
    }
}

impl Ops {
    /// Writes a message, with its key where the queue has its keys: as the property `type` if the program does not have
    /// the queue. Nothing is connected.
    ///
    /// # Errors
    ///
    /// [`OpsError::Message`], for one that AMQP cannot carry.
    pub fn write(&self, to: &ToHandler) -> Result<Written, OpsError> {
        let mut settings = Settings::default();
        if let Some(queue) = self.program.set_up(&to.queue) {
            settings.key = queue.key.clone();
        }
        settings.app = self.program.name.as_deref().map(Into::into);
        let mut draft = Draft::new(&Arc::new(settings), "", &to.queue);
        draft.set_key(&to.key);
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&to.body).is_ok();
        draft.set_body(to.body.clone(), is_json.then_some("application/json"));
        for (name, value) in &to.headers {
            draft.set_header(name, value.clone());
        }
        if let Some(id) = &to.id {
            draft.change(|properties| properties.with_message_id(id));
        }
        draft.set_delay(to.delay.unwrap_or_default());
        let delay = draft.delay();
        let addressed = draft.finish().map_err(OpsError::Message)?;
        Ok(Written {
            queue: to.queue.clone(),
            message: addressed.message,
            delay,
        })
    }

    /// Whether the program would take a message: it has a handler for the key, and the body decodes into what the
    /// handler takes. No handler and no extractor of yours runs.
    pub fn fits_message(&self, queue: &str, message: &Message) -> Fit {
        self.fit(queue, ("", queue), message.clone())
    }

    /// Sends a message, confirmed and mandatory. Says its message id.
    ///
    /// # Errors
    ///
    /// [`OpsError::Message`], and a broker that is not there.
    pub async fn publish(&self, written: &Written) -> Result<String, OpsError> {
        let publisher = self.publisher().await.map_err(OpsError::Message)?;
        let outgoing = publisher.to(&written.queue);
        let outgoing = outgoing.verbatim(written.message.clone());
        let outgoing = outgoing.delay(written.delay.unwrap_or_default());
        outgoing.send().await.map_err(OpsError::Message)?;
        let mut done = Done::default();
        done.note(written.id());
        self.tell("publish", &written.queue, &done);
        Ok(written.id())
    }

    /// Sends a message to a handler, and waits for the value that it returns.
    ///
    /// # Errors
    ///
    /// There is no value, and why.
    pub async fn call(&self, written: &Written, timeout: Duration) -> Result<Json, CallError> {
        let publisher = self.publisher().await?;
        let mut client = RpcClient::beside(publisher).await?;
        let set_up = self.program.set_up(&written.queue);
        if set_up.is_some_and(|queue| queue.options.policy.reply_style == ReplyStyle::Python) {
            client = client.python_replies();
        }
        let call = client.to(&written.queue).timeout(timeout);
        let value = call.verbatim(written.message.clone()).call().await;
        client.close().await;
        value
    }
}
