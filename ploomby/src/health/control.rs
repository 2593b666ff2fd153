//! Queues that are paused by whoever knows their health.

use std::sync::Arc;

use super::Health;
use crate::brake::Brakes;

impl Health {
    /// Lets no message of a queue go to its handler. Says whether the queue is consumed here.
    pub(crate) fn pause(&self, queue: &str, by: &str) -> bool {
        let brakes = self.brakes(queue);
        brakes.inspect(|brakes| brakes.pause(by)).is_some()
    }

    /// Says whether the queue was paused.
    pub(crate) fn resume(&self, queue: &str) -> bool {
        self.brakes(queue).is_some_and(|brakes| brakes.resume())
    }

    fn brakes(&self, queue: &str) -> Option<Arc<Brakes>> {
        self.lock().get(queue)?.first()?.brakes.clone()
    }
}
