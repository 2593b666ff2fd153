use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use super::time;
use crate::message::{Headers, Message, Value, header_names as headers};

/// A message in a dead-letter queue, while it is looked at.
///
/// What it says of its failure is what stands in its headers: letters that somebody else put there may say nothing.
/// `Debug` prints its name alone.
#[derive(Clone)]
pub struct Letter {
    message: Message,
    dead_letter_queue: Arc<str>,
    pub(super) tag: u64,
}

impl Letter {
    pub(super) fn new(message: Message, dead_letter_queue: &Arc<str>, tag: u64) -> Self {
        Self {
            message,
            dead_letter_queue: dead_letter_queue.clone(),
            tag,
        }
    }

    #[cfg(test)]
    pub(crate) fn of_test(message: Message) -> Self {
        Self::new(message, &"q_dlq".into(), 1)
    }

    /// What names it in every tool: the header `ploomby-dead-letter-id`. A letter without the header, from an earlier
    /// ploomby or another program, or with an empty one, is named by what it holds: `x` and 16 digits.
    pub fn id(&self) -> String {
        let named = self.text(headers::DEAD_LETTER_ID);
        match named.filter(|id| !id.is_empty()) {
            Some(id) => id.to_owned(),
            None => format!("x{:016x}", self.fingerprint()),
        }
    }

    /// Whether it is meant by this name, or by the end of it.
    pub(super) fn is_named(&self, name: &str) -> bool {
        const SHORTEST: usize = 8;

        let id = self.id();
        id == name || (name.len() >= SHORTEST && id.ends_with(name))
    }

    /// The message as it is.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The dead-letter queue that it is in.
    pub fn dead_letter_queue(&self) -> &str {
        &self.dead_letter_queue
    }

    /// The queue where it failed.
    pub fn queue(&self) -> Option<&str> {
        self.text(headers::QUEUE)
    }

    /// The key that names its handler.
    pub fn key(&self) -> Option<&str> {
        self.text(headers::KEY)
    }

    /// The [`Reason`](crate::Reason), as text.
    pub fn reason(&self) -> Option<&str> {
        self.text(headers::REASON)
    }

    /// The error with its causes.
    pub fn error(&self) -> Option<&str> {
        self.text(headers::ERROR)
    }

    /// The type of the error.
    pub fn error_type(&self) -> Option<&str> {
        self.text(headers::ERROR_TYPE)
    }

    /// The path of the handler.
    pub fn handler(&self) -> Option<&str> {
        self.text(headers::HANDLER)
    }

    /// Where the handler panicked, `file:line`.
    pub fn location(&self) -> Option<&str> {
        self.text(headers::LOCATION)
    }

    /// Name and version of the program where it failed.
    pub fn app(&self) -> Option<&str> {
        self.text(headers::APP)
    }

    /// How often a handler tried.
    pub fn attempts(&self) -> Option<u32> {
        u32::try_from(self.headers().number(headers::ATTEMPTS)?).ok()
    }

    /// When it failed.
    pub fn failed_at(&self) -> Option<SystemTime> {
        self.time(headers::FAILED_AT)
    }

    /// How often it was replayed before.
    pub fn replayed(&self) -> u32 {
        let replayed = self.headers().number(headers::REPLAYED);
        replayed.map_or(0, |replayed| u32::try_from(replayed).unwrap_or(0))
    }

    /// The letter that was edited before this one failed.
    pub fn edited_from(&self) -> Option<&str> {
        self.text(headers::EDITED_FROM)
    }

    /// The exchange and the routing key that the message was sent with, where it came another way than by the name of
    /// its queue.
    pub fn address(&self) -> Option<(&str, &str)> {
        let routing_key = self.text(headers::ROUTING_KEY)?;
        Some((
            self.text(headers::EXCHANGE).unwrap_or_default(),
            routing_key,
        ))
    }

    /// The trace that the message belongs to, of its header `traceparent`.
    pub fn trace_id(&self) -> Option<&str> {
        self.text("traceparent")?.split('-').nth(1)
    }

    /// The parts that are written about it in a list.
    pub fn summary(&self) -> Summary<'_> {
        Summary {
            v: 1,
            id: self.id(),
            dead_letter_queue: &self.dead_letter_queue,
            queue: self.queue(),
            key: self.key(),
            reason: self.reason(),
            error: self.error(),
            error_type: self.error_type(),
            handler: self.handler(),
            location: self.location(),
            app: self.app(),
            attempts: self.attempts(),
            failed_at: self.failed_at().map(time::written),
            replayed: self.replayed(),
            message_id: self.message.properties().message_id(),
            trace_id: self.trace_id(),
            bytes: self.message.body().len(),
        }
    }

    pub(super) fn headers(&self) -> Headers<'_> {
        self.message.headers()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.headers().text(name)
    }

    fn time(&self, name: &str) -> Option<SystemTime> {
        let seconds = match self.headers().get(name)? {
            Value::Timestamp(seconds) => seconds,
            other => u64::try_from(other.as_i64()?).ok()?,
        };
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    /// The same for the same letter, in every version (FNV-1a).
    pub(super) fn fingerprint(&self) -> u64 {
        let properties = self.message.properties();
        let id = properties.message_id().unwrap_or_default();
        let bytes = id
            .bytes()
            .chain([0])
            .chain(self.message.body().iter().copied());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Letter").field(&self.id()).finish()
    }
}

/// What a letter says of itself, as it is written in JSON: version 1 of the form. The body is no part of it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Summary<'l> {
    /// The version of this form.
    pub v: u32,
    /// [`Letter::id`].
    pub id: String,
    /// [`Letter::dead_letter_queue`].
    pub dead_letter_queue: &'l str,
    /// [`Letter::queue`].
    pub queue: Option<&'l str>,
    /// [`Letter::key`].
    pub key: Option<&'l str>,
    /// [`Letter::reason`].
    pub reason: Option<&'l str>,
    /// [`Letter::error`].
    pub error: Option<&'l str>,
    /// [`Letter::error_type`].
    pub error_type: Option<&'l str>,
    /// [`Letter::handler`].
    pub handler: Option<&'l str>,
    /// [`Letter::location`].
    pub location: Option<&'l str>,
    /// [`Letter::app`].
    pub app: Option<&'l str>,
    /// [`Letter::attempts`].
    pub attempts: Option<u32>,
    /// [`Letter::failed_at`], in UTC after RFC 3339.
    pub failed_at: Option<String>,
    /// [`Letter::replayed`].
    pub replayed: u32,
    /// The message id.
    pub message_id: Option<&'l str>,
    /// [`Letter::trace_id`].
    pub trace_id: Option<&'l str>,
    /// The length of the body.
    pub bytes: usize,
}
