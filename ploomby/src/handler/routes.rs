use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use self::trie::Trie;
use super::{Entry, HandlerOptions, pattern::KeyPattern, registry::Answers, route::Route};

mod trie;

/// Functions by key: those of a registry that are for all queues, or those for one.
#[derive(Default)]
pub(crate) struct Index {
    /// The keys are the program's own, so that no sender can choose them to collide.
    numbers: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    /// The one that goes first stands first.
    patterns: Vec<(KeyPattern, u32)>,
    trie: Trie,
    default: Option<u32>,
    /// Each function once, though it may have several keys.
    entries: Vec<Entry>,
}

impl Index {
    pub(super) fn new<'a>(functions: impl Iterator<Item = (&'a Answers, &'a Entry)>) -> Self {
        let mut index = Self::default();
        let mut known: HashMap<*const HandlerOptions, u32> = HashMap::new();
        for (answers, entry) in functions {
            let number = *known.entry(Arc::as_ptr(&entry.options)).or_insert_with(|| {
                index.entries.push(entry.clone());
                index.entries.len() as u32 - 1
            });
            match answers {
                Answers::Key(key) => {
                    index.numbers.insert(key.as_str().into(), number);
                }
                Answers::Pattern(pattern) => index.patterns.push((pattern.clone(), number)),
                Answers::Default => index.default = Some(number),
            }
        }
        index
            .patterns
            .sort_by_cached_key(|(pattern, _)| (pattern.openness(), pattern.clone()));
        index.trie = Trie::new(index.patterns.iter().map(|(pattern, _)| pattern));
        index
    }

    #[inline]
    pub(super) fn get(&self, key: &str) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The pattern that a key fits, the first of several, and its function.
    #[inline]
    pub(super) fn by_pattern(&self, key: &str) -> Option<(&KeyPattern, u32)> {
        if self.trie.is_empty() {
            return None;
        }
        let (pattern, number) = self.patterns.get(self.trie.find(key)? as usize)?;
        Some((pattern, *number))
    }

    pub(super) fn patterns(&self) -> impl Iterator<Item = (&KeyPattern, u32)> {
        self.patterns
            .iter()
            .map(|(pattern, number)| (pattern, *number))
    }

    pub(super) fn default_number(&self) -> Option<u32> {
        self.default
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, u32)> {
        self.numbers.iter().map(|(key, number)| (&**key, *number))
    }
}

/// The routes of one queue, by number. Each is made for its first message: a queue that has messages for ten of
/// ten thousand handlers holds ten.
pub(crate) struct Routes(Box<[OnceLock<Box<Page>>]>);

type Page = [OnceLock<Arc<Route>>; PAGE];

const PAGE: usize = 64;

impl Routes {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count.div_ceil(PAGE)).map(|_| OnceLock::new()).collect())
    }

    #[inline]
    pub(super) fn get(&self, number: u32, make: impl FnOnce() -> Arc<Route>) -> &Arc<Route> {
        let number = number as usize;
        let page =
            self.0[number / PAGE].get_or_init(|| Box::new([const { OnceLock::new() }; PAGE]));
        page[number % PAGE].get_or_init(make)
    }

    /// How many were made.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let pages = self.0.iter().filter_map(OnceLock::get);
        pages
            .map(|page| page.iter().filter(|route| route.get().is_some()).count())
            .sum()
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self::new(0)
    }
}
