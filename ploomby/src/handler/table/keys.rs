use super::Table;
use crate::{delivery::KeyWords, handler::routes::Index};

impl Table {
    /// What finds the words of a key that stand for the wildcards of its pattern.
    pub(crate) fn words(&self) -> KeyWords {
        let (own, shared) = (self.own.clone(), self.shared.clone());
        KeyWords::new(move |key| {
            if own.get(key).or_else(|| shared.get(key)).is_some() {
                return Vec::new();
            }
            let found = own.by_pattern(key).or_else(|| shared.by_pattern(key));
            let words = found.and_then(|(pattern, _)| pattern.matched(key));
            words
                .unwrap_or_default()
                .into_iter()
                .map(str::to_owned)
                .collect()
        })
    }

    /// The keys that messages of the queue may have, without those that fit a pattern.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let shared = self.shared.keys().chain(self.own.keys());
        shared.map(|(key, _)| key)
    }

    /// Whether a function has this very key, or a pattern that it fits and that spells out a word of it.
    pub(crate) fn knows(&self, key: &str) -> bool {
        let fits = |index: &Index| {
            let found = index.by_pattern(key);
            found.is_some_and(|(pattern, _)| pattern.has_word())
        };
        let is_key = self.own.get(key).or_else(|| self.shared.get(key)).is_some();
        is_key || fits(&self.own) || fits(&self.shared)
    }
}
