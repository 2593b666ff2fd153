//! JSON for people to read: with its members in their order, and its numbers as they are written.

/// What is nested deeper is shown as it is: each level makes the text longer by the whole of its indent.
const DEEPEST: usize = 128;

/// What is deeper stands below each other.
const DEEPEST_INDENT: usize = 32;

/// A longer text is left as it is: the space of nested JSON is many times what it holds.
const LONGEST: usize = 1024 * 1024;

/// A text as people read it: JSON stands on several lines.
pub(crate) fn readable(text: String) -> String {
    match text.len() <= LONGEST && is_json(text.as_bytes()) {
        true => pretty(&text),
        false => text,
    }
}

/// The same on several lines. The text is JSON.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut characters) = (0_usize, json.trim().chars().peekable());
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(DEEPEST_INDENT)));
    };
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                out.push('"');
                while let Some(inner) = characters.next() {
                    out.push(inner);
                    match inner {
                        '\\' => out.extend(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(character);
                while characters.next_if(|next| next.is_whitespace()).is_some() {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

/// Whether a text is JSON that people can read on several lines.
pub(crate) fn is_json(text: &[u8]) -> bool {
    // what is ignored is read without a limit
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok() && depth(text) <= DEEPEST
}

/// How deep a JSON is nested.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut is_text) = (0_usize, 0, false);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if is_text => drop(bytes.next()),
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changes_but_the_space_between() {
        let json = r#" {"b":[1.0,12345678901234567890123, {} ,[ ]],"a":"x: \"{,\\","c":null}"#;
        let expected = "{\n  \"b\": [\n    1.0,\n    12345678901234567890123,\n    {},\n    []\n  ],\n  \
                        \"a\": \"x: \\\"{,\\\\\",\n  \"c\": null\n}";
        assert_eq!(pretty(json), expected);
        assert_eq!(pretty(expected), expected);
        assert_eq!(pretty("\"a b\""), "\"a b\"");
    }

    #[test]
    fn what_is_long_is_left_as_it_is() {
        let nested = |numbers| {
            format!(
                "{}{}1{}",
                "[".repeat(100),
                "1,".repeat(numbers),
                "]".repeat(100)
            )
        };
        assert!(readable(nested(10)).contains('\n'));
        let long = nested(LONGEST);
        assert_eq!(readable(long.clone()), long);
    }

    #[test]
    fn what_is_nested_too_deep_is_left_as_it_is() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_json(nested(DEEPEST).as_bytes()));
        assert!(!is_json(nested(DEEPEST + 1).as_bytes()));
        let text = format!("\"\\\"{}\"", nested(1_000));
        assert!(is_json(text.as_bytes()), "{text}");
    }
}
