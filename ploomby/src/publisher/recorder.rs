use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::message::Addressed;

/// Takes what a handler sends that is only tried: it is written down, and goes nowhere.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Unsent>>>);

/// A message that would have been sent.
#[derive(Clone, Debug)]
pub(crate) struct Unsent {
    pub(crate) message: Addressed,
    pub(crate) delay: Option<Duration>,
}

impl Recorder {
    pub(super) fn note(&self, message: Addressed, delay: Option<Duration>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Unsent { message, delay });
    }

    /// What came since the last call.
    pub(crate) fn take(&self) -> Vec<Unsent> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}
