//! What is in the queues of a test.

use super::TestRunning;
use crate::testing::letters::Letters;

impl TestRunning {
    /// What is in the dead-letter queue of a queue.
    ///
    /// # Panics
    ///
    /// If the app consumes no such queue, or leaves its dead letters to the broker.
    #[track_caller]
    pub fn dead_letters(&self, queue: &str) -> Letters {
        let Some(known) = self
            .settings
            .queues
            .iter()
            .find(|known| known.name == queue)
        else {
            panic!("the app consumes no queue `{queue}`");
        };
        let companions = known.options.companions(queue);
        let name = companions
            .ok()
            .and_then(|companions| companions.dead_letters);
        let Some(name) = name.map(|declared| declared.name) else {
            panic!(
                "queue `{queue}` leaves its dead letters to the broker: ask `waiting` for the queue that they go to"
            );
        };
        let messages = self.settings.place.messages(&name);
        Letters::new(queue, messages, self.journal())
    }

    /// How many messages wait in a queue, for another attempt at one of its messages, or by a delay until they come to it.
    ///
    /// # Panics
    ///
    /// If there is no such queue.
    #[must_use]
    #[track_caller]
    pub fn waiting(&self, queue: &str) -> usize {
        let made = self.settings.director.made_queues();
        match self.settings.place.waiting(queue, made) {
            Some(waiting) => waiting,
            None => panic!("there is no queue `{queue}`"),
        }
    }
}
