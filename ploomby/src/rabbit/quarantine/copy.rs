use thiserror::Error;

use super::{
    properties::RawProperties,
    table,
    wire::{Bytes, Reader},
};
use crate::{Reason, message::header_names as headers};

/// What a copy tells of the message that it is of.
pub(super) struct Note<'a> {
    pub(super) queue: &'a str,
    pub(super) exchange: &'a [u8],
    pub(super) routing_key: &'a [u8],
    pub(super) error: &'a str,
    /// In seconds since 1970.
    pub(super) failed_at: u64,
}

/// Why there is no copy.
#[derive(Debug, Error)]
pub(in crate::rabbit) enum CopyError {
    #[error("its properties cannot be told apart")]
    Properties,
    #[error("its properties take more than the {room} bytes that fit into a frame")]
    TooLong { room: usize },
}

/// The properties of the copy that goes to the dead-letter queue, in at most `room` bytes: those of
/// the message, byte for byte, with the reason added. What is done to them is what
/// [`settle`](crate::settle) does to the properties of a message that can be read.
pub(super) fn dead_letter(
    properties: &[u8],
    user: &str,
    note: &Note<'_>,
    room: usize,
) -> Result<Vec<u8>, CopyError> {
    let mut properties = RawProperties::parse(properties).map_err(|_| CopyError::Properties)?;
    properties.make_persistent();
    let mut added: Vec<(&str, Vec<u8>)> = vec![
        (headers::REASON, text(Reason::Malformed.as_str().as_bytes())),
        (headers::ERROR, text(note.error.as_bytes())),
        (headers::QUEUE, text(note.queue.as_bytes())),
        // a handler never saw it
        (headers::ATTEMPTS, Bytes::new().u8(b'l').u64(0).0),
        (
            headers::FAILED_AT,
            Bytes::new().u8(b'T').u64(note.failed_at).0,
        ),
    ];
    if let Some(expiration) = properties.take_expiration() {
        added.push((headers::EXPIRATION, text(expiration)));
    }
    if let Some(sender) = properties.user_id().filter(|id| *id != user.as_bytes()) {
        properties.clear_user_id();
        added.push((headers::USER_ID, text(sender)));
    }
    if (note.exchange, note.routing_key) != (b"", note.queue.as_bytes()) {
        added.push((headers::EXCHANGE, text(note.exchange)));
        added.push((headers::ROUTING_KEY, text(note.routing_key)));
    }
    let names: Vec<&str> = added.iter().map(|(name, _)| *name).collect();
    let kept = kept(properties.headers(), &names);
    // as in the publisher: the words of the error give way first, then whatever else was added
    let keeps: [&dyn Fn(&str) -> bool; 4] = [
        &|_| true,
        &|name| name != headers::ERROR,
        &|name| name == headers::REASON,
        &|_| false,
    ];
    for keep in keeps {
        let mut table = Bytes::new().raw(&kept);
        for (name, value) in added.iter().filter(|(name, _)| keep(name)) {
            table = table.short(name.as_bytes()).raw(value);
        }
        let copy = properties.with_headers(&table.0);
        if copy.len() <= room {
            return Ok(copy);
        }
    }
    Err(CopyError::TooLong { room })
}

/// What counts how often the message was delivered, or tried.
const COUNTS: [&[u8]; 3] = [
    headers::ATTEMPT.as_bytes(),
    headers::REDELIVERIES.as_bytes(),
    b"x-delivery-count",
];

/// The headers of the message: `CC` and `BCC` set aside, and without those that are added anew.
fn kept(table: &[u8], added: &[&str]) -> Vec<u8> {
    let mut kept = Bytes::new();
    let mut rest = Reader(table);
    while !rest.is_empty() {
        let start = rest;
        let (Ok(name), Ok(_)) = (rest.short(), table::value(&mut rest)) else {
            // nothing more can be told apart
            return kept.raw(start.0).0;
        };
        let member = &start.0[..start.0.len() - rest.0.len()];
        if matches!(name, b"CC" | b"BCC") {
            let aside = [headers::PREFIX.as_bytes(), name].concat();
            kept = kept.short(&aside).raw(&member[1 + name.len()..]);
        } else if COUNTS.contains(&name) {
            // what is moved back by hand starts anew
        } else if !added.iter().any(|added| added.as_bytes() == name) {
            kept = kept.raw(member);
        }
    }
    kept.0
}

/// Text, or bytes where it is none.
fn text(content: &[u8]) -> Vec<u8> {
    let kind = match std::str::from_utf8(content) {
        Ok(_) => b'S',
        Err(_) => b'x',
    };
    Bytes::new().u8(kind).long(content).0
}
