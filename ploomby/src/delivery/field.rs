use super::{Delivery, plain_body};
use crate::{
    codec::{Codec, Field, FieldPath, Format, Found},
    outcome::Failure,
};

impl Delivery {
    /// How the body is to be read: as the message says, or else as the queue does.
    #[inline]
    pub(crate) fn format(&self) -> Result<Format, Failure> {
        Format::of(self.properties().content_type())
    }

    /// What reads the fields of the body; None where it is in Protobuf, which has none with names.
    #[inline]
    pub(crate) fn codec(&self) -> Result<Option<Codec>, Failure> {
        Ok(match self.format()? {
            Format::Unspecified => Some(self.decoding().codec),
            Format::Serde(codec) => Some(codec),
            #[cfg(feature = "protobuf")]
            Format::Protobuf => None,
        })
    }

    /// What stands in a field of the body, as far as it can be read. The body is read up to the field.
    pub(crate) fn field(&self, path: &FieldPath) -> Option<Found<'_>> {
        let mut found = None;
        let codec = self.codec().ok()??;
        // what cannot be read is for the payload to tell
        let _ = codec.read(Field::new(path, &mut found), plain_body(self).ok()?);
        found
    }

    /// The same, and the first item of a list in place of the list.
    ///
    /// # Errors
    ///
    /// The body cannot be read, and the field was not found before the place where it cannot.
    pub(crate) fn field_or_first(&self, path: &FieldPath) -> Result<Option<Found<'_>>, Failure> {
        let mut found = None;
        let Some(codec) = self.codec()? else {
            return Ok(None);
        };
        let read = codec.read(Field::or_first(path, &mut found), plain_body(self)?);
        match found {
            None => read.map(|()| None),
            found => Ok(found),
        }
    }
}
