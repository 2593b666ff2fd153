use super::{
    fault::Fault,
    wire::{Bytes, Reader},
};

/// The properties of a message, as bytes that are cut into fields and read no further.
///
/// Source: [AMQP 0-9-1](https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf), 4.2.6.1 and the
/// class `basic`.
pub(super) struct RawProperties<'a> {
    pub(super) fields: [Option<&'a [u8]>; FIELDS.len()],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Table,
    Octet,
    Timestamp,
}

/// In the order of their flags: content type, content encoding, headers, delivery mode, priority, correlation
/// id, reply-to, expiration, message id, timestamp, type, user id, app id, cluster id.
pub(super) const FIELDS: [Kind; 14] = [
    Kind::Text,
    Kind::Text,
    Kind::Table,
    Kind::Octet,
    Kind::Octet,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Timestamp,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Text,
];

/// Where the headers are among the fields.
pub(super) const HEADERS: usize = 2;

impl<'a> RawProperties<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader(bytes);
        let flags = reader.u16()?;
        let mut fields = [None; FIELDS.len()];
        for (bit, (field, kind)) in fields.iter_mut().zip(FIELDS).enumerate() {
            if flags & (0x8000 >> bit) != 0 {
                *field = Some(match kind {
                    Kind::Text => reader.short()?,
                    Kind::Table => reader.long()?,
                    Kind::Octet => reader.take(1)?,
                    Kind::Timestamp => reader.take(8)?,
                });
            }
        }
        // the last two flags announce what no broker has
        if reader.is_empty() && flags & 3 == 0 {
            Ok(Self { fields })
        } else {
            Err(Fault::Properties)
        }
    }

    /// Those that are text.
    pub(super) fn texts(&self) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.fields.iter().zip(FIELDS);
        fields.filter_map(|(field, kind)| field.filter(|_| kind == Kind::Text))
    }

    /// The table of headers, without its length.
    pub(super) fn headers(&self) -> Option<&'a [u8]> {
        self.fields[HEADERS]
    }
}

/// Properties as they go over the wire.
pub(super) fn write(bytes: Bytes, fields: &[Option<impl AsRef<[u8]>>; FIELDS.len()]) -> Bytes {
    let flags = fields.iter().enumerate().fold(0, |flags, (bit, field)| {
        flags | if field.is_some() { 0x8000 >> bit } else { 0 }
    });
    let present = fields.iter().zip(FIELDS);
    present.fold(bytes.u16(flags), |bytes, (field, kind)| match field {
        None => bytes,
        Some(field) => match kind {
            Kind::Text => bytes.short(field.as_ref()),
            Kind::Table => bytes.long(field.as_ref()),
            Kind::Octet | Kind::Timestamp => bytes.raw(field.as_ref()),
        },
    })
}
