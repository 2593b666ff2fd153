//! What was made readable, made what it was: on the way to the broker.

use std::{borrow::Cow, str};

use super::{
    fault::Fault,
    kept::Kept,
    properties::{self, FIELDS, HEADERS, Kind, RawProperties},
    table::{self, RawValue},
    wire::{Bytes, Reader},
};
use crate::message::{raw_text, value::MAX_DEPTH};

/// How many levels our own tables can have: what is carried as text takes its place in a header of ours.
const LEVELS: usize = MAX_DEPTH * 2;

/// The properties of a message as they were, behind the bytes that are given.
pub(super) fn properties(bytes: Bytes, properties: &[u8]) -> Result<Bytes, Fault> {
    let raw = RawProperties::parse(properties)?;
    let kept = kept_in(raw.headers().unwrap_or_default())?;
    let mut fields: [Option<Cow<'_, [u8]>>; FIELDS.len()] = Default::default();
    for (field, (raw, kind)) in fields.iter_mut().zip(raw.fields.into_iter().zip(FIELDS)) {
        *field = raw.map(|raw| match kind {
            Kind::Text => string(raw, &kept),
            _ => Cow::Borrowed(raw),
        });
    }
    if let Some(headers) = raw.headers() {
        let headers = container(Bytes::new(), b'F', headers, LEVELS, &kept)?;
        let is_none = headers.0.is_empty() && kept.had_no_headers();
        fields[HEADERS] = (!is_none).then_some(Cow::Owned(headers.0));
    }
    Ok(properties::write(bytes, &fields))
}

/// The arguments of `basic.publish` as they were, behind the bytes that are given.
pub(super) fn publish(bytes: Bytes, arguments: &[u8]) -> Result<Bytes, Fault> {
    let kept = Kept::default();
    let mut rest = Reader(arguments);
    let ticket = rest.take(2)?;
    let (exchange, routing_key) = (rest.short()?, rest.short()?);
    Ok(bytes
        .raw(ticket)
        .short(&string(exchange, &kept))
        .short(&string(routing_key, &kept))
        .raw(rest.0))
}

/// The headers that hold strings.
fn kept_in(headers: &[u8]) -> Result<Kept, Fault> {
    let mut kept = Kept::default();
    let mut rest = Reader(headers);
    while !rest.is_empty() {
        let name = rest.short()?;
        let value = table::value(&mut rest)?;
        if let (Some(name), Some(text)) = (kept_name(name), text_of(value)) {
            kept.note(name, raw_text::unescape(text).into_owned());
        }
    }
    Ok(kept)
}

fn container(
    mut bytes: Bytes,
    kind: u8,
    content: &[u8],
    levels: usize,
    kept: &Kept,
) -> Result<Bytes, Fault> {
    let mut rest = Reader(content);
    while !rest.is_empty() {
        let name = match kind {
            b'F' => Some(rest.short()?),
            _ => None,
        };
        let value = table::value(&mut rest)?;
        if let Some(name) = name {
            // it is in its place now
            if levels == LEVELS && kept_name(name).is_some() && text_of(value).is_some() {
                continue;
            }
            bytes = bytes.short(&string(name, kept));
        }
        bytes = self::value(bytes, value, levels, kept)?;
    }
    Ok(bytes)
}

fn value(bytes: Bytes, value: RawValue<'_>, levels: usize, kept: &Kept) -> Result<Bytes, Fault> {
    if let Some(text) = text_of(value) {
        return Ok(match raw_text::other_in(text) {
            Some((kind, content)) => {
                let content = &content;
                table::write(bytes, RawValue { kind, content })
            }
            None => bytes.u8(value.kind).long(&kept.restore(text)),
        });
    }
    if !matches!(value.kind, b'A' | b'F') || levels == 0 {
        return Ok(table::write(bytes, value));
    }
    let RawValue { kind, content } = value;
    bytes
        .u8(kind)
        .long_with(|bytes| container(bytes, kind, content, levels - 1, kept))
}

fn string<'a>(text: &'a [u8], kept: &'a Kept) -> Cow<'a, [u8]> {
    match str::from_utf8(text) {
        Ok(text) => kept.restore(text),
        // no text that we carry is like that
        Err(_) => Cow::Borrowed(text),
    }
}

fn text_of(value: RawValue<'_>) -> Option<&str> {
    match value.kind {
        b'S' => str::from_utf8(value.content).ok(),
        _ => None,
    }
}

/// The name of what a header holds, where it holds something.
fn kept_name(name: &[u8]) -> Option<&str> {
    str::from_utf8(name).ok()?.strip_prefix(raw_text::HOLDER)
}
