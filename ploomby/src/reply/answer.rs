use std::{any::type_name, fmt};

use serde::Serialize;

use super::{Addressed, IntoOutcome, inner_error::holds_error, to_value};
use crate::{
    delivery::Delivery,
    outcome::{Failure, Outcome},
};

/// What a handler decided, and what goes back to who asked, as layers see it.
///
/// A layer that decides without its service answers with an [`Outcome`]: `Outcome::Discard.into()`.
#[derive(Clone)]
pub struct Answer {
    outcome: Outcome,
    reply: Option<Box<Addressed>>,
}

impl Answer {
    /// The work is done, and `value` is the reply, encoded as the message was. A message that has no
    /// `reply-to` needs none.
    ///
    /// # Errors
    ///
    /// The value cannot be encoded.
    #[inline]
    pub fn reply<T: Serialize + ?Sized>(
        value: &T,
        delivery: &Delivery,
    ) -> Result<Self, anyhow::Error> {
        let reply = match delivery.properties().reply_to() {
            None | Some("") => None,
            Some(_) => to_value(value, delivery).map_err(anyhow::Error::from_boxed)?,
        };
        Ok(Self {
            outcome: Outcome::Ack,
            reply: reply.map(Box::new),
        })
    }

    /// What is done with the message.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Takes the reply, if there is one to send.
    pub(crate) fn into_reply(self) -> Option<Addressed> {
        self.reply.map(|reply| *reply)
    }

    pub(crate) fn has_reply(&self) -> bool {
        self.reply.is_some()
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            reply: None,
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// A value to reply with, for a handler that is registered by hand. One with
/// [`#[handler]`](macro@crate::handler) returns the value as it is.
///
/// It goes to the queue that the message's `reply-to` names, if [a reply may go
/// there](crate::Queue::reply_addresses), with its correlation id, encoded as the message was. A message
/// without `reply-to` is simply handled.
///
/// A handler that can fail returns a `Result` of a reply. If the value is the `Err` of a `Result`, or an option, a
/// list, a map or a tuple that holds one, the message fails, too.
///
/// ```
/// use ploomby::{HandlerRegistry, Reply};
///
/// async fn add((a, b): (u32, u32)) -> Reply<u32> {
///     Reply(a + b)
/// }
///
/// let handlers = HandlerRegistry::new().register("add", add);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Reply<T>(pub T);

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> IntoOutcome for Reply<T> {
    fn into_outcome(self) -> Result<Outcome, anyhow::Error> {
        self.check()?;
        Ok(Outcome::Ack)
    }

    fn into_answer(self, delivery: &Delivery) -> Result<Answer, Failure> {
        self.check().map_err(Failure::handler)?;
        Answer::reply(&self.0, delivery).map_err(Failure::handler)
    }

    fn reply_type() -> Option<&'static str> {
        Some(type_name::<T>())
    }
}

impl<T: Serialize> Reply<T> {
    /// What the attribute does not compile, nobody sees before it runs.
    #[inline]
    fn check(&self) -> Result<(), anyhow::Error> {
        if holds_error(&self.0) {
            anyhow::bail!(
                "the reply holds the `Err` of a `Result`: return a `Result` of the reply, so that the error is the \
                 handler's"
            );
        }
        Ok(())
    }
}
