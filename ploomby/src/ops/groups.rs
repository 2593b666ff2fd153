//! Letters that failed for the same cause, counted together.

use std::{collections::HashMap, time::SystemTime};

use serde::{Serialize, Serializer};

use super::{Letter, time};

/// What letters of a group have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupBy {
    /// The error, without numbers, ids, quoted text and addresses.
    #[default]
    Error,
    /// The key.
    Key,
    /// The reason.
    Reason,
    /// The handler.
    Handler,
    /// Name and version of the program where they failed.
    Build,
}

/// Letters with something in common.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Group {
    /// The version of its form in JSON.
    pub v: u32,
    /// What they have in common. None where it is missing.
    pub name: Option<String>,
    /// How many there are.
    pub count: usize,
    /// The keys that they have, the first few.
    pub keys: Vec<String>,
    /// When the first of them failed.
    #[serde(serialize_with = "as_text")]
    pub first: Option<SystemTime>,
    /// When the last of them failed.
    #[serde(serialize_with = "as_text")]
    pub last: Option<SystemTime>,
    /// The name of one of them.
    pub sample: String,
}

/// Groups letters one after another, and keeps none of them.
#[derive(Debug, Default)]
pub struct Groups {
    by: GroupBy,
    groups: HashMap<Option<String>, Group>,
}

/// How many keys a group tells.
const MOST_KEYS: usize = 5;

impl GroupBy {
    /// The name of the group that a letter is in.
    pub(super) fn name_of(self, letter: &Letter) -> Option<String> {
        match self {
            Self::Error => letter.error().map(kind_of_error),
            Self::Key => letter.key().map(str::to_owned),
            Self::Reason => letter.reason().map(str::to_owned),
            Self::Handler => letter.handler().map(str::to_owned),
            Self::Build => letter.app().map(str::to_owned),
        }
    }
}

impl Groups {
    /// No letter yet.
    pub fn new(by: GroupBy) -> Self {
        Self {
            by,
            groups: HashMap::new(),
        }
    }

    /// Counts a letter.
    pub fn add(&mut self, letter: &Letter) {
        let name = self.by.name_of(letter);
        let group = self.groups.entry(name.clone()).or_insert_with(|| Group {
            v: 1,
            name,
            count: 0,
            keys: Vec::new(),
            first: None,
            last: None,
            sample: letter.id(),
        });
        group.count += 1;
        let failed_at = letter.failed_at();
        group.last = group.last.max(failed_at);
        group.first = match (group.first, failed_at) {
            (Some(first), Some(at)) => Some(first.min(at)),
            (first, at) => first.or(at),
        };
        if let Some(key) = letter.key() {
            if group.keys.len() < MOST_KEYS && !group.keys.iter().any(|known| known == key) {
                group.keys.push(key.to_owned());
            }
        }
    }

    /// The groups, the largest first.
    pub fn into_groups(self) -> Vec<Group> {
        let mut groups: Vec<_> = self.groups.into_values().collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        groups
    }
}

fn as_text<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(time::written).serialize(serializer)
}

/// The error without what differs from one letter to the next: numbers, ids, quoted text and addresses.
pub(crate) fn kind_of_error(error: &str) -> String {
    let mut kind = String::new();
    let mut rest = error;
    while let Some(first) = rest.chars().next() {
        let follows_word = kind.chars().next_back().is_some_and(char::is_alphanumeric);
        let quoted = match first {
            '"' | '`' => match end_of_quoted(&rest[1..], first) {
                Some(end) => Some(end),
                // an error may be cut in the middle of what it quotes
                None => {
                    kind.extend([first, '…']);
                    break;
                }
            },
            // no apostrophe
            '\'' if !follows_word => end_of_quoted(&rest[1..], first),
            _ => None,
        };
        if let Some(len) = quoted {
            kind.extend([first, '…', first]);
            rest = &rest[len + 2..];
            continue;
        }
        let end = rest.find(|character| !is_of_word(character));
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        if word.is_empty() {
            let (other, after) = rest.split_at(first.len_utf8());
            kind.push_str(other);
            rest = after;
            continue;
        }
        let bare = word.trim_end_matches(['.', ':', '-', '/', '@']);
        let is_address = bare.contains("://") || bare.contains('@') || bare.starts_with('/');
        match is_address || bare.contains(|character: char| character.is_ascii_digit()) {
            true => kind.push('#'),
            false => kind.push_str(bare),
        }
        kind.push_str(&word[bare.len()..]);
        rest = after;
    }
    kind
}

/// Where the quote is that ends a quoted text. Between backticks nothing is escaped.
fn end_of_quoted(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    let ends = |character: char| {
        let ends = character == quote && !is_escaped;
        is_escaped = character == '\\' && quote != '`' && !is_escaped;
        ends
    };
    text.find(ends)
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | ':' | '-' | '/' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_what_differs_is_a_kind() {
        for (error, kind) in [
            ("no luck", "no luck"),
            ("order 17 is closed", "order # is closed"),
            (
                "user 0195f7e2-1c40-7a31-b1f3-4d1b2c3d4e5f: gone",
                "user #: gone",
            ),
            (
                "cannot reach 10.0.0.7:5432: timed out",
                "cannot reach #: timed out",
            ),
            ("mail to ada@example.com bounced", "mail to # bounced"),
            ("GET https://pay.example/x said 502.", "GET # said #."),
            (
                "field `age`: invalid type: string \"x y\"",
                "field `…`: invalid type: string \"…\"",
            ),
            ("can't open 'it'", "can't open '…'"),
            ("an \"open quote", "an \"…"),
            ("unknown field `open qu", "unknown field `…"),
            (
                r#"string "a \"b\" c\\", expected a map"#,
                r#"string "…", expected a map"#,
            ),
            (r"a `\` and `b`", "a `…` and `…`"),
            ("Größe 5 € – zu groß", "Größe # € – zu groß"),
            ("", ""),
        ] {
            assert_eq!(kind_of_error(error), kind);
        }
    }
}
