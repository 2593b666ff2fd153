use std::{
    borrow::Cow,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    condition::{Changing, Ended},
    conversation::{Conversation, Verdict},
    fault::Fault,
    frames::{Fate, Frame, Judge},
    kept::Kept,
    mend,
    methods::{
        self, BASIC_DELIVER, BASIC_PUBLISH, BASIC_RETURN, CHANNEL_CLOSE, CONNECTION_BLOCKED,
        CONNECTION_CLOSE, CONNECTION_UNBLOCKED,
    },
    restore,
    wire::{Bytes, END, HEADER, HEADER_PREFIX, HEARTBEAT, METHOD, Reader},
};
use crate::message::raw_text;

/// What both directions know.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Conversation>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Conversation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Judges what the broker sends.
#[derive(Debug)]
pub(super) struct FromBroker<'a> {
    shared: &'a Shared,
    condition: &'a Changing,
    /// What was kept of a method whose message follows, and on which channel. It is next to always empty.
    kept: Vec<(u16, Kept)>,
}

impl<'a> FromBroker<'a> {
    pub(super) fn new(shared: &'a Shared, condition: &'a Changing) -> Self {
        Self {
            shared,
            condition,
            kept: Vec::new(),
        }
    }

    fn method(&mut self, frame: Frame<'_>) -> Result<Fate, Fault> {
        let (method, arguments) = methods::split(frame.payload)?;
        let expected = methods::from_broker(method).ok_or(Fault::Method(method))?;
        let plain = mend::is_method_plain(arguments, expected)?;
        if self.shared.lock().broker_sends(frame.channel, method)? == Verdict::Late {
            return Ok(Fate::Drop);
        }
        match method {
            BASIC_DELIVER => {
                let mut arguments = Reader(arguments);
                let (_consumer_tag, tag) = (arguments.short()?, arguments.u64()?);
                self.shared.lock().delivery(frame.channel, tag)?;
            }
            CONNECTION_BLOCKED => {
                self.condition.set_blocked(Some(text_at(arguments, 0)?));
                return Ok(Fate::Drop);
            }
            CONNECTION_UNBLOCKED => {
                self.condition.set_blocked(None);
                return Ok(Fate::Drop);
            }
            CONNECTION_CLOSE => self.condition.end(Ended::Closed {
                code: Reader(arguments).u16()?,
                text: text_at(arguments, 2)?,
            }),
            _ => {}
        }
        if plain {
            return Ok(Fate::Pass);
        }
        let mut kept = Kept::default();
        let is_for_people = matches!(method, CONNECTION_CLOSE | CHANNEL_CLOSE);
        let instead = framed(frame, |bytes| {
            let bytes = bytes.u16(method.0).u16(method.1);
            mend::method(bytes, arguments, expected, |string| match is_for_people {
                true => Cow::Owned(readable(string)),
                false => kept.carry(string),
            })
        })?;
        if matches!(method, BASIC_DELIVER | BASIC_RETURN) && !kept.is_empty() {
            self.kept.push((frame.channel, kept));
        }
        Ok(Fate::Instead(instead))
    }

    fn header(&mut self, frame: Frame<'_>) -> Result<Fate, Fault> {
        let (prefix, properties) = split_header(frame.payload)?;
        let mut reader = Reader(prefix);
        let (class, _weight, size) = (reader.u16()?, reader.u16()?, reader.u64()?);
        self.shared.lock().header(frame.channel, class, size)?;
        let of_method = self
            .kept
            .iter()
            .position(|(channel, _)| *channel == frame.channel);
        if mend::is_plain(properties)? && of_method.is_none() {
            return Ok(Fate::Pass);
        }
        let kept = match of_method {
            Some(index) => self.kept.swap_remove(index).1,
            None => Kept::default(),
        };
        let instead = framed(frame, |bytes| {
            mend::properties(bytes.raw(prefix), properties, kept)
        });
        Ok(Fate::Instead(instead?))
    }
}

impl Judge for FromBroker<'_> {
    fn judge(&mut self, frame: Frame<'_>) -> Result<Fate, Fault> {
        match frame.kind {
            METHOD => self.method(frame),
            HEADER => self.header(frame),
            // the relay knows that something came, and the client need not
            HEARTBEAT => Ok(Fate::Drop),
            _ => {
                self.shared.lock().body(frame.channel, frame.len)?;
                Ok(Fate::Pass)
            }
        }
    }
}

/// Judges what the client sends.
#[derive(Debug)]
pub(super) struct FromClient<'a> {
    shared: &'a Shared,
}

impl<'a> FromClient<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    fn method(&self, frame: Frame<'_>) -> Result<Fate, Fault> {
        let (method, arguments) = methods::split(frame.payload)?;
        self.shared.lock().client_sends(frame.channel, method);
        if method != BASIC_PUBLISH || !raw_text::has_marks(arguments) {
            return Ok(Fate::Pass);
        }
        let instead = framed(frame, |bytes| {
            restore::publish(bytes.u16(method.0).u16(method.1), arguments)
        });
        Ok(Fate::Instead(instead?))
    }
}

impl Judge for FromClient<'_> {
    fn judge(&mut self, frame: Frame<'_>) -> Result<Fate, Fault> {
        match frame.kind {
            METHOD => self.method(frame),
            HEADER if raw_text::has_marks(frame.payload) => {
                let (prefix, properties) = split_header(frame.payload)?;
                let instead = framed(frame, |bytes| {
                    restore::properties(bytes.raw(prefix), properties)
                });
                Ok(Fate::Instead(instead?))
            }
            // the relay sends those that the broker needs
            HEARTBEAT => Ok(Fate::Drop),
            _ => Ok(Fate::Pass),
        }
    }
}

fn split_header(payload: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    payload
        .split_at_checked(HEADER_PREFIX)
        .ok_or(Fault::Overrun)
}

/// A frame like this one, with another payload.
fn framed(
    frame: Frame<'_>,
    payload: impl FnOnce(Bytes) -> Result<Bytes, Fault>,
) -> Result<Vec<u8>, Fault> {
    let bytes = Bytes::new().u8(frame.kind).u16(frame.channel);
    Ok(bytes.long_with(payload)?.u8(END).0)
}

/// The short string behind so many bytes, for people to read.
fn text_at(arguments: &[u8], at: usize) -> Result<String, Fault> {
    let mut reader = Reader(arguments);
    reader.take(at)?;
    Ok(readable(reader.short()?))
}

/// Text that people read, which has room in a short string.
pub(super) fn readable(string: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(string).into_owned();
    while text.len() > usize::from(u8::MAX) {
        text.pop();
    }
    text
}
