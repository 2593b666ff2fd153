use std::any::type_name;

use super::Answer;
use crate::{
    delivery::Delivery,
    outcome::{Failure, Outcome},
};

/// What a handler may return: `()`, an [`Outcome`], a [`Reply`](crate::Reply), or a `Result` of one of these whose
/// error converts to `anyhow::Error`. A function with [`#[handler]`](macro@crate::handler) may return
/// the value of the reply as it is, too.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "this does not convert to an `Outcome`",
    note = "a handler that is registered by hand returns `()`, an `Outcome`, a `ploomby::Reply` of \
            a value, or a `Result` of one of these",
    note = "the error of the `Result` has to convert to `anyhow::Error`: implement \
            `std::error::Error` for it, or return `anyhow::Result<()>`"
)]
pub trait IntoOutcome {
    /// What the value says about the message.
    ///
    /// # Errors
    ///
    /// The handler's own error.
    fn into_outcome(self) -> Result<Outcome, anyhow::Error>;

    /// The same, with what goes back to who asked. There is no need to implement it.
    ///
    /// # Errors
    ///
    /// The handler's own error.
    #[doc(hidden)]
    fn into_answer(self, delivery: &Delivery) -> Result<Answer, Failure>
    where
        Self: Sized,
    {
        let _ = delivery;
        self.into_outcome()
            .map(Answer::from)
            .map_err(Failure::handler)
    }

    /// The type of what goes back to who asked, if anything does. There is no need to implement it.
    #[doc(hidden)]
    fn reply_type() -> Option<&'static str>
    where
        Self: Sized,
    {
        None
    }
}

#[diagnostic::do_not_recommend]
impl IntoOutcome for () {
    fn into_outcome(self) -> Result<Outcome, anyhow::Error> {
        Ok(Outcome::Ack)
    }

    /// Who waits for an answer hears that it is done.
    #[inline]
    fn into_answer(self, delivery: &Delivery) -> Result<Answer, Failure> {
        Answer::reply(&(), delivery).map_err(Failure::handler)
    }

    fn reply_type() -> Option<&'static str> {
        Some(type_name::<Self>())
    }
}

#[diagnostic::do_not_recommend]
impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Outcome, anyhow::Error> {
        Ok(self)
    }
}

#[diagnostic::do_not_recommend]
impl<T, E> IntoOutcome for Result<T, E>
where
    T: IntoOutcome,
    E: Into<anyhow::Error>,
{
    fn into_outcome(self) -> Result<Outcome, anyhow::Error> {
        self.map_err(Into::into)?.into_outcome()
    }

    fn into_answer(self, delivery: &Delivery) -> Result<Answer, Failure> {
        self.map_err(Failure::of)?.into_answer(delivery)
    }

    fn reply_type() -> Option<&'static str> {
        T::reply_type()
    }
}
