use std::fmt;

use crate::{metrics, trace};

/// A message on its way, as metrics and traces have it. One that its sender does not wait for any more is not counted.
pub(crate) struct Sending {
    pub(super) counted: metrics::Sending,
    pub(super) traced: trace::SendSpan,
}

impl Sending {
    /// The broker has it, or why not.
    pub(crate) fn end<E: fmt::Display>(self, error: Option<&E>, kind: fn(&E) -> &'static str) {
        if let Some(error) = error {
            self.traced.failed(kind(error), error);
        }
        self.counted.end(|| error.map(kind));
    }
}
