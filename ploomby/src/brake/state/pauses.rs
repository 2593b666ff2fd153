use std::time::SystemTime;

use tokio::time::Instant;

/// Who wants nothing to go to the handler: somebody who paused the queue, or the handler alone.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    of_queue: Option<Paused>,
    of_handler: Option<Paused>,
}

/// What somebody paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::brake) enum Whole {
    Queue,
    Handler,
}

/// Nothing goes to the handler until somebody says so.
#[derive(Clone, Debug)]
pub(in crate::brake) struct Paused {
    pub(in crate::brake) by: String,
    pub(in crate::brake) since: SystemTime,
    pub(super) from: Instant,
}

impl Pauses {
    pub(super) fn begin(&mut self, whole: Whole, by: &str, now: Instant) {
        *self.of(whole) = Some(Paused {
            by: by.to_owned(),
            since: SystemTime::now(),
            from: now,
        });
    }

    /// Whether there was one.
    pub(super) fn end(&mut self, whole: Whole) -> bool {
        self.of(whole).take().is_some()
    }

    pub(super) fn now(&self) -> Option<&Paused> {
        self.of_queue.as_ref().or(self.of_handler.as_ref())
    }

    fn of(&mut self, whole: Whole) -> &mut Option<Paused> {
        match whole {
            Whole::Queue => &mut self.of_queue,
            Whole::Handler => &mut self.of_handler,
        }
    }
}
