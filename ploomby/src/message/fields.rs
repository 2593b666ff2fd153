use super::{
    Headers, PropertyError, Value,
    wire::{FieldTable, FieldValue, LongStr, rebuilt, short_str},
};

/// The headers of a message as they came, to build those of a copy from. What is not touched goes into the copy
/// byte for byte, also where a program would read something else than what came.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(String, FieldValue)>);

impl Fields {
    /// Drops the headers whose names are not kept.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }

    /// Adds a header, or replaces the one of this name.
    pub(crate) fn set(&mut self, name: &str, value: Value) -> Result<(), PropertyError> {
        self.put(name.to_owned(), value.into_field()?);
        Ok(())
    }

    /// The same with a text that came with the message, such as its routing key: its bytes are kept.
    pub(crate) fn set_text(&mut self, name: &str, text: &str) -> Result<(), PropertyError> {
        let text = LongStr::try_from(text).map_err(|_| PropertyError::value_too_long())?;
        self.put(name.to_owned(), FieldValue::S(text));
        Ok(())
    }

    /// Gives a header another name, under which there is none then but this one.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if let Some(at) = self.0.iter().position(|(name, _)| name == from) {
            let (_, field) = self.0.remove(at);
            self.put(to.to_owned(), field);
        }
    }

    fn put(&mut self, name: String, field: FieldValue) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, field));
    }

    /// A table that is built here: what was read of its values is, too.
    pub(super) fn into_table(self) -> Result<FieldTable, PropertyError> {
        let mut table = FieldTable::new();
        for (name, field) in self.0 {
            // each name is there once
            table.insert(short_str("header name", &name)?, rebuilt(field)?);
        }
        Ok(table)
    }
}

impl Headers<'_> {
    /// All headers, with names of their own.
    pub(crate) fn to_fields(self) -> Fields {
        let fields = self.all();
        Fields(
            fields
                .map(|(name, field)| (name.to_string(), field.clone()))
                .collect(),
        )
    }
}
