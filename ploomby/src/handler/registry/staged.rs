//! What a test asks of handlers, and changes.

use std::{collections::BTreeSet, panic::Location};

use super::{Address, Answers, HandlerFunction, HandlerOptions, HandlerRegistry, by_hand};
use crate::handler::Entry;

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
        self.insert_key(key, entry);
    }

    /// The function that handles a message.
    pub(crate) fn name_of(&self, queue: &str, key: Option<&str>) -> Option<&'static str> {
        let get = |queue, key| self.handlers.get(&address(queue, key));
        let by_key = key.and_then(|_| get(Some(queue), key).or_else(|| get(None, key)));
        let by_pattern = || {
            let key = key?;
            self.by_pattern(Some(queue), key)
                .or_else(|| self.by_pattern(None, key))
        };
        let default = || get(Some(queue), None).or_else(|| get(None, None));
        let entry = by_key.or_else(by_pattern).or_else(default)?;
        Some(entry.origin.name)
    }

    fn by_pattern(&self, queue: Option<&str>, key: &str) -> Option<&Entry> {
        let fitting = self.handlers.iter().filter_map(|(address, entry)| {
            let Answers::Pattern(pattern) = &address.answers else {
                return None;
            };
            let fits = address.queue.as_deref() == queue && pattern.matched(key).is_some();
            fits.then(|| ((pattern.openness(), pattern), entry))
        });
        fitting
            .min_by_key(|(order, _)| *order)
            .map(|(_, entry)| entry)
    }
}

fn address(queue: Option<&str>, key: Option<&str>) -> Address {
    Address {
        queue: queue.map(str::to_owned),
        answers: key.map_or(Answers::Default, |key| Answers::Key(key.to_owned())),
    }
}
