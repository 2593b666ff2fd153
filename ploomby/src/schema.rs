//! The shape of a payload or a reply, for other programs to read.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// How the schema of a type is made.
#[derive(Clone, Copy)]
pub struct SchemaOf(fn(&mut SchemaGenerator) -> Schema);

impl SchemaOf {
    /// Of this type.
    pub fn of<T: JsonSchema + ?Sized>() -> Self {
        Self(|generator| generator.subschema_for::<T>())
    }

    /// The schema: where the type has a name, a reference to what the generator knows by it.
    pub(crate) fn make(self, generator: &mut SchemaGenerator) -> Schema {
        (self.0)(generator)
    }
}

impl fmt::Debug for SchemaOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaOf").finish()
    }
}
