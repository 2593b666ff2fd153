#![expect(
    clippy::return_self_not_must_use,
    reason = "an assertion returns itself for more of them"
)]

use std::{fmt, marker::PhantomData, time::Duration};

use serde::de::DeserializeOwned;

use super::journal::{self, Journal};
use crate::{
    codec::{Codec, Format},
    delivery::ReplyStyle,
    message::Message,
    outcome::{Outcome, Reason},
    reply,
    rpc::CallError,
};

/// All that came of what a test did. What it asserts fails with the [`Journal`].
pub struct Run {
    journal: Journal,
    reply: Replied,
}

enum Replied {
    NoCall,
    Nobody,
    With(Box<Result<Message, CallError>>),
}

impl Run {
    pub(super) fn new(journal: Journal) -> Self {
        Self {
            journal,
            reply: Replied::NoCall,
        }
    }

    pub(super) fn called(&mut self, reply: Option<Result<Message, CallError>>) {
        self.reply = match reply {
            Some(reply) => Replied::With(Box::new(reply)),
            None => Replied::Nobody,
        };
    }

    /// The deliveries of messages with this key, whatever their queue. One that a layer answered for its handler is among
    /// them.
    #[must_use]
    pub fn handled(&self, key: &str) -> Handled<'_> {
        let deliveries = self.journal.handled();
        Handled {
            deliveries: deliveries
                .filter(|handled| handled.key.as_deref() == Some(key))
                .collect(),
            what: format!("`{key}`"),
            journal: &self.journal,
        }
    }

    /// The messages that the program sent to a queue, straight or through an exchange, at once or with a delay. The test's own
    /// are not among them, nor are replies.
    #[must_use]
    pub fn sent<T>(&self, queue: &str) -> Sent<'_, T> {
        let messages = self.journal.sent();
        Sent {
            messages: messages
                .filter(|sent| sent.queues.iter().any(|name| name == queue))
                .collect(),
            what: format!("to `{queue}`"),
            journal: &self.journal,
            payload: PhantomData,
        }
    }

    /// The messages that the program sent through an exchange, whether a queue took them or not.
    #[must_use]
    pub fn sent_through<T>(&self, exchange: &str) -> Sent<'_, T> {
        let messages = self.journal.sent();
        Sent {
            messages: messages.filter(|sent| sent.exchange == exchange).collect(),
            what: format!("through `{exchange}`"),
            journal: &self.journal,
            payload: PhantomData,
        }
    }

    /// The value that a [call](super::TestRunning::call) was answered with.
    ///
    /// # Panics
    ///
    /// If it was answered with an error, or not at all.
    #[must_use]
    #[track_caller]
    pub fn reply<R: DeserializeOwned>(&self) -> R {
        let failed = |why: &dyn fmt::Display| -> R {
            panic!("no value came of the call: {why}\n{}", self.told());
        };
        let reply = match &self.reply {
            Replied::NoCall => return failed(&"the run is not that of a `call`"),
            Replied::Nobody => return failed(&"nobody replied"),
            Replied::With(reply) => reply,
        };
        let read = |reply: &Message| reply::read(reply.clone(), ReplyStyle::Ploomby);
        match reply.as_ref().as_ref().map(read) {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => failed(&CallError::from(error)),
            Err(error) => failed(error),
        }
    }

    /// The error that a [call](super::TestRunning::call) ended with.
    ///
    /// # Panics
    ///
    /// If it was answered with a value, or not at all.
    #[must_use]
    #[track_caller]
    pub fn call_error(&self) -> &CallError {
        match &self.reply {
            Replied::With(reply) => match &**reply {
                Err(error) => error,
                Ok(_) => panic!("the call was answered with a value\n{}", self.told()),
            },
            Replied::Nobody => panic!("nobody replied\n{}", self.told()),
            Replied::NoCall => panic!("the run is not that of a `call`\n{}", self.told()),
        }
    }

    /// What happened.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    fn told(&self) -> String {
        format!("what happened:\n{}", self.journal)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.told())
    }
}

/// The deliveries of messages with one key.
#[derive(Clone, Debug)]
pub struct Handled<'r> {
    deliveries: Vec<&'r journal::Handled>,
    what: String,
    journal: &'r Journal,
}

impl<'r> Handled<'r> {
    /// So many messages came, however often each was tried.
    #[track_caller]
    pub fn times(self, messages: usize) -> Self {
        let found = self.last_attempts().len();
        self.assert(found == messages, || {
            format!(
                "handled as {}, not {}",
                count(found, "message"),
                count(messages, "message")
            )
        })
    }

    /// One message came.
    #[track_caller]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// No message came.
    #[track_caller]
    pub fn never(self) {
        let _ = self.times(0);
    }

    /// Messages were delivered so often, all together.
    #[track_caller]
    pub fn attempts(self, attempts: usize) -> Self {
        let found = self.deliveries.len();
        self.assert(found == attempts, || {
            format!(
                "tried {}, not {}",
                count(found, "time"),
                count(attempts, "time")
            )
        })
    }

    /// The last attempt at each message ended so. What has no attempt left is [`Outcome::DeadLetter`].
    #[track_caller]
    pub fn outcome(self, outcome: Outcome) -> Self {
        let last = self.last_attempts();
        let other = last.iter().find(|last| last.outcome != Some(outcome));
        let problem = match other {
            _ if last.is_empty() => Some("not handled".to_owned()),
            Some(journal::Handled {
                outcome: Some(found),
                ..
            }) => Some(format!("settled by {found:?}, not {outcome:?}")),
            Some(_) => Some(format!("held, not settled by {outcome:?}")),
            None => None,
        };
        self.assert(problem.is_none(), || problem.unwrap_or_default())
    }

    /// An attempt failed with an error whose words, with those of its causes, have this text.
    #[track_caller]
    pub fn error(self, text: &str) -> Self {
        let failures = || {
            self.deliveries
                .iter()
                .filter_map(|last| last.failure.as_ref())
        };
        let is_there = failures().any(|(_, error)| error.contains(text));
        let found: Vec<_> = failures().map(|(_, error)| format!("{error:?}")).collect();
        self.assert(is_there, || match &*found {
            [] => format!("not failed, and not with {text:?}"),
            found => format!("failed with {}, not with {text:?}", found.join(", ")),
        })
    }

    /// An attempt failed for this reason.
    #[track_caller]
    pub fn reason(self, reason: Reason) -> Self {
        let failures = || {
            self.deliveries
                .iter()
                .filter_map(|last| last.failure.as_ref())
        };
        let is_there = failures().any(|(found, _)| *found == reason);
        let found: Vec<_> = failures().map(|(found, _)| found.as_str()).collect();
        self.assert(is_there, || match &*found {
            [] => format!("not failed, and not by {reason}"),
            found => format!("failed by {}, not by {reason}", found.join(", ")),
        })
    }

    /// The last delivery of each message. A message without an id is told from others by nothing, and counts by itself.
    fn last_attempts(&self) -> Vec<&'r journal::Handled> {
        let mut last: Vec<&journal::Handled> = Vec::new();
        for delivery in &self.deliveries {
            let is_same = |other: &&mut &journal::Handled| {
                other.message_id.is_some()
                    && (&other.message_id, &other.queue) == (&delivery.message_id, &delivery.queue)
            };
            match last.iter_mut().find(is_same) {
                Some(known) => *known = delivery,
                None => last.push(delivery),
            }
        }
        last
    }

    #[track_caller]
    fn assert(self, holds: bool, problem: impl FnOnce() -> String) -> Self {
        check(
            holds,
            || format!("{} was {}", self.what, problem()),
            self.journal,
        );
        self
    }
}

/// Messages that the program sent.
pub struct Sent<'r, T> {
    messages: Vec<&'r journal::Sent>,
    what: String,
    journal: &'r Journal,
    payload: PhantomData<fn() -> T>,
}

impl<T> Sent<'_, T> {
    /// So many were sent.
    #[track_caller]
    pub fn times(self, messages: usize) -> Self {
        let found = self.messages.len();
        self.assert(found == messages, || {
            format!("{} sent, not {messages}", was(found))
        })
    }

    /// One was sent.
    #[track_caller]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// None was sent.
    #[track_caller]
    pub fn none(self) {
        let _ = self.times(0);
    }

    /// One of them waits for so long before it comes to its queue.
    #[track_caller]
    pub fn delayed(self, delay: Duration) -> Self {
        let is_there = self.messages.iter().any(|sent| sent.delay == Some(delay));
        self.assert(is_there, || {
            format!("none was sent with a delay of {delay:?}")
        })
    }

    /// The messages themselves.
    #[must_use]
    pub fn messages(&self) -> Vec<&Message> {
        self.messages.iter().map(|sent| &sent.message).collect()
    }

    #[track_caller]
    fn assert(self, holds: bool, problem: impl FnOnce() -> String) -> Self {
        check(
            holds,
            || format!("{}: {}", self.what, problem()),
            self.journal,
        );
        self
    }
}

impl<T: DeserializeOwned> Sent<'_, T> {
    /// Their payloads.
    ///
    /// # Panics
    ///
    /// If one does not decode.
    #[must_use]
    #[track_caller]
    pub fn payloads(&self) -> Vec<T> {
        let mut payloads = Vec::new();
        for sent in &self.messages {
            match decode(&sent.message) {
                Ok(payload) => payloads.push(payload),
                Err(error) => panic!(
                    "{}: a message that does not decode: {error}\nwhat happened:\n{}",
                    self.what, self.journal
                ),
            }
        }
        payloads
    }

    /// One of them has this payload.
    #[track_caller]
    pub fn with(self, payload: &T) -> Self
    where
        T: PartialEq + fmt::Debug,
    {
        let is_there = self.payloads().contains(payload);
        self.assert(is_there, || format!("none was sent with {payload:?}"))
    }
}

impl<T> fmt::Debug for Sent<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.messages).finish()
    }
}

/// Fails a test with what is wrong and what happened, if something is.
#[track_caller]
pub(super) fn check(holds: bool, problem: impl FnOnce() -> String, journal: &Journal) {
    assert!(holds, "{}\nwhat happened:\n{journal}", problem());
}

/// The payload of a message.
pub(super) fn decode<T: DeserializeOwned>(message: &Message) -> Result<T, String> {
    let format = Format::of(message.properties().content_type());
    let codec = match format.map_err(|failure| failure.text.clone())? {
        Format::Unspecified => Codec::default(),
        Format::Serde(codec) => codec,
        #[cfg(feature = "protobuf")]
        Format::Protobuf => return Err("it is in Protobuf: take `messages`".to_owned()),
    };
    let decoded = codec.decode(message.body());
    decoded.map_err(|failure| failure.text.clone())
}

pub(super) fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

pub(super) fn was(number: usize) -> String {
    match number {
        0 => "none was".to_owned(),
        1 => "1 was".to_owned(),
        number => format!("{number} were"),
    }
}
