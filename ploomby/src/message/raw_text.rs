//! Bytes that are not text, carried as text.
//!
//! AMQP calls a string what may be any bytes, and the client that carries our messages takes UTF-8 alone. So
//! what is not UTF-8 is escaped on its way in: each byte that belongs to no character becomes one character of
//! a block that nobody uses, `U+10FE80` to `U+10FEFF`. On its way out each of these becomes its byte again.
//! Text that is UTF-8 stays as it is, unless it has such a character of its own: then the bytes of that one are
//! escaped. So no two strings become the same, and every string comes back byte for byte. Python's
//! `surrogateescape` does the same for the names of files.
//!
//! The rest of the block, `U+10FE00` to `U+10FE7F`, marks what is carried in the place of something else.

use std::{borrow::Cow, str};

/// The first character of the block.
const FIRST: u32 = 0x10_FE00;

/// Text that begins with this stands for a string that is too long once it is escaped. What follows names it.
pub(crate) const REFERENCE: char = '\u{10FE00}';

/// A header whose name begins with this holds such a string, and is none of the message's own.
pub(crate) const HOLDER: char = '\u{10FE02}';

/// Text that begins with this is a value of another type: the type and the content follow.
pub(crate) const OTHER: char = '\u{10FE01}';

/// The bytes of one character of the block.
const CHAR_LEN: usize = 4;

/// Where the next character of the block begins.
fn find(bytes: &[u8]) -> Option<usize> {
    const LEAD: u8 = 0xF4;

    // most strings have no such byte, and to look for one byte is fast
    if !bytes.contains(&LEAD) {
        return None;
    }
    bytes
        .windows(CHAR_LEN)
        .position(|window| matches!(window, [LEAD, 0x8F, 0xB8..=0xBB, 0x80..=0xBF]))
}

/// Whether there is something among the bytes that is carried in the place of something else.
pub(crate) fn has_marks(bytes: &[u8]) -> bool {
    find(bytes).is_some()
}

/// Whether a string is carried as it is.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    bytes.is_ascii() || (str::from_utf8(bytes).is_ok() && find(bytes).is_none())
}

/// Whether text stands for something else than itself.
pub(crate) fn is_escaped(text: &str) -> bool {
    find(text.as_bytes()).is_some()
}

/// The text that carries a string.
pub(crate) fn escape(bytes: &[u8]) -> Cow<'_, str> {
    if let (Ok(text), None) = (str::from_utf8(bytes), find(bytes)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(bytes.len() + CHAR_LEN * 8);
    for chunk in bytes.utf8_chunks() {
        let mut valid = chunk.valid();
        while let Some(at) = find(valid.as_bytes()) {
            let (before, rest) = valid.split_at(at);
            let (own, rest) = rest.split_at(CHAR_LEN);
            escaped.push_str(before);
            escaped.extend(own.bytes().map(escaped_byte));
            valid = rest;
        }
        escaped.push_str(valid);
        escaped.extend(chunk.invalid().iter().copied().map(escaped_byte));
    }
    Cow::Owned(escaped)
}

/// The string that text carries.
pub(crate) fn unescape(text: &str) -> Cow<'_, [u8]> {
    let mut rest = text.as_bytes();
    let Some(mut at) = find(rest) else {
        return Cow::Borrowed(rest);
    };
    let mut bytes = Vec::with_capacity(text.len());
    loop {
        let (before, found) = rest.split_at(at);
        bytes.extend_from_slice(before);
        let (found, behind) = found.split_at(CHAR_LEN);
        match found {
            // the last seven bits of the character
            [_, _, 0xBA, low] => bytes.push(low & 0x3F | 0x80),
            [_, _, 0xBB, low] => bytes.push(low & 0x3F | 0xC0),
            mark => bytes.extend_from_slice(mark),
        }
        rest = behind;
        match find(rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    bytes.extend_from_slice(rest);
    Cow::Owned(bytes)
}

/// The bytes that the text of a header stands for, where it does not stand for itself: a string that is not
/// UTF-8, or the content of a value of another type.
pub(crate) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    is_escaped(text).then(|| unescape(content(text)).into_owned())
}

/// How many bytes the string has, at most, that text carries.
pub(crate) fn len(text: &str) -> usize {
    if !is_escaped(text) {
        return text.len();
    }
    match text.starts_with(REFERENCE) {
        // what does not fit in its place is a short string of AMQP
        true => usize::from(u8::MAX),
        false => unescape(content(text)).len(),
    }
}

/// Whether a header of this name holds a string, and is none of the message's own.
pub(crate) fn is_holder(name: &str) -> bool {
    name.starts_with(HOLDER)
}

/// The name of the header that holds the string that text stands for.
pub(crate) fn holder_of(text: &str) -> Option<String> {
    let name = text.strip_prefix(REFERENCE)?;
    Some(format!("{HOLDER}{name}"))
}

/// The text that carries a value of another type: a table (`F`) or a list (`A`) that is nested too deeply, or an
/// unsigned number (`L`), which the client does not know.
pub(crate) fn other(kind: u8, content: &[u8]) -> String {
    format!("{OTHER}{}{}", char::from(kind), escape(content))
}

/// The type and the content of a value of another type, where text carries one.
pub(crate) fn other_in(text: &str) -> Option<(u8, Cow<'_, [u8]>)> {
    let kind = text.strip_prefix(OTHER)?.as_bytes().first()?;
    let content = || unescape(content(text));
    match kind {
        b'A' | b'F' => Some((*kind, content())),
        // it has no length of its own
        b'L' => Some((*kind, content())).filter(|(_, content)| content.len() == 8),
        _ => None,
    }
}

/// The number that text stands for, where it stands for one that fits.
pub(crate) fn number_in(text: &str) -> Option<i64> {
    match other_in(text)? {
        (b'L', content) => {
            let number = u64::from_be_bytes(content.as_ref().try_into().ok()?);
            i64::try_from(number).ok()
        }
        _ => None,
    }
}

/// Text without what marks it as a value of another type.
fn content(text: &str) -> &str {
    let other = text.strip_prefix(OTHER);
    // behind the mark stands the type, which is one letter
    other.and_then(|other| other.get(1..)).unwrap_or(text)
}

/// A byte that belongs to no character is 0x80 at least.
fn escaped_byte(byte: u8) -> char {
    char::from_u32(FIRST + u32::from(byte)).expect("the block is in the range of characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_as_it_is() {
        for text in [
            "",
            "plain",
            "Jürgen",
            "日本",
            "\u{10FFFF}",
            "\u{10FDFF}\u{10FF00}",
        ] {
            assert!(is_plain(text.as_bytes()) && !is_escaped(text), "{text}");
            assert!(matches!(escape(text.as_bytes()), Cow::Borrowed(same) if same == text));
            assert!(matches!(unescape(text), Cow::Borrowed(same) if same == text.as_bytes()));
            assert_eq!((bytes_of(text), len(text)), (None, text.len()));
        }
    }

    #[test]
    fn what_is_no_text_comes_back_byte_for_byte() {
        let escaped = escape(b"J\xFCrgen");
        assert_eq!(escaped, "J\u{10FEFC}rgen");
        assert_eq!(unescape(&escaped), &b"J\xFCrgen"[..]);
        assert_eq!(bytes_of(&escaped).as_deref(), Some(&b"J\xFCrgen"[..]));
        assert_eq!(len(&escaped), 6);
    }

    #[test]
    fn no_two_strings_are_carried_as_the_same_text() {
        // one that looks as if it were escaped is escaped itself
        let twice = escape(b"\xFC").into_owned();
        assert_ne!(escape(twice.as_bytes()), twice);
        let mut random = fastrand::Rng::with_seed(1);
        let parts: [&[u8]; 9] = [
            b"a",
            b"\xE9",
            b"\xF4",
            b"\x8F",
            b"\xBA",
            "é".as_bytes(),
            "\u{10FE00}".as_bytes(),
            "\u{10FE80}".as_bytes(),
            "\u{10FEFF}".as_bytes(),
        ];
        for _ in 0..20_000 {
            let count = random.usize(..6);
            let string: Vec<u8> = (0..count)
                .flat_map(|_| random.choice(parts).expect("there are some").to_vec())
                .collect();
            let text = escape(&string);
            assert_eq!(unescape(&text), string, "{text}");
            assert_eq!(len(&text), string.len());
            assert_eq!(is_plain(&string), text.as_bytes() == string);
        }
    }

    #[test]
    fn what_is_nested_too_deeply_reads_as_its_content() {
        let nested = other(b'A', b"\xC0\x01");
        assert_eq!(bytes_of(&nested).as_deref(), Some(&b"\xC0\x01"[..]));
        assert_eq!(len(&nested), 2);
    }

    #[test]
    fn an_unsigned_number_reads_as_a_number_where_it_fits() {
        let number = |number: u64| other(b'L', &number.to_be_bytes());
        assert_eq!(number_in(&number(200)), Some(200));
        assert_eq!(number_in(&number(u64::MAX)), None);
        let bytes = bytes_of(&number(u64::MAX));
        assert_eq!(bytes.as_deref(), Some(&[0xFF; 8][..]));
    }
}
