use std::collections::{HashMap, HashSet};

use crate::handler::pattern::{KeyPattern, LONGEST};

/// Patterns by their words, so that a key is compared with those alone that begin as it does.
#[derive(Default)]
pub(super) struct Trie {
    /// The first is the root; none if there is no pattern.
    nodes: Vec<Node>,
    /// A pattern has several `#`.
    is_nested: bool,
}

/// Where the patterns are that begin alike.
#[derive(Default)]
struct Node {
    words: Words,
    one: Option<u32>,
    any: Option<u32>,
    /// The pattern that ends here.
    end: Option<u32>,
}

/// Where each word leads. A few are compared faster than hashed.
enum Words {
    Few(Vec<(Box<str>, u32)>),
    Many(HashMap<Box<str>, u32, foldhash::fast::RandomState>),
}

const FEW: usize = 4;

impl Trie {
    /// Of these patterns, by their numbers. The lesser number goes first.
    pub(super) fn new<'a>(patterns: impl Iterator<Item = &'a KeyPattern>) -> Self {
        let mut trie = Self::default();
        for (number, pattern) in (0..).zip(patterns) {
            trie.insert(pattern, number);
        }
        trie
    }

    fn insert(&mut self, pattern: &KeyPattern, number: u32) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        let mut anys = 0;
        for word in pattern.words() {
            let node = &mut self.nodes[at];
            let next = match word {
                "*" => node.one,
                "#" => node.any,
                word => node.words.get(word),
            };
            let next = next.unwrap_or_else(|| {
                let next = self.nodes.len() as u32;
                let node = &mut self.nodes[at];
                match word {
                    "*" => node.one = Some(next),
                    "#" => node.any = Some(next),
                    word => node.words.insert(word, next),
                }
                self.nodes.push(Node::default());
                next
            });
            anys += usize::from(word == "#");
            at = next as usize;
        }
        self.is_nested |= anys > 1;
        self.nodes[at].end.get_or_insert(number);
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The pattern that goes first of those that a key fits.
    pub(super) fn find(&self, key: &str) -> Option<u32> {
        if self.is_empty() || key.len() > LONGEST {
            return None;
        }
        let mut walk = Walk {
            trie: self,
            first: None,
            seen: HashSet::new(),
        };
        walk.on(0, Some(key).filter(|key| !key.is_empty()));
        walk.first
    }
}

impl Words {
    #[inline]
    fn get(&self, word: &str) -> Option<u32> {
        match self {
            Self::Few(words) => {
                let mut words = words.iter();
                words.find_map(|(known, next)| (**known == *word).then_some(*next))
            }
            Self::Many(words) => words.get(word).copied(),
        }
    }

    fn insert(&mut self, word: &str, next: u32) {
        match self {
            Self::Few(words) if words.len() < FEW => words.push((word.into(), next)),
            Self::Few(words) => {
                let mut many: HashMap<_, _, _> = words.drain(..).collect();
                many.insert(word.into(), next);
                *self = Self::Many(many);
            }
            Self::Many(words) => {
                words.insert(word.into(), next);
            }
        }
    }
}

impl Default for Words {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

/// A key on its way through the patterns that it may fit.
struct Walk<'t> {
    trie: &'t Trie,
    first: Option<u32>,
    /// Where a `#` was with so much of the key, if a pattern has several: what a sender writes in a key must not take a
    /// time that grows by powers.
    seen: HashSet<(u32, usize)>,
}

impl Walk<'_> {
    /// From a node, with the rest of the key; none if no word is left.
    fn on(&mut self, node: u32, rest: Option<&str>) {
        let node = &self.trie.nodes[node as usize];
        if let Some(any) = node.any {
            self.behind_any(any, rest);
        }
        let Some(rest) = rest else {
            return self.ends(node.end);
        };
        let (word, rest) = first_word(rest);
        if let Some(next) = node.words.get(word) {
            self.on(next, rest);
        }
        if let Some(next) = node.one {
            self.on(next, rest);
        }
    }

    /// Behind a `#`, which stands for none of the words, for the first, for the first two, and so on.
    fn behind_any(&mut self, node: u32, mut rest: Option<&str>) {
        let left = rest.map_or(0, |rest| rest.len() + 1);
        if self.trie.is_nested && !self.seen.insert((node, left)) {
            return;
        }
        let any = &self.trie.nodes[node as usize];
        self.ends(any.end);
        if any.words.is_none() {
            return;
        }
        while let Some(words) = rest {
            self.on(node, rest);
            rest = first_word(words).1;
        }
    }

    fn ends(&mut self, end: Option<u32>) {
        self.first = match (self.first, end) {
            (Some(first), Some(end)) => Some(first.min(end)),
            (first, end) => first.or(end),
        };
    }
}

impl Words {
    fn is_none(&self) -> bool {
        matches!(self, Self::Few(words) if words.is_empty())
    }
}

/// The first word, and what is behind its dot.
#[inline]
fn first_word(key: &str) -> (&str, Option<&str>) {
    // words are short: to look at each byte takes less than to prepare for looking at many
    match key.bytes().position(|byte| byte == b'.') {
        Some(dot) => (&key[..dot], Some(&key[dot + 1..])),
        None => (key, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<KeyPattern> {
        let patterns = texts.iter().map(|text| KeyPattern::parse(text).unwrap());
        let mut patterns: Vec<_> = patterns.collect();
        patterns.sort_by_key(|pattern| (pattern.openness(), pattern.clone()));
        patterns
    }

    /// All short keys of few words find what a comparison with each pattern finds.
    #[test]
    fn a_key_finds_the_first_pattern_that_it_fits() {
        let patterns = patterns(&[
            "a.*.b", "a.#", "#.b", "*.*", "#.a.#.b", "a.b.*", "*.#", "b.#.a.#", "#.c.#", "*.a.*.#",
            "c.*", "d.*", "e.*", "f.*",
        ]);
        let trie = Trie::new(patterns.iter());
        let mut keys = vec![String::new()];
        for _ in 0..5 {
            let longer = keys.iter().flat_map(|key| {
                ["a", "b", "c", "x", ""].map(|word| match key.is_empty() {
                    true => word.to_owned(),
                    false => format!("{key}.{word}"),
                })
            });
            keys.extend(longer.collect::<Vec<_>>());
            keys.sort();
            keys.dedup();
        }
        for key in &keys {
            let fits = |pattern: &KeyPattern| pattern.matched(key).is_some();
            let expected = patterns.iter().position(fits);
            let found = trie.find(key).map(|number| number as usize);
            assert_eq!(found, expected, "{key}");
        }
    }

    #[test]
    fn no_key_takes_long() {
        let text = ["#.a"; 60].join(".") + ".#.b";
        let trie = Trie::new(patterns(&[&text]).iter());
        let key = ["a"; 128].join(".");
        assert_eq!(trie.find(&key), None);
        assert_eq!(trie.find(&"a.".repeat(200)), None);
    }
}
