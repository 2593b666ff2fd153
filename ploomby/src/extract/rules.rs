//! Whether a payload has rules that it is checked by. The type of a payload is known where a handler
//! carries `#[handler]`, so the choice is made by which method there is, as for [returned
//! values](crate::handler::returned).

use std::{fmt, marker::PhantomData};

use garde::Validate;

use super::{Batch, Payload, lent::LentArgument, valid::validate};
use crate::outcome::Failure;

/// An argument of a handler, by the type that it is given or lent as.
pub struct Rules<T: ?Sized>(PhantomData<fn(*const T)>);

impl<T: ?Sized> Rules<T> {
    /// The rules of a type, if it has some.
    pub const fn of() -> Self {
        Self(PhantomData)
    }
}

impl<T: ?Sized> fmt::Debug for Rules<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").finish()
    }
}

/// It has rules.
#[derive(Clone, Copy, Debug)]
pub struct OfPayload;

/// Chosen for payloads with rules.
pub trait OfPayloadKind {
    /// Its kind.
    fn __ploomby_rules(&self) -> OfPayload {
        OfPayload
    }
}

impl<'d, T> OfPayloadKind for &Rules<T> where T: LentArgument<'d, Payload> + Validate + ?Sized {}

/// Each message of a batch has rules.
#[derive(Clone, Copy, Debug)]
pub struct OfItems;

/// Chosen for batches of payloads with rules.
pub trait OfItemsKind {
    /// Its kind.
    fn __ploomby_rules(&self) -> OfItems {
        OfItems
    }
}

impl<T: Validate> OfItemsKind for &Rules<Batch<T>> {}

/// There is nothing to check.
#[derive(Clone, Copy, Debug)]
pub struct Unruled;

/// Chosen for all else.
pub trait UnruledKind {
    /// Its kind.
    fn __ploomby_rules(&self) -> Unruled {
        Unruled
    }
}

impl<T: ?Sized> UnruledKind for Rules<T> {}

/// An argument that can be checked before its handler is called. `Kind` keeps the ways apart.
#[diagnostic::on_unimplemented(
    message = "the rules of `{Self}` need a context that has no default",
    label = "it cannot be validated before the handler is called",
    note = "a payload that is `garde::Validate` is validated with the default of its context: \
            implement `Default` for the context",
    note = "or take `ploomby::extract::Unvalidated` of it, and call `validate_with` in the handler"
)]
pub trait Check<Kind> {
    /// Checks it.
    fn check(&mut self, kind: Kind) -> Result<(), Failure>;
}

#[diagnostic::do_not_recommend]
impl<T: Validate<Context: Default>> Check<OfPayload> for T {
    fn check(&mut self, _: OfPayload) -> Result<(), Failure> {
        validate(self)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Validate<Context: Default>> Check<OfItems> for Batch<T> {
    fn check(&mut self, _: OfItems) -> Result<(), Failure> {
        self.keep(validate)
    }
}

#[diagnostic::do_not_recommend]
impl<T> Check<Unruled> for T {
    fn check(&mut self, _: Unruled) -> Result<(), Failure> {
        Ok(())
    }
}
