use std::fmt;

use super::Outcome;

/// Why an extractor refused a message, and what is done with it then.
///
/// It is the `Rejection` of a [`FromDelivery`](crate::extract::FromDelivery) that does not always mean the
/// dead-letter queue, or a cause of one. A handler that returns it as its error decides as well.
///
/// ```
/// use ploomby::{Delivery, extract::{FromDelivery, Rejection}};
///
/// struct Tenant(String);
///
/// impl<'d> FromDelivery<'d> for Tenant {
///     type Rejection = Rejection;
///
///     async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Rejection> {
///         let Some(tenant) = delivery.headers().text("tenant") else {
///             return Err(Rejection::dead_letter("the header `tenant` is missing"));
///         };
///         if tenant == "moving" {
///             return Err(Rejection::retry("the tenant moves to another database"));
///         }
///         Ok(Self(tenant.to_owned()))
///     }
/// }
///
/// #[ploomby::handler(retry = 5)]
/// async fn bill(Tenant(tenant): Tenant, cents: u64) {
///     println!("{tenant} owes {cents}");
/// }
/// ```
pub struct Rejection {
    outcome: Outcome,
    error: Box<dyn std::error::Error + Send + Sync>,
}

/// An error, or a text.
type Error = Box<dyn std::error::Error + Send + Sync>;

impl Rejection {
    /// The message goes to the dead-letter queue, whatever attempts are left.
    pub fn dead_letter(error: impl Into<Error>) -> Self {
        Self::new(Outcome::DeadLetter, error)
    }

    /// The message is tried again later, as the handler's or the queue's [`Retry`](crate::Retry) says,
    /// and dead-lettered if it allows no more attempts.
    pub fn retry(error: impl Into<Error>) -> Self {
        Self::new(Outcome::Retry, error)
    }

    /// The message goes back to the queue, for any consumer to take again, as
    /// [`Outcome::Requeue`] tells.
    pub fn requeue(error: impl Into<Error>) -> Self {
        Self::new(Outcome::Requeue, error)
    }

    /// The message is acknowledged without having been handled.
    pub fn discard(error: impl Into<Error>) -> Self {
        Self::new(Outcome::Discard, error)
    }

    fn new(outcome: Outcome, error: impl Into<Error>) -> Self {
        Self {
            outcome,
            error: error.into(),
        }
    }

    /// What is done with the message.
    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("outcome", &self.outcome)
            .field("error", &self.error)
            .finish()
    }
}

impl std::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
