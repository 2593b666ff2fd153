//! What the client cannot read, made readable: on the way from the broker.

use std::borrow::Cow;

use super::{
    fault::Fault,
    kept::Kept,
    methods::Argument,
    properties::{self, FIELDS, HEADERS, Kind, RawProperties},
    table::{self, RawValue},
    wire::{Bytes, Reader},
};
use crate::message::{raw_text, value::MAX_DEPTH};

/// Whether the client can read the properties of a message.
pub(super) fn is_plain(properties: &[u8]) -> Result<bool, Fault> {
    let properties = RawProperties::parse(properties)?;
    let texts = properties.texts().all(raw_text::is_plain);
    let headers = match properties.headers() {
        Some(headers) => table::is_plain(headers)?,
        None => true,
    };
    Ok(texts && headers)
}

/// The properties of a message as the client can read them, behind the bytes that are given. `kept` has what was
/// kept of the method before them.
pub(super) fn properties(bytes: Bytes, properties: &[u8], mut kept: Kept) -> Result<Bytes, Fault> {
    let raw = RawProperties::parse(properties)?;
    let mut fields: [Option<Cow<'_, [u8]>>; FIELDS.len()] = Default::default();
    for (field, (raw, kind)) in fields.iter_mut().zip(raw.fields.into_iter().zip(FIELDS)) {
        *field = raw.map(|raw| match kind {
            Kind::Text => text_bytes(kept.carry(raw)),
            _ => Cow::Borrowed(raw),
        });
    }
    let headers = match raw.headers() {
        Some(headers) => container(Bytes::new(), b'F', headers, MAX_DEPTH, &mut kept)?,
        None => Bytes::new(),
    };
    if raw.headers().is_none() && !kept.is_empty() {
        kept.note_no_headers();
    }
    if raw.headers().is_some() || !kept.is_empty() {
        let headers = kept.holders().fold(headers, |headers, (name, string)| {
            let text = raw_text::escape(string);
            headers
                .short(name.as_bytes())
                .u8(b'S')
                .long(text.as_bytes())
        });
        fields[HEADERS] = Some(Cow::Owned(headers.0));
    }
    Ok(properties::write(bytes, &fields))
}

/// The members of a table or a list.
fn container(
    mut bytes: Bytes,
    kind: u8,
    content: &[u8],
    levels: usize,
    kept: &mut Kept,
) -> Result<Bytes, Fault> {
    let mut rest = Reader(content);
    while !rest.is_empty() {
        if kind == b'F' {
            bytes = bytes.short(kept.carry(rest.short()?).as_bytes());
        }
        let RawValue { kind, content } = table::value(&mut rest)?;
        bytes = match (kind, levels) {
            (b'S', _) => bytes.u8(kind).long(raw_text::escape(content).as_bytes()),
            (b'L', _) | (b'A' | b'F', 0) => {
                let text = raw_text::other(kind, content);
                bytes.u8(b'S').long(text.as_bytes())
            }
            (b'A' | b'F', _) => {
                let inside = |bytes| container(bytes, kind, content, levels - 1, kept);
                bytes.u8(kind).long_with(inside)?
            }
            _ => table::write(bytes, RawValue { kind, content }),
        };
    }
    Ok(bytes)
}

/// Whether the client can read the arguments of a method, which are these.
pub(super) fn is_method_plain(arguments: &[u8], expected: &[Argument]) -> Result<bool, Fault> {
    let mut rest = Reader(arguments);
    let mut plain = true;
    for argument in expected {
        match argument {
            Argument::Text => plain &= raw_text::is_plain(rest.short()?),
            Argument::Long => drop(rest.long()?),
            Argument::Bytes(len) => drop(rest.take(*len)?),
        }
    }
    match rest.is_empty() {
        true => Ok(plain),
        false => Err(Fault::Excess),
    }
}

/// The arguments of a method, behind the bytes that are given, with their texts as `carry` has them.
pub(super) fn method<'a>(
    mut bytes: Bytes,
    arguments: &'a [u8],
    expected: &[Argument],
    mut carry: impl FnMut(&'a [u8]) -> Cow<'a, str>,
) -> Result<Bytes, Fault> {
    let mut rest = Reader(arguments);
    for argument in expected {
        bytes = match argument {
            Argument::Text => bytes.short(carry(rest.short()?).as_bytes()),
            Argument::Long => bytes.long(rest.long()?),
            Argument::Bytes(len) => bytes.raw(rest.take(*len)?),
        };
    }
    Ok(bytes)
}

fn text_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}
