use std::{panic::Location, sync::Arc};

use super::{
    Answers, HandlerFunction, HandlerOptions, HandlerRegistry, by_hand,
    error::{Tie, Unfit},
};
use crate::handler::{Entry, KeyPattern, pattern::has_wildcard};

impl HandlerRegistry {
    /// Adds a function for the keys that fit a pattern, by the rules of AMQP's topics: words stand between dots, `*` stands
    /// for one word, and `#` for any number of words, also none. A key of more than 255 bytes fits no pattern.
    ///
    /// A function for the very key goes before one with a pattern. Of two patterns that a key fits, that one goes first
    /// which
    ///
    /// 1. spells out more words, or else
    /// 2. has no `#`, or else
    /// 3. has more `*`, or else
    /// 4. has fewer `#`.
    ///
    /// So one that takes less than another goes before it. Two that are even in all of that are an error at startup, if
    /// a key may fit both, such as `order.*.created` and `order.eu.*`. Patterns of a queue's own handlers
    /// go before those for all queues.
    ///
    /// ```
    /// use ploomby::{HandlerRegistry, extract::Words};
    ///
    /// let handlers = HandlerRegistry::new()
    ///     .register_pattern("order.*.created", |words: Words| async move {
    ///         println!("an order in {}", words[0]);
    ///     })
    ///     .register_pattern("order.#", |_: ()| async {});
    /// assert!(handlers.check().is_ok());
    /// ```
    ///
    /// What is no pattern is reported by [`check`](Self::check), and so at startup: one without a wildcard, or with a
    /// wildcard that is a part of a word.
    #[must_use]
    #[track_caller]
    pub fn register_pattern<H, M>(self, pattern: &str, handler: H) -> Self
    where
        H: HandlerFunction<M>,
    {
        self.register_pattern_with(pattern, HandlerOptions::new(), handler)
    }

    /// Adds a function for a [pattern](Self::register_pattern), to be run in a way of its own.
    #[must_use]
    #[track_caller]
    pub fn register_pattern_with<H, M>(
        mut self,
        pattern: &str,
        options: HandlerOptions,
        handler: H,
    ) -> Self
    where
        H: HandlerFunction<M>,
    {
        let entry = by_hand(handler, options, Location::caller());
        self.insert_pattern(pattern, entry);
        self
    }

    /// The registered patterns, in no particular order. One that several queues have their own function for is there as
    /// often.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        let addresses = self.handlers.keys();
        addresses.filter_map(|address| match &address.answers {
            Answers::Pattern(pattern) => Some(pattern.as_str()),
            Answers::Key(_) | Answers::Default => None,
        })
    }

    pub(super) fn insert_key(&mut self, key: &str, entry: Entry) {
        match has_wildcard(key) {
            true => {
                let fault = "a key with a wildcard is a pattern: register it as one";
                self.unfit.push(Unfit::new(key, fault, &entry));
            }
            false => self.insert(Answers::Key(key.to_owned()), entry),
        }
    }

    pub(super) fn insert_pattern(&mut self, pattern: &str, entry: Entry) {
        match KeyPattern::parse(pattern) {
            Ok(pattern) => self.insert(Answers::Pattern(pattern), entry),
            Err(fault) => self.unfit.push(Unfit::new(pattern, fault, &entry)),
        }
    }

    /// Patterns of different functions that a key may fit, and of which none goes first.
    pub(super) fn ties(&self) -> Vec<Tie> {
        let handlers = self.handlers.iter();
        let patterns = handlers.filter_map(|(address, entry)| match &address.answers {
            Answers::Pattern(pattern) => {
                let open = (&address.queue, pattern.openness());
                Some((open, pattern, entry))
            }
            Answers::Key(_) | Answers::Default => None,
        });
        let mut patterns: Vec<_> = patterns.collect();
        patterns.sort_by_key(|(open, pattern, _)| (*open, *pattern));
        let mut ties = Vec::new();
        for even in patterns.chunk_by(|(a, ..), (b, ..)| a == b) {
            for (at, (_, first, of_first)) in even.iter().enumerate() {
                for (_, second, of_second) in &even[at + 1..] {
                    let is_same = Arc::ptr_eq(&of_first.options, &of_second.options);
                    if !is_same && first.meets(second) {
                        ties.push(Tie {
                            first: (first.to_string(), of_first.origin),
                            second: (second.to_string(), of_second.origin),
                        });
                    }
                }
            }
        }
        ties
    }
}

impl Answers {
    /// The key or the pattern.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Pattern(pattern) => Some(pattern.as_str()),
            Self::Default => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::handler::{HandlerOptions, HandlerRegistry};

    fn faults(patterns: &[(&str, Option<&str>)]) -> String {
        let handlers =
            patterns
                .iter()
                .fold(HandlerRegistry::new(), |handlers, (pattern, queue)| {
                    let options = HandlerOptions::new();
                    let options = match queue {
                        Some(queue) => options.queue(*queue),
                        None => options,
                    };
                    handlers.register_pattern_with(pattern, options, async || {})
                });
        handlers
            .check()
            .map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_tie_names_both_places() {
        let tie = faults(&[("order.*.created", None), ("order.eu.*", None)]);
        assert!(tie.contains("none goes before the other"), "{tie}");
        assert_eq!(tie.matches("patterns.rs:").count(), 2, "{tie}");
        assert!(
            tie.contains("\"order.*.created\"") && tie.contains("\"order.eu.*\""),
            "{tie}"
        );
        for no_tie in [
            // one goes first
            &[("order.*.created", None), ("order.#", None)][..],
            // no key fits both
            &[("order.*.created", None), ("order.*.changed", None)],
            // that of the queue goes first
            &[("order.*.created", None), ("order.eu.*", Some("q"))],
            &[("order.*.created", Some("p")), ("order.eu.*", Some("q"))],
        ] {
            assert_eq!(faults(no_tie), "");
        }
    }

    #[test]
    fn what_is_no_pattern_and_what_is_no_key_names_its_place() {
        let fault = faults(&[("order.x*", None)]);
        assert!(
            fault.contains("whole words") && fault.contains("patterns.rs:"),
            "{fault}"
        );
        let handlers = HandlerRegistry::new().register("order.*", async || {});
        let fault = handlers.check().unwrap_err().to_string();
        assert!(fault.contains("is a pattern"), "{fault}");
        let handlers = HandlerRegistry::new().register("C#", async || {});
        assert!(handlers.check().is_ok());
    }

    #[test]
    fn the_same_pattern_twice_is_a_duplicate() {
        let fault = faults(&[("order.*", None), ("order.*", None)]);
        assert!(fault.contains("two handlers for one key"), "{fault}");
        assert!(fault.contains("pattern \"order.*\""), "{fault}");
    }
}
