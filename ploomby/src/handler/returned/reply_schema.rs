//! The schema of what a function with `#[handler]` replies with, chosen as its type is.

use schemars::JsonSchema;

use super::ReturnType;
use crate::{reply::Reply, schema::SchemaOf};

/// Chosen for a `Result` of a `Result` of a value with a schema.
pub trait TriesTwiceSchema {
    /// What is sent back is described so.
    fn __ploomby_reply_schema(&self) -> Option<SchemaOf>;
}

impl<T: JsonSchema, E, Outer> TriesTwiceSchema for &&&ReturnType<Result<Result<T, E>, Outer>> {
    fn __ploomby_reply_schema(&self) -> Option<SchemaOf> {
        Some(SchemaOf::of::<T>())
    }
}

/// Chosen for other results of a value with a schema.
pub trait TriesSchema {
    /// What is sent back is described so.
    fn __ploomby_reply_schema(&self) -> Option<SchemaOf>;
}

impl<T: JsonSchema, E> TriesSchema for &&ReturnType<Result<T, E>> {
    fn __ploomby_reply_schema(&self) -> Option<SchemaOf> {
        Some(SchemaOf::of::<T>())
    }
}

/// Chosen for other values with a schema.
pub trait RepliesSchema {
    /// What is sent back is described so.
    fn __ploomby_reply_schema(&self) -> Option<SchemaOf>;
}

impl<T: JsonSchema> RepliesSchema for &ReturnType<T> {
    fn __ploomby_reply_schema(&self) -> Option<SchemaOf> {
        Some(SchemaOf::of::<T>())
    }
}

/// Chosen for all else.
pub trait NoSchema {
    /// Nothing is known of what is sent back.
    fn __ploomby_reply_schema(&self) -> Option<SchemaOf> {
        None
    }
}

impl<T> NoSchema for ReturnType<T> {}

/// It is sent as what it holds.
impl<T: JsonSchema> JsonSchema for Reply<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}
