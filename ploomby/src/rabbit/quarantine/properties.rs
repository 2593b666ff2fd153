use super::wire::{Bytes, Overrun, Reader};

/// The properties of a message, as bytes that are cut into fields and read no further.
///
/// Source: [AMQP 0-9-1](https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf), 4.2.6.1 and the
/// class `basic`.
pub(super) struct RawProperties<'a> {
    fields: [Option<&'a [u8]>; FIELDS.len()],
}

enum Kind {
    Short,
    Table,
    Octet,
    Timestamp,
}

/// In the order of their flags.
const FIELDS: [(&str, Kind); 14] = [
    ("content type", Kind::Short),
    ("content encoding", Kind::Short),
    ("headers", Kind::Table),
    ("delivery mode", Kind::Octet),
    ("priority", Kind::Octet),
    ("correlation id", Kind::Short),
    ("reply-to", Kind::Short),
    ("expiration", Kind::Short),
    ("message id", Kind::Short),
    ("timestamp", Kind::Timestamp),
    ("type", Kind::Short),
    ("user id", Kind::Short),
    ("app id", Kind::Short),
    ("cluster id", Kind::Short),
];

const HEADERS: usize = 2;
const DELIVERY_MODE: usize = 3;
const EXPIRATION: usize = 7;
const USER_ID: usize = 11;

impl<'a> RawProperties<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Overrun> {
        let mut reader = Reader(bytes);
        let flags = reader.u16()?;
        let mut fields = [None; FIELDS.len()];
        for (bit, (field, (_, kind))) in fields.iter_mut().zip(&FIELDS).enumerate() {
            if flags & (0x8000 >> bit) != 0 {
                *field = Some(match kind {
                    Kind::Short => reader.short()?,
                    Kind::Table => reader.long()?,
                    Kind::Octet => reader.take(1)?,
                    Kind::Timestamp => reader.take(8)?,
                });
            }
        }
        if reader.is_empty() {
            Ok(Self { fields })
        } else {
            Err(Overrun)
        }
    }

    /// Those that are text, with their names.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        let fields = self.fields.iter().zip(&FIELDS);
        fields.filter_map(|(field, (name, kind))| match kind {
            Kind::Short => field.map(|text| (*name, text)),
            _ => None,
        })
    }

    /// The table of headers, without its length.
    pub(super) fn headers(&self) -> &'a [u8] {
        self.fields[HEADERS].unwrap_or_default()
    }

    pub(super) fn take_expiration(&mut self) -> Option<&'a [u8]> {
        self.fields[EXPIRATION].take()
    }

    pub(super) fn user_id(&self) -> Option<&'a [u8]> {
        self.fields[USER_ID]
    }

    pub(super) fn clear_user_id(&mut self) {
        self.fields[USER_ID] = None;
    }

    pub(super) fn make_persistent(&mut self) {
        self.fields[DELIVERY_MODE] = Some(&[2]);
    }

    /// The same properties with this table of headers.
    pub(super) fn with_headers(&self, headers: &[u8]) -> Vec<u8> {
        let mut fields = self.fields;
        fields[HEADERS] = Some(headers);
        let mut flags = 0;
        let mut bytes = Bytes::new();
        for (bit, (field, (_, kind))) in fields.iter().zip(&FIELDS).enumerate() {
            if let Some(field) = field {
                flags |= 0x8000 >> bit;
                bytes = match kind {
                    Kind::Short => bytes.short(field),
                    Kind::Table => bytes.long(field),
                    Kind::Octet | Kind::Timestamp => bytes.raw(field),
                };
            }
        }
        Bytes::new().u16(flags).raw(&bytes.0).0
    }
}
