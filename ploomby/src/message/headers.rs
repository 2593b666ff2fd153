use std::{borrow::Cow, fmt};

use super::{
    Value, raw_text,
    wire::{FieldName, FieldTable, FieldValue, integer, text},
};

/// The headers of a message, read where they lie: nothing is copied until it is asked for.
///
/// A handler takes them as an argument. For a few by name and type there is [`Header`](crate::extract::Header).
///
/// ```
/// use ploomby::Headers;
///
/// #[ploomby::handler("forward")]
/// async fn forward(headers: Headers<'_>) {
///     println!("for {:?}", headers.text("x-tenant"));
/// }
/// ```
///
/// `Debug` prints names and types, never values.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    table: Option<&'a FieldTable>,
}

impl<'a> Headers<'a> {
    pub(super) fn new(table: Option<&'a FieldTable>) -> Self {
        Self { table }
    }

    /// The value of a header, copied out.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.field(name).map(Value::from_field)
    }

    /// The value of a header that is text.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        text(self.field(name)?)
    }

    /// The value of a header that is an integer, of whatever size.
    pub fn number(&self, name: &str) -> Option<i64> {
        integer(self.field(name)?)
    }

    /// Whether there is a header of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    /// Whether there is a header of one of these names.
    pub(crate) fn contains_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.contains(name))
    }

    /// All headers, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value)> + use<'a> {
        self.fields()
            .map(|(name, field)| (name.as_ref().as_str(), Value::from_field(field)))
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.fields().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The header that names a handler: what reads as text or as a number.
    ///
    /// `name` is made once a queue, so that no look-up allocates.
    #[inline]
    pub(crate) fn key(&self, name: &FieldName) -> Option<Result<Cow<'a, str>, &'static str>> {
        let field = self.table.and_then(|table| find(table, name))?;
        Some(match text(field) {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => read_as_text(field).map(Cow::Owned),
        })
    }

    fn field(&self, name: &str) -> Option<&'a FieldValue> {
        self.fields()
            .find_map(|(field_name, field)| (field_name.as_ref() == name).then_some(field))
    }

    /// The headers as they came.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'a FieldName, &'a FieldValue)> + use<'a> {
        // one that holds a text of this message is none of its headers
        self.all()
            .filter(|(name, _)| !raw_text::is_holder(name.as_ref()))
    }

    /// The headers, and what else is in their table.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'a FieldName, &'a FieldValue)> + use<'a> {
        self.table.into_iter().flat_map(|table| table.as_ref())
    }
}

#[cold]
fn read_as_text(field: &FieldValue) -> Result<String, &'static str> {
    match Value::from_field(field) {
        // several clients send text as bytes
        Value::Bytes(v) => String::from_utf8(v).map_err(|_| "bytes that are not UTF-8"),
        other => other.number_text().ok_or_else(|| other.type_name()),
    }
}

/// Most messages have a handful of headers: to compare them takes less than to hash a name.
fn find<'a>(table: &'a FieldTable, name: &FieldName) -> Option<&'a FieldValue> {
    const FEW: usize = 8;
    if table.as_ref().len() > FEW {
        return table.get(name);
    }
    let mut fields = table.as_ref().iter();
    fields.find_map(|(other, field)| (other == name).then_some(field))
}

/// The same names with the same values, in whatever order.
impl PartialEq for Headers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .fields()
                .all(|(name, field)| other.field(name.as_ref()) == Some(field))
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
