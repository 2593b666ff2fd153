use super::{
    fault::Fault,
    wire::{Bytes, Reader},
};
use crate::message::{raw_text, value::MAX_DEPTH};

/// One value of a table or a list, as bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawValue<'a> {
    pub(super) kind: u8,
    /// Without the length that stands before it.
    pub(super) content: &'a [u8],
}

/// Reads the next value.
///
/// Source: [the types that RabbitMQ knows](https://www.rabbitmq.com/amqp-0-9-1-errata#section_3).
pub(super) fn value<'a>(reader: &mut Reader<'a>) -> Result<RawValue<'a>, Fault> {
    let kind = reader.u8()?;
    let content = match kind {
        b'V' => &[],
        b't' | b'b' | b'B' => reader.take(1)?,
        b's' | b'u' => reader.take(2)?,
        b'I' | b'i' | b'f' => reader.take(4)?,
        b'D' => reader.take(5)?,
        // RabbitMQ takes `L`, an unsigned number, though it does not say so
        b'l' | b'L' | b'd' | b'T' => reader.take(8)?,
        b'S' | b'x' | b'A' | b'F' => reader.long()?,
        unknown => return Err(Fault::Type(unknown)),
    };
    Ok(RawValue { kind, content })
}

/// Writes a value.
pub(super) fn write(bytes: Bytes, RawValue { kind, content }: RawValue<'_>) -> Bytes {
    let bytes = bytes.u8(kind);
    match kind {
        b'S' | b'x' | b'A' | b'F' => bytes.long(content),
        _ => bytes.raw(content),
    }
}

/// Whether a table can be read as it is: all of its texts are UTF-8, nothing is nested too deeply, and the client
/// knows all types.
pub(super) fn is_plain(table: &[u8]) -> Result<bool, Fault> {
    is_plain_inside(table, b'F', MAX_DEPTH)
}

fn is_plain_inside(content: &[u8], container: u8, levels: usize) -> Result<bool, Fault> {
    let mut rest = Reader(content);
    let mut plain = true;
    while !rest.is_empty() {
        if container == b'F' {
            plain &= raw_text::is_plain(rest.short()?);
        }
        let RawValue { kind, content } = value(&mut rest)?;
        plain &= match (kind, levels) {
            (b'S', _) => raw_text::is_plain(content),
            (b'L', _) | (b'A' | b'F', 0) => false,
            (b'A' | b'F', _) => is_plain_inside(content, kind, levels - 1)?,
            _ => true,
        };
    }
    Ok(plain)
}
