//! What becomes of the value that a function with `#[handler]` returned. Its type is known there, so
//! the choice is made by which method there is, in the way of [autoref
//! specialization](https://github.com/dtolnay/case-studies/blob/master/autoref-specialization/README.md):
//! first what decides about the message, then what is a value to reply with. The methods have names that
//! no trait of the user's has.

use serde::Serialize;

use crate::{
    delivery::Delivery,
    outcome::Failure,
    reply::{Answer, IntoOutcome, Reply},
};

/// A value that a handler returned.
#[derive(Debug)]
pub struct Returned<T>(pub T);

impl<T, E> Returned<Result<T, E>> {
    /// A `Result` is never a value to reply with: its error is the handler's.
    #[doc(hidden)]
    pub fn __ploomby_split(self) -> Result<Returned<T>, E> {
        self.0.map(Returned)
    }
}

/// Anything but a `Result`.
pub trait Whole: Sized {
    /// There is no error.
    fn __ploomby_split(self) -> Result<Self, std::convert::Infallible> {
        Ok(self)
    }
}

impl<T> Whole for Returned<T> {}

/// An error that a handler can return.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return the error `{Self}`",
    label = "its error does not convert to `anyhow::Error`",
    note = "the error of a handler's `Result` has to convert to `anyhow::Error`: implement \
            `std::error::Error` for it, or return `anyhow::Result<()>`, to which `?` converts such \
            errors"
)]
pub trait ReturnedError {
    /// Why the message was not handled.
    fn into_failure(self) -> Failure;
}

#[diagnostic::do_not_recommend]
impl<E: Into<anyhow::Error>> ReturnedError for E {
    fn into_failure(self) -> Failure {
        Failure::handler(self.into())
    }
}

/// It says what becomes of the message.
#[derive(Debug)]
pub struct Decides;

/// Chosen where the value decides.
pub trait DecidesKind {
    /// Its kind.
    fn __ploomby_kind(&self) -> Decides {
        Decides
    }
}

impl<T: IntoOutcome> DecidesKind for &Returned<T> {}

/// It is what the handler has to say to who asked.
#[derive(Debug)]
pub struct Replies;

/// Chosen for all other values.
pub trait RepliesKind {
    /// Its kind.
    fn __ploomby_kind(&self) -> Replies {
        Replies
    }
}

impl<T> RepliesKind for Returned<T> {}

/// What a handler with `#[handler]` can return, without its error. `Kind` keeps the ways apart.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "neither an `Outcome` nor a value to reply with",
    note = "a handler returns `()`, an `Outcome`, or a value: what is sent back where the message \
            asks for a reply, so derive `serde::Serialize` for it",
    note = "or a `Result` of one of these"
)]
pub trait Return<Kind>: Sized {
    /// The handler's answer.
    fn into_answer(
        returned: Returned<Self>,
        kind: Kind,
        delivery: &Delivery,
    ) -> Result<Answer, Failure>;
}

#[diagnostic::do_not_recommend]
impl<T: IntoOutcome> Return<Decides> for T {
    fn into_answer(
        returned: Returned<T>,
        _: Decides,
        delivery: &Delivery,
    ) -> Result<Answer, Failure> {
        returned.0.into_answer(delivery).map_err(Failure::handler)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> Return<Replies> for T {
    fn into_answer(
        returned: Returned<T>,
        _: Replies,
        delivery: &Delivery,
    ) -> Result<Answer, Failure> {
        Reply(returned.0)
            .into_answer(delivery)
            .map_err(Failure::handler)
    }
}
