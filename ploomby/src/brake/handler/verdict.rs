use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use tracing::error;

use super::HandlerBrake;
use crate::{
    delivery::Delivery,
    outcome::{ErrorReply, Failure, Outcome, Unavailable, cause},
    reply::Answer,
};

/// What a result says about what the handler needs.
pub(super) enum Verdict<'f> {
    Succeeded,
    Unavailable(&'f Failure, Option<Duration>),
    Failed(&'f str),
    /// It says nothing.
    Passed,
}

impl HandlerBrake {
    pub(super) fn verdict<'f>(&self, result: &'f Result<Answer, Failure>) -> Verdict<'f> {
        let failure = match result {
            Ok(answer) if answer.outcome() == Outcome::Retry => {
                return Verdict::Failed("the handler asked for another attempt");
            }
            Ok(answer) if answer.outcome() == Outcome::Requeue => return Verdict::Passed,
            Ok(_) => return Verdict::Succeeded,
            Err(failure) => failure,
        };
        if let Some(error) = failure.error().filter(|_| failure.outcome().is_none()) {
            if let Some(unavailable) = cause::<Unavailable>(error) {
                return Verdict::Unavailable(failure, unavailable.pause());
            }
            if self.is_unavailable(error) {
                return Verdict::Unavailable(failure, None);
            }
            if cause::<ErrorReply>(error).is_some() {
                return Verdict::Passed;
            }
        }
        if failure.is_retriable() {
            Verdict::Failed(failure.log_text())
        } else {
            Verdict::Passed
        }
    }

    fn is_unavailable(&self, error: &anyhow::Error) -> bool {
        let Some(is_unavailable) = &self.settings.is_unavailable else {
            return false;
        };
        // code of the program's, whose panic must not leave the message unsettled
        let said = catch_unwind(AssertUnwindSafe(|| is_unavailable(error)));
        said.unwrap_or_else(|_| {
            error!(
                queue = self.brakes.queue,
                handler = self.handler,
                "`unavailable_if` panicked: the error counts as any other"
            );
            false
        })
    }

    /// A number that is the same where the same message fails again, as far as that can be known.
    pub(super) fn identify(&self, delivery: &Delivery) -> u64 {
        let mut hasher = DefaultHasher::new();
        if let Some(id) = delivery.properties().message_id() {
            ("id", id).hash(&mut hasher);
        } else if delivery.attempt() > 1 {
            ("body", delivery.body()).hash(&mut hasher);
        } else {
            ("number", self.next.fetch_add(1, Relaxed)).hash(&mut hasher);
        }
        hasher.finish()
    }
}
