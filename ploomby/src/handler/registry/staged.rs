//! What a test asks of handlers, and changes.

use std::{collections::BTreeSet, panic::Location};

use super::{Address, HandlerFunction, HandlerOptions, HandlerRegistry, by_hand};

impl HandlerRegistry {
    /// The queues that handlers name.
    pub(crate) fn queues(&self) -> BTreeSet<String> {
        let addresses = self.handlers.keys();
        addresses
            .filter_map(|address| address.queue.clone())
            .collect()
    }

    /// Has a function handle the messages of one queue with this key, in place of the one that does.
    #[track_caller]
    pub(crate) fn stub<H, M>(&mut self, queue: &str, key: &str, handler: H)
    where
        H: HandlerFunction<M>,
    {
        let options = HandlerOptions::new().queue(queue);
        let entry = by_hand(handler, options, Location::caller());
        self.handlers.remove(&address(Some(queue), Some(key)));
        self.insert(Some(key), entry);
    }

    /// The function that handles a message.
    pub(crate) fn name_of(&self, queue: &str, key: Option<&str>) -> Option<&'static str> {
        let addresses = [
            address(Some(queue), key),
            address(None, key),
            address(Some(queue), None),
            address(None, None),
        ];
        let mut entries = addresses.iter().filter_map(|at| self.handlers.get(at));
        entries.next().map(|entry| entry.origin.name)
    }
}

fn address(queue: Option<&str>, key: Option<&str>) -> Address {
    Address {
        queue: queue.map(str::to_owned),
        key: key.map(str::to_owned),
    }
}
