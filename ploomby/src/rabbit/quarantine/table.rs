use thiserror::Error;

use super::wire::{Overrun, Reader};

/// One value of a table or an array, as bytes.
pub(super) struct RawValue<'a> {
    pub(super) kind: u8,
    /// Without the length that stands before it.
    pub(super) content: &'a [u8],
}

/// Why amqprs cannot read a value.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum Unreadable {
    #[error("text that is not UTF-8")]
    NotUtf8,
    #[error("a value of the unknown type {0:#04x}")]
    UnknownType(u8),
    #[error("more than {MAX_DEPTH} levels of tables and arrays inside of each other")]
    TooDeep,
    #[error("a length that leads beyond the end")]
    Overrun,
}

impl From<Overrun> for Unreadable {
    fn from(_: Overrun) -> Self {
        Self::Overrun
    }
}

/// amqprs calls itself for each level: on a stack of 2 MiB, which the threads of tokio have, some
/// 500 levels overflow it without optimization and some 3,700 with it.
pub(super) const MAX_DEPTH: usize = 128;

/// The next value.
///
/// Source: [the types that RabbitMQ knows](https://www.rabbitmq.com/amqp-0-9-1-errata#section_3).
pub(super) fn value<'a>(reader: &mut Reader<'a>) -> Result<RawValue<'a>, Unreadable> {
    let kind = reader.u8()?;
    let content = match kind {
        b'V' => &[],
        b't' | b'b' | b'B' => reader.take(1)?,
        b's' | b'u' => reader.take(2)?,
        b'I' | b'i' | b'f' => reader.take(4)?,
        b'D' => reader.take(5)?,
        b'l' | b'd' | b'T' => reader.take(8)?,
        b'S' | b'x' | b'A' | b'F' => reader.long()?,
        unknown => return Err(Unreadable::UnknownType(unknown)),
    };
    Ok(RawValue { kind, content })
}

/// Checks that amqprs can read a table, however deep it is. An error comes with the name of the
/// header that it is in.
pub(super) fn check(table: &[u8]) -> Result<(), (Vec<u8>, Unreadable)> {
    let mut header: &[u8] = &[];
    let mut open = vec![(b'F', Reader(table))];
    while let Some((kind, rest)) = open.last_mut() {
        if rest.is_empty() {
            open.pop();
            continue;
        }
        let next = next(*kind, rest);
        let depth = open.len();
        if let (1, Ok((name, _)) | Err((name, _))) = (depth, &next) {
            header = *name;
        }
        match next {
            Ok((_, RawValue { kind, content })) if matches!(kind, b'A' | b'F') => {
                if depth > MAX_DEPTH {
                    return Err((header.to_vec(), Unreadable::TooDeep));
                }
                open.push((kind, Reader(content)));
            }
            Ok(_) => {}
            Err((_, unreadable)) => return Err((header.to_vec(), unreadable)),
        }
    }
    Ok(())
}

type Named<'a, T> = (&'a [u8], T);

/// The next member of a table, or element of an array, which has no name.
fn next<'a>(
    container: u8,
    rest: &mut Reader<'a>,
) -> Result<Named<'a, RawValue<'a>>, Named<'a, Unreadable>> {
    let mut name: &[u8] = &[];
    let mut read = || {
        if container == b'F' {
            name = rest.short()?;
            is_text(name)?;
        }
        let value = value(rest)?;
        if value.kind == b'S' {
            is_text(value.content)?;
        }
        Ok(value)
    };
    match read() {
        Ok(value) => Ok((name, value)),
        Err(unreadable) => Err((name, unreadable)),
    }
}

fn is_text(bytes: &[u8]) -> Result<(), Unreadable> {
    std::str::from_utf8(bytes)
        .map(drop)
        .map_err(|_| Unreadable::NotUtf8)
}
