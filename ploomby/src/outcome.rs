//! What a handler decided, and how its return value says so.

pub use self::answer::{Answer, Reply};
use crate::delivery::Delivery;

mod answer;

/// What is done with a message once its handler has returned.
///
/// Handlers seldom name it: `()` and `Ok(())` mean [`Ack`](Outcome::Ack). An error means
/// [`Retry`](Outcome::Retry) with the error as the reason: without a [`Retry`](crate::Retry) that
/// allows another attempt, the message is dead-lettered.
///
/// ```
/// use ploomby::Outcome;
///
/// #[ploomby::handler("rebuild_index")]
/// async fn rebuild_index() -> Outcome {
///     // one that was built a moment ago is new enough
///     Outcome::Discard
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The work is done: acknowledge.
    Ack,
    /// Keep a copy in the dead-letter queue, then acknowledge. No attempt follows, whatever the
    /// [`Retry`](crate::Retry) says.
    DeadLetter,
    /// Try again later, as the handler's or the queue's [`Retry`](crate::Retry) says. Where it allows
    /// no more attempts, the message is dead-lettered, as
    /// [`RetriesExhausted`](crate::Reason::RetriesExhausted).
    ///
    /// ```
    /// use ploomby::{Outcome, extract::Attempt};
    ///
    /// #[ploomby::handler(retry = 5)]
    /// async fn fetch_report(Attempt(attempt): Attempt) -> Outcome {
    ///     let is_ready = attempt > 2;
    ///     if is_ready { Outcome::Ack } else { Outcome::Retry }
    /// }
    /// ```
    Retry,
    /// Give it back to the queue, for any consumer to take again.
    ///
    /// Each time counts towards the queue's `max_deliveries`. A quorum queue delivers it again at
    /// once; in any other it comes to its handler a second later, as a copy that counts. Where the order of such a
    /// queue is kept and `max_deliveries` is not set, nothing counts, and it is delivered again at once, each time.
    Requeue,
    /// Acknowledge without having done the work.
    Discard,
}

/// What a handler may return: `()`, an [`Outcome`], a [`Reply`], or a `Result` of one of these whose
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
    fn into_answer(self, delivery: &Delivery) -> Result<Answer, anyhow::Error>
    where
        Self: Sized,
    {
        let _ = delivery;
        self.into_outcome().map(Answer::from)
    }
}

#[diagnostic::do_not_recommend]
impl IntoOutcome for () {
    fn into_outcome(self) -> Result<Outcome, anyhow::Error> {
        Ok(Outcome::Ack)
    }

    /// Who waits for an answer hears that it is done.
    #[inline]
    fn into_answer(self, delivery: &Delivery) -> Result<Answer, anyhow::Error> {
        Answer::reply(&(), delivery)
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

    fn into_answer(self, delivery: &Delivery) -> Result<Answer, anyhow::Error> {
        self.map_err(Into::into)?.into_answer(delivery)
    }
}
