//! What becomes of the value that a function with `#[handler]` returned. Its type is known there, so
//! the choice is made by which method there is, in the way of [autoref
//! specialization](https://github.com/dtolnay/case-studies/blob/master/autoref-specialization/README.md):
//! first what hides a decision, then what decides about the message, then a `Result` of what is to be sent, and
//! else what is to be sent itself. The methods have names that no trait of the user's has.

use serde::Serialize;

pub use self::{
    hidden::HidesKind,
    reply_type::{ReturnType, never},
};
use crate::{
    delivery::Delivery,
    outcome::Failure,
    reply::{Answer, IntoOutcome, Reply},
};

mod hidden;
#[cfg(feature = "asyncapi")]
pub(crate) mod reply_schema;
mod reply_type;

/// An error that a handler can return.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return the error `{Self}`",
    label = "its error does not convert to `anyhow::Error`",
    note = "the error of a handler's `Result` has to convert to `anyhow::Error`: implement `std::error::Error` for \
            it, or return `anyhow::Result<()>`",
    note = "there `?` converts what is `std::error::Error`; text is converted by `.map_err(anyhow::Error::msg)?`, and \
            `Box<dyn Error + Send + Sync>` by `.map_err(anyhow::Error::from_boxed)?`"
)]
pub trait ReturnedError {
    /// Why the message was not handled.
    fn into_failure(self) -> Failure;
}

#[diagnostic::do_not_recommend]
impl<E: Into<anyhow::Error>> ReturnedError for E {
    fn into_failure(self) -> Failure {
        Failure::of(self)
    }
}

/// A value that a handler can return, for who asked.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "neither an `Outcome` nor a value to reply with",
    note = "a handler returns `()`, an `Outcome`, or a value: what is sent back where the message \
            asks for a reply, so derive `serde::Serialize` for it",
    note = "or a `Result` of one of these"
)]
pub trait ReturnedValue {
    /// The reply.
    fn into_reply(self, delivery: &Delivery) -> Result<Answer, Failure>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> ReturnedValue for T {
    fn into_reply(self, delivery: &Delivery) -> Result<Answer, Failure> {
        Reply(self).into_answer(delivery)
    }
}

/// It says what becomes of the message.
#[derive(Clone, Copy, Debug)]
pub struct Decides;

/// Chosen where the value decides.
pub trait DecidesKind {
    /// Its kind.
    fn __ploomby_kind(&self) -> Decides {
        Decides
    }
}

impl<T: IntoOutcome> DecidesKind for &&&ReturnType<T> {}

/// A `Result` of a `Result` of a value, as a task that was spawned gives it.
#[derive(Clone, Copy, Debug)]
pub struct TriesTwice;

/// Chosen for such results.
pub trait TriesTwiceKind {
    /// Its kind.
    fn __ploomby_kind(&self) -> TriesTwice {
        TriesTwice
    }
}

impl<T, E, Outer> TriesTwiceKind for &&ReturnType<Result<Result<T, E>, Outer>> {}

/// A `Result` of a value.
#[derive(Clone, Copy, Debug)]
pub struct Tries;

/// Chosen for other results.
pub trait TriesKind {
    /// Its kind.
    fn __ploomby_kind(&self) -> Tries {
        Tries
    }
}

impl<T, E> TriesKind for &ReturnType<Result<T, E>> {}

/// It is what the handler has to say to who asked.
#[derive(Clone, Copy, Debug)]
pub struct Replies;

/// Chosen for all other values.
pub trait RepliesKind {
    /// Its kind.
    fn __ploomby_kind(&self) -> Replies {
        Replies
    }
}

impl<T> RepliesKind for ReturnType<T> {}

/// What a handler with `#[handler]` can return. `Kind` keeps the ways apart; there is none for what hides a
/// decision.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "neither an `Outcome` nor a value to reply with",
    note = "a handler returns `()`, an `Outcome`, or a value: what is sent back where the message \
            asks for a reply, so derive `serde::Serialize` for it",
    note = "or one `Result` of these: in an `Option`, a `Box`, a list, a map or a tuple its error would count as \
            success, which `?`, `.transpose()?` or `.collect::<Result<_, _>>()?` prevents",
    note = "in place of `Option<()>` an `Outcome` says what becomes of the message"
)]
pub trait Return<Kind>: Sized {
    /// The handler's answer.
    fn into_answer(kind: Kind, returned: Self, delivery: &Delivery) -> Result<Answer, Failure>;
}

#[diagnostic::do_not_recommend]
impl<T: IntoOutcome> Return<Decides> for T {
    #[inline]
    fn into_answer(_: Decides, returned: T, delivery: &Delivery) -> Result<Answer, Failure> {
        returned.into_answer(delivery)
    }
}

#[diagnostic::do_not_recommend]
impl<T: ReturnedValue, E: ReturnedError, Outer: ReturnedError> Return<TriesTwice>
    for Result<Result<T, E>, Outer>
{
    fn into_answer(_: TriesTwice, returned: Self, delivery: &Delivery) -> Result<Answer, Failure> {
        let inner = returned.map_err(ReturnedError::into_failure)?;
        Return::into_answer(Tries, inner, delivery)
    }
}

impl<T: ReturnedValue, E: ReturnedError> Return<Tries> for Result<T, E> {
    #[inline]
    fn into_answer(_: Tries, returned: Self, delivery: &Delivery) -> Result<Answer, Failure> {
        let value = returned.map_err(ReturnedError::into_failure)?;
        value.into_reply(delivery)
    }
}

#[diagnostic::do_not_recommend]
impl<T: ReturnedValue> Return<Replies> for T {
    #[inline]
    fn into_answer(_: Replies, returned: T, delivery: &Delivery) -> Result<Answer, Failure> {
        returned.into_reply(delivery)
    }
}
