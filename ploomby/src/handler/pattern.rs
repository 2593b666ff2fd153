//! Patterns of keys, by the rules of AMQP's topics.

use std::{cmp::Reverse, fmt};

/// A pattern of keys: words between dots, of which `*` stands for one word and `#` for any number of words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyPattern(Box<str>);

/// How much a pattern leaves open. Of two, the lesser one goes first; if one takes less than the other, it is the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Openness {
    words: Reverse<usize>,
    has_any: bool,
    ones: Reverse<usize>,
    anys: usize,
}

/// What no key is longer than that fits a pattern: as long as a routing key can be.
pub(super) const LONGEST: usize = 255;

/// Why a text is no pattern.
pub(super) const fn fault_of(pattern: &str) -> Option<&'static str> {
    let text = pattern.as_bytes();
    if text.is_empty() || text.len() > LONGEST {
        return Some("a pattern has 1 to 255 bytes");
    }
    let mut has_wildcard = false;
    let mut is_behind_any = false;
    let mut start = 0;
    let mut at = 0;
    while at <= text.len() {
        if at == text.len() || text[at] == b'.' {
            let is_wildcard = at == start + 1 && is_wildcard(text[start]);
            if is_wildcard && is_behind_any {
                return Some(
                    "behind `#` stands a word: write `*.#` for `#.*`, and one `#` for several",
                );
            }
            is_behind_any = is_wildcard && text[start] == b'#';
            has_wildcard |= is_wildcard;
            start = at + 1;
        } else if is_wildcard(text[at]) && !is_alone(text, start, at) {
            return Some("`*` and `#` stand for whole words, between dots");
        }
        at += 1;
    }
    match has_wildcard {
        true => None,
        false => Some("a pattern without `*` and `#` is a key: register it as one"),
    }
}

/// Whether a key fits a pattern, or what is none.
pub(crate) fn key_fits(pattern: &str, key: &str) -> bool {
    let pattern = KeyPattern::parse(pattern);
    pattern.is_ok_and(|pattern| pattern.matched(key).is_some())
}

/// Whether a key has a word that is a wildcard in a pattern.
pub(super) fn has_wildcard(key: &str) -> bool {
    key.split('.').any(|word| matches!(word, "*" | "#"))
}

const fn is_wildcard(byte: u8) -> bool {
    byte == b'*' || byte == b'#'
}

const fn is_alone(text: &[u8], start: usize, at: usize) -> bool {
    at == start && (at + 1 == text.len() || text[at + 1] == b'.')
}

/// The words of a key; an empty key has none.
fn words_of(key: &str) -> Vec<&str> {
    match key {
        "" => Vec::new(),
        key => key.split('.').collect(),
    }
}

impl KeyPattern {
    /// # Errors
    ///
    /// Why it is no pattern.
    pub(crate) fn parse(pattern: &str) -> Result<Self, &'static str> {
        match fault_of(pattern) {
            Some(fault) => Err(fault),
            None => Ok(Self(pattern.into())),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    pub(super) fn openness(&self) -> Openness {
        let count = |wanted: fn(&str) -> bool| self.words().filter(|word| wanted(word)).count();
        let anys = count(|word| word == "#");
        Openness {
            words: Reverse(count(|word| !matches!(word, "*" | "#"))),
            has_any: anys > 0,
            ones: Reverse(count(|word| word == "*")),
            anys,
        }
    }

    /// Whether it spells out a word.
    pub(super) fn has_word(&self) -> bool {
        self.words().any(|word| !matches!(word, "*" | "#"))
    }

    /// What stands for its wildcards in this key, in their order: a word for each `*`, and for each `#` as few words as can be,
    /// with their dots. None if the key does not fit.
    pub(super) fn matched<'k>(&self, key: &'k str) -> Option<Vec<&'k str>> {
        if key.len() > LONGEST {
            return None;
        }
        let (pattern, words): (Vec<_>, _) = (self.words().collect(), words_of(key));
        let fits = Fits::new(&pattern, &words);
        if !fits.from(0, 0) {
            return None;
        }
        let mut matched = Vec::new();
        let mut at = 0;
        for (place, part) in pattern.iter().enumerate() {
            let start = at;
            match *part {
                "#" => {
                    while !fits.from(place + 1, at) {
                        at += 1;
                    }
                    matched.push(between(key, &words[start..at]));
                }
                part => {
                    if part == "*" {
                        matched.push(words[at]);
                    }
                    at += 1;
                }
            }
        }
        Some(matched)
    }

    /// Whether a key may fit both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let (a, b): (Vec<_>, Vec<_>) = (self.words().collect(), other.words().collect());
        // by how much of each is left, from the ends
        let mut meets = vec![vec![false; b.len() + 1]; a.len() + 1];
        for i in (0..=a.len()).rev() {
            for j in (0..=b.len()).rev() {
                meets[i][j] = match (a.get(i), b.get(j)) {
                    (None, None) => true,
                    (Some(&"#"), other) => meets[i + 1][j] || (other.is_some() && meets[i][j + 1]),
                    (other, Some(&"#")) => meets[i][j + 1] || (other.is_some() && meets[i + 1][j]),
                    (Some(a), Some(b)) => (a == b || *a == "*" || *b == "*") && meets[i + 1][j + 1],
                    (None, Some(_)) | (Some(_), None) => false,
                };
            }
        }
        meets[0][0]
    }

    /// The regular expression that the keys match which fit, for a schema.
    #[cfg(feature = "asyncapi")]
    pub(crate) fn regex(&self) -> String {
        let mut regex = "^".to_owned();
        let mut is_first = true;
        for word in self.words() {
            let dot = if is_first { "" } else { "\\." };
            match word {
                "*" => regex += &format!("{dot}[^.]*"),
                "#" if is_first && self.0.len() == 1 => regex += ".*",
                // with the dot that is before or behind it
                "#" if is_first => {
                    regex += "([^.]*\\.)*";
                    continue;
                }
                "#" => regex += "(\\.[^.]*)*",
                word => {
                    regex += dot;
                    for character in word.chars() {
                        if !character.is_ascii_alphanumeric() && character.is_ascii() {
                            regex.push('\\');
                        }
                        regex.push(character);
                    }
                }
            }
            is_first = false;
        }
        regex + "$"
    }
}

/// The part of a key that has these words of it.
fn between<'k>(key: &'k str, words: &[&'k str]) -> &'k str {
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return "";
    };
    let start = first.as_ptr() as usize - key.as_ptr() as usize;
    let end = last.as_ptr() as usize - key.as_ptr() as usize + last.len();
    &key[start..end]
}

/// From where a key fits the rest of a pattern.
struct Fits {
    is_fit: Vec<bool>,
    width: usize,
}

impl Fits {
    fn new(pattern: &[&str], words: &[&str]) -> Self {
        let width = words.len() + 1;
        let mut fits = Self {
            is_fit: vec![false; (pattern.len() + 1) * width],
            width,
        };
        for place in (0..=pattern.len()).rev() {
            for at in (0..width).rev() {
                let word = words.get(at);
                let fit = match pattern.get(place) {
                    None => word.is_none(),
                    Some(&"#") => {
                        fits.from(place + 1, at) || (word.is_some() && fits.from(place, at + 1))
                    }
                    Some(part) => {
                        word.is_some_and(|word| *part == "*" || part == word)
                            && fits.from(place + 1, at + 1)
                    }
                };
                fits.is_fit[place * width + at] = fit;
            }
        }
        fits
    }

    fn from(&self, place: usize, at: usize) -> bool {
        self.is_fit[place * self.width + at]
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> KeyPattern {
        KeyPattern::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for (text, fault) in [
            ("", "255 bytes"),
            ("order.created", "is a key"),
            ("order.*x", "whole words"),
            ("order.x#.a", "whole words"),
            ("**", "whole words"),
            ("a.#.*", "behind `#`"),
            ("#.#", "behind `#`"),
        ] {
            let told = fault_of(text).unwrap_or_else(|| panic!("{text:?} is one"));
            assert!(told.contains(fault), "{text}: {told}");
        }
        for text in ["*", "#", "a.*.b", "*.#", "a.#.b.#", "..*", "a.*.*"] {
            assert_eq!(fault_of(text), None, "{text}");
        }
    }

    #[test]
    fn wildcards_stand_for_words() {
        for (text, key, matched) in [
            ("order.*.created", "order.eu.created", Some(vec!["eu"])),
            ("order.*.created", "order.eu.north.created", None),
            ("order.*.created", "order.created", None),
            ("order.*", "order.", Some(vec![""])),
            ("order.#", "order", Some(vec![""])),
            ("order.#", "order.eu.north", Some(vec!["eu.north"])),
            ("#", "", Some(vec![""])),
            ("#", "a.b", Some(vec!["a.b"])),
            ("*", "", None),
            ("*.#", "a.b.c", Some(vec!["a", "b.c"])),
            ("#.a.#", "a.b.a.c", Some(vec!["", "b.a.c"])),
            ("#.created", "order.created", Some(vec!["order"])),
            ("#.created", "order.changed", None),
        ] {
            assert_eq!(pattern(text).matched(key), matched, "{text} {key}");
        }
    }

    #[test]
    fn what_takes_less_leaves_less_open() {
        // each takes less than those behind it
        for chain in [
            &["a.b.*", "a.*.*", "a.#"][..],
            &["a.b.*", "*.b.*", "*.*.*", "*.#", "#"],
            &["a.*.b", "a.#.b", "#.a.#.b", "#.b", "#"],
            &["a.*", "a.*.#", "a.#"],
            &["a.#", "#.a.#"],
            &["#.a", "#.a.#", "#"],
        ] {
            let open = chain.iter().map(|text| pattern(text).openness());
            let open: Vec<_> = open.collect();
            assert!(open.is_sorted_by(|a, b| a < b), "{chain:?}: {open:?}");
        }
    }

    #[test]
    fn two_that_a_key_fits_meet() {
        for (a, b, meet) in [
            ("a.*.b", "a.c.*", true),
            ("a.*.b", "a.*.c", false),
            ("a.*", "a.*.*", false),
            ("a.#", "#.b", true),
            ("#.a", "#.b", false),
            ("#.a.#", "#.b.#", true),
            ("*.#", "#", true),
            ("a.#.b", "a.*", true),
            ("a.#.b", "a.*.c", false),
        ] {
            let (a, b) = (pattern(a), pattern(b));
            assert_eq!((a.meets(&b), b.meets(&a)), (meet, meet), "{a} {b}");
        }
    }

    #[test]
    #[cfg(feature = "asyncapi")]
    fn a_pattern_is_a_regular_expression() {
        for (text, regex) in [
            ("order.*.created", r"^order\.[^.]*\.created$"),
            ("order.#", r"^order(\.[^.]*)*$"),
            ("#.created", r"^([^.]*\.)*created$"),
            ("#", "^.*$"),
            ("a-b.*", r"^a\-b\.[^.]*$"),
        ] {
            assert_eq!(pattern(text).regex(), regex);
        }
    }
}
