//! Text that somebody sent, for people to read.

use std::fmt::Write as _;

/// Control characters, and those that turn the direction of text.
fn is_acted_on(character: char) -> bool {
    let is_turning = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || is_turning
}

/// What a terminal would act on is written out.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for character in text.chars() {
        match is_acted_on(character) {
            // text is always taken
            true => _ = write!(cleaned, "{}", character.escape_default()),
            false => cleaned.push(character),
        }
    }
    cleaned
}

/// JSON with the same meaning, in which nothing is left for a terminal to act on.
#[cfg(feature = "cli")]
pub(crate) fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match is_acted_on(character) {
            // control characters stand in texts alone, where they are written so; none has more than 16 bits
            true => _ = write!(escaped, "\\u{:04x}", u32::from(character)),
            false => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_written_out() {
        assert_eq!(
            clean("a\x1b[2Jb\r\n\u{9b}\u{202e}é"),
            r"a\u{1b}[2Jb\r\n\u{9b}\u{202e}é"
        );
        assert_eq!(
            escaped("{\"a\u{9b}\":\"\u{202e}é\\n\"}"),
            r#"{"a\u009b":"\u202eé\n"}"#
        );
    }
}
