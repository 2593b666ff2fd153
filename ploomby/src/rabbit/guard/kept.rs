use std::{borrow::Cow, collections::BTreeMap};

use crate::message::raw_text;

/// What AMQP's short strings hold at most.
const MOST: usize = 255;

/// The strings of one message that are too long to be carried as text in their places. A header of the message
/// holds each, and its name stands in their places. The name is made of the string, so that different strings
/// have different ones in every message.
#[derive(Debug, Default)]
pub(super) struct Kept(BTreeMap<String, Vec<u8>>);

/// What is kept where a message has no headers but those that hold strings.
const NO_HEADERS: &str = "";

impl Kept {
    /// The text for the place of a short string.
    pub(super) fn carry<'a>(&mut self, string: &'a [u8]) -> Cow<'a, str> {
        let text = raw_text::escape(string);
        if text.len() <= MOST {
            return text;
        }
        let name = format!("{:032x}", hash(string));
        let reference = format!("{}{name}", raw_text::REFERENCE);
        self.0.insert(name, string.to_vec());
        Cow::Owned(reference)
    }

    /// Notes that the message has no headers but those that hold strings.
    pub(super) fn note_no_headers(&mut self) {
        self.note(NO_HEADERS, Vec::new());
    }

    /// Whether the message had no headers but those that held strings.
    pub(super) fn had_no_headers(&self) -> bool {
        self.0.contains_key(NO_HEADERS)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers that hold the strings.
    pub(super) fn holders(&self) -> impl Iterator<Item = (String, &[u8])> {
        let kept = self.0.iter();
        kept.map(|(name, string)| (format!("{}{name}", raw_text::HOLDER), string.as_slice()))
    }

    /// Takes what a header holds that was among the [others](Self::holders).
    pub(super) fn note(&mut self, name: &str, string: Vec<u8>) {
        self.0.insert(name.to_owned(), string);
    }

    /// The string that text stands for.
    pub(super) fn restore<'a>(&'a self, text: &'a str) -> Cow<'a, [u8]> {
        let name = text.strip_prefix(raw_text::REFERENCE);
        match name.and_then(|name| self.0.get(name)) {
            Some(string) => Cow::Borrowed(string),
            None => raw_text::unescape(text),
        }
    }
}

/// FNV-1a, which is the same in every program: what compares message ids keeps them for longer than it runs.
fn hash(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    bytes.iter().fold(BASIS, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}
