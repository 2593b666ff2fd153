//! Whether a payload has a schema. The type of a payload is known where a handler carries `#[handler]`, so the choice is
//! made by which method there is, as for [returned values](crate::handler::returned).

use std::{fmt, marker::PhantomData};

use schemars::JsonSchema;

use super::{Batch, Borrowed, Payload, Requirements};
#[cfg(feature = "garde")]
use super::{Unvalidated, Valid};
use crate::schema::SchemaOf;

/// An argument of a handler, by the type that it is given or lent as.
pub struct Schemas<T: ?Sized, Kind>(PhantomData<fn(*const T, Kind)>);

impl<T: ?Sized, Kind> Schemas<T, Kind> {
    /// The schema of a type, if it has one.
    pub const fn of(_: PhantomData<fn() -> Kind>) -> Self {
        Self(PhantomData)
    }
}

impl<T: ?Sized, Kind> fmt::Debug for Schemas<T, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schemas").finish()
    }
}

/// What is decoded from the body, where its schema is that of `T`.
pub trait Body {
    /// What has the schema.
    type Schema: JsonSchema + ?Sized;
}

impl<T: JsonSchema + ?Sized> Body for Schemas<T, Payload> {
    type Schema = T;
}

impl<T: JsonSchema + ?Sized> Body for Schemas<T, Borrowed> {
    type Schema = T;
}

impl<T: JsonSchema> Body for Schemas<Batch<T>, Payload> {
    type Schema = T;
}

#[cfg(feature = "garde")]
impl<T: JsonSchema> Body for Schemas<Valid<T>, Payload> {
    type Schema = T;
}

#[cfg(feature = "garde")]
impl<T: JsonSchema> Body for Schemas<Unvalidated<T>, Payload> {
    type Schema = T;
}

/// Chosen for payloads with a schema.
pub trait DescribedSchema {
    /// Says how the body is described.
    fn __ploomby_schema(&self, requirements: &mut Requirements);
}

impl<T: ?Sized, Kind> DescribedSchema for &Schemas<T, Kind>
where
    Schemas<T, Kind>: Body,
{
    fn __ploomby_schema(&self, requirements: &mut Requirements) {
        requirements.described_by(SchemaOf::of::<<Schemas<T, Kind> as Body>::Schema>());
    }
}

/// Chosen for all else.
pub trait UndescribedSchema {
    /// Says nothing.
    fn __ploomby_schema(&self, requirements: &mut Requirements) {
        let _ = requirements;
    }
}

impl<T: ?Sized, Kind> UndescribedSchema for Schemas<T, Kind> {}
