//! Messages whose bodies are decoded to see whether they fit, and that no handler is to have.

use std::sync::{Arc, Mutex, PoisonError};

use super::Delivery;
use crate::outcome::{Failure, Reason};

/// Left with such a delivery, for what came of its body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trial(Arc<Mutex<Option<Result<(), Failure>>>>);

impl Trial {
    /// What came of the body; None where nothing has decoded it.
    pub(crate) fn take(&self) -> Option<Result<(), Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Delivery {
    /// Whether no handler is to have it.
    #[inline]
    pub(crate) fn is_trial(&self) -> bool {
        let source = self.inner.source.as_ref();
        source.is_some_and(|source| source.is_trial)
    }

    /// Says that the payload was decoded, or why it was not.
    #[inline]
    pub(crate) fn note_decoded<T>(&self, decoded: &Result<T, Failure>) {
        if self.is_trial() {
            self.note_trial(
                decoded
                    .as_ref()
                    .map_or_else(|failure| Err(failure.clone()), |_| Ok(())),
            );
        }
    }

    #[cold]
    fn note_trial(&self, decoded: Result<(), Failure>) {
        if let Some(Trial(noted)) = self.extensions().get() {
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(decoded);
        }
    }

    /// An error for a trial, once all is known of it that there is to know.
    ///
    /// # Errors
    ///
    /// It is one.
    #[inline]
    pub(crate) fn end_trial(&self) -> Result<(), Failure> {
        match self.is_trial() {
            false => Ok(()),
            true => Err(Failure::new(Reason::Rejected, "it is a trial".to_owned())),
        }
    }
}
