//! What a binding takes.

use crate::message::{Headers, Value};

/// Whether a routing key fits the pattern of a topic exchange, in which `*` stands for one word and `#` for any number
/// of them.
///
/// Source: `rabbit_exchange_type_topic` of RabbitMQ.
pub(super) fn topic_matches(pattern: &str, key: &str) -> bool {
    matches(&words(pattern), &words(key))
}

fn words(text: &str) -> Vec<&str> {
    match text {
        "" => Vec::new(),
        text => text.split('.').collect(),
    }
}

/// The words are walked through once for each `#` at most, so that no pattern takes long.
fn matches(pattern: &[&str], key: &[&str]) -> bool {
    let (mut at, mut word) = (0, 0);
    // where the last `#` stands, and the first word that it does not stand for yet
    let mut many = None;
    while word < key.len() {
        match pattern.get(at) {
            Some(&"#") => {
                many = Some((at, word));
                at += 1;
            }
            Some(&wanted) if wanted == "*" || wanted == key[word] => {
                at += 1;
                word += 1;
            }
            _ => {
                let Some((hash, first)) = many else {
                    return false;
                };
                many = Some((hash, first + 1));
                at = hash + 1;
                word = first + 1;
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == "#")
}

/// Whether a message has the headers that a binding of a headers exchange names: all of them, or any.
///
/// Source: `rabbit_exchange_type_headers` of RabbitMQ.
pub(super) fn headers_match(arguments: &[(String, Value)], headers: Headers<'_>) -> bool {
    let how = arguments.iter().find(|(name, _)| name == "x-match");
    let how = how.and_then(|(_, how)| how.as_text()).unwrap_or("all");
    let (is_any, with_x) = match how {
        "any" => (true, false),
        "any-with-x" => (true, true),
        "all-with-x" => (false, true),
        _ => (false, false),
    };
    let mut wanted = arguments
        .iter()
        .filter(|(name, _)| name != "x-match" && (with_x || !name.starts_with("x-")));
    let has = |(name, wanted): &(String, Value)| {
        let found = headers.get(name);
        found.is_some_and(|found| *wanted == Value::Void || is_equal(wanted, &found))
    };
    match is_any {
        true => wanted.any(has),
        false => wanted.all(has),
    }
}

/// Whether two values are the same to a headers exchange: numbers of different widths are.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one.as_i64(), other.as_i64()) {
        (Some(one), Some(other)) => return one == other,
        (None, None) => {}
        _ => return false,
    }
    match (one, other) {
        (Value::F32(one), Value::F64(other)) | (Value::F64(other), Value::F32(one)) => {
            f64::from(*one) == *other
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    #[test]
    fn a_topic_is_matched_word_by_word() {
        let fits = [
            ("a.b", "a.b"),
            ("*.b", "a.b"),
            ("#", ""),
            ("#", "a.b.c"),
            ("a.#", "a"),
            ("a.#.d", "a.b.c.d"),
            ("#.b.#", "b"),
            ("#.b.#.c", "a.b.b.x.c"),
            ("#.*", "a"),
            ("*.*", "."),
            ("", ""),
            ("a..b", "a..b"),
            ("a.*.b", "a..b"),
            ("#.a.#.a.#.a", "a.a.a"),
        ];
        for (pattern, key) in fits {
            assert!(topic_matches(pattern, key), "{pattern} {key}");
        }
        let others = [
            ("a.b", "a.b.c"),
            ("a.*", "a"),
            ("*", ""),
            ("*", "a.b"),
            ("#.*", ""),
            ("#.b", "a.b.c"),
            ("a", "A"),
            ("a*", "ab"),
            ("#.a.#.a.#.a", "a.a"),
        ];
        for (pattern, key) in others {
            assert!(!topic_matches(pattern, key), "{pattern} {key}");
        }
        // in a time that does not grow without end
        let (pattern, key) = ("#.a.".repeat(40) + "b", "a.".repeat(100) + "c");
        assert!(!topic_matches(&pattern, &key));
    }

    #[test]
    fn headers_are_compared_by_value_and_not_by_width() {
        let message = Message::new("")
            .with_header("tenant", "acme")
            .and_then(|message| message.with_header("size", 7_i64))
            .and_then(|message| message.with_header("x-source", "web"))
            .unwrap();
        let takes = |how: &str, wanted: &[(&str, Value)]| {
            let mut arguments = vec![("x-match".to_owned(), how.into())];
            let wanted = wanted.iter();
            arguments.extend(wanted.map(|(name, value)| ((*name).to_owned(), value.clone())));
            headers_match(&arguments, message.headers())
        };
        let (acme, size) = (("tenant", "acme".into()), ("size", 7_i16.into()));
        let other = ("tenant", "other".into());
        let from_app = ("x-source", "app".into());
        assert!(takes("all", &[acme.clone(), size.clone()]));
        assert!(!takes("all", &[other.clone(), size.clone()]));
        assert!(takes("any", &[other.clone(), size.clone()]));
        assert!(!takes("any", std::slice::from_ref(&other)));
        assert!(!takes("any", &[]));
        assert!(takes("all", &[]));
        assert!(takes("all", &[("tenant", Value::Void)]));
        assert!(!takes("all", &[("missing", Value::Void)]));
        assert!(!takes("all", &[("size", "7".into())]));
        assert!(takes("all", &[acme.clone(), from_app.clone()]));
        assert!(!takes("all-with-x", &[acme, from_app.clone()]));
        assert!(!takes("any-with-x", &[from_app]));
        assert!(takes("any-with-x", &[("x-source", "web".into())]));
    }
}
