use std::{fmt, sync::Arc};

use super::{Brake, Checks};

/// Says of a handler's error that what the handler needs is away.
pub(crate) type IsUnavailable = Arc<dyn Fn(&anyhow::Error) -> bool + Send + Sync>;

/// What a program chose for a handler, or for all of a queue.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) brake: Option<Brake>,
    pub(crate) is_unavailable: Option<IsUnavailable>,
    /// The names of checks.
    pub(crate) needs: Vec<String>,
    /// Those of the program.
    pub(crate) checks: Checks,
}

impl Settings {
    /// What the handler says goes before what its queue says.
    pub(crate) fn or(&self, queue: &Self) -> Self {
        Self {
            brake: self.brake.or(queue.brake),
            is_unavailable: self
                .is_unavailable
                .as_ref()
                .or(queue.is_unavailable.as_ref())
                .cloned(),
            needs: queue.needs.iter().chain(&self.needs).cloned().collect(),
            checks: queue.checks.clone(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("brake", &self.brake)
            .field("unavailable_if", &self.is_unavailable.is_some())
            .field("needs", &self.needs)
            .finish()
    }
}
