//! A letter as people edit it: its headers, an empty line, and its body.

use std::fmt::Write as _;

use base64::{DecodeError, Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use thiserror::Error;

use super::readable;
use crate::{
    message::{Value, header_names as headers},
    ops::{
        Edit, Letter, Ops, OpsError,
        transfer::{typed, untyped},
    },
};

/// A letter as it is written for an editor.
pub(crate) struct Form {
    pub(crate) headers: Vec<(String, Value)>,
    pub(crate) body: String,
    /// The body is none that people write, and stands there in base64.
    pub(crate) is_base64: bool,
}

/// What was written is no letter.
#[derive(Debug, Error)]
pub(crate) enum FormError {
    #[error(
        "line {0} is no header: write NAME: VALUE, with the value in JSON, and an empty line before the body"
    )]
    Header(usize),
    #[error("the body is no base64: {0}")]
    Base64(DecodeError),
    #[error(transparent)]
    Body(#[from] OpsError),
}

impl Form {
    pub(crate) fn of(ops: &Ops, queue: &str, letter: &Letter) -> Self {
        let all = letter.message().headers().iter();
        let own = |name: &str| {
            name.starts_with(headers::PREFIX) || headers::OF_THE_BROKER.contains(&name)
        };
        let mut headers: Vec<_> = all
            .filter(|(name, _)| !own(name))
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        let text = ops.body_as_text(queue, letter);
        let is_base64 = text.is_none();
        let body = match text {
            Some(text) => readable(text),
            None => STANDARD.encode(letter.message().body()),
        };
        Self {
            headers,
            body,
            is_base64,
        }
    }

    /// All of it, with a comment that says what it is.
    #[cfg(feature = "cli")]
    pub(crate) fn text(&self, letter: &Letter) -> String {
        use super::clean;

        let mut text = String::new();
        let failed = letter
            .error()
            .or(letter.reason())
            .unwrap_or("it does not say why");
        let key = letter.key().unwrap_or("no key");
        let body = match self.is_base64 {
            true => "the body in base64",
            false => "the body",
        };
        let _ = writeln!(
            text,
            "# Letter {} ({}). It failed: {}\n# Lines up here that begin with # do not count. Then come the headers, each as NAME: VALUE in\n\
             # JSON, an empty line, and {body}. It is sent once this build would take it.",
            clean(&letter.id()),
            clean(key),
            clean(failed),
        );
        let _ = writeln!(text, "{}\n{}", self.headers_text(), self.body);
        text
    }

    /// The headers, a line each.
    pub(crate) fn headers_text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.headers {
            let value = typed(value);
            let _ = match name.contains([':', '"', '\n', '#', ' ']) {
                true => writeln!(text, "{}: {value}", json!(name)),
                false => writeln!(text, "{name}: {value}"),
            };
        }
        text
    }

    /// What differs from the letter.
    pub(crate) fn edit(
        &self,
        ops: &Ops,
        queue: &str,
        letter: &Letter,
        text: &str,
    ) -> Result<Edit, FormError> {
        let (headers, body) = read(text)?;
        let mut edit = Edit::new();
        if headers != self.headers {
            edit = edit.headers(headers);
        }
        if body.trim_end() == self.body.trim_end() {
            return Ok(edit);
        }
        let body = match self.is_base64 {
            true => STANDARD
                .decode(body.split_whitespace().collect::<String>())
                .map_err(FormError::Base64)?,
            false => ops.body_from_text(queue, letter, body.trim_end_matches('\n'))?,
        };
        Ok(edit.body(body))
    }
}

type Headers = Vec<(String, Value)>;

/// The headers, by name, and the body.
fn read(text: &str) -> Result<(Headers, &str), FormError> {
    let mut headers = Vec::new();
    let mut rest = text;
    for number in 1.. {
        if rest.is_empty() {
            break;
        }
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let line = line.trim_end_matches('\r');
        rest = after;
        if line.trim().is_empty() {
            break;
        }
        if line.starts_with('#') && headers.is_empty() {
            continue;
        }
        let header = header_of(line).ok_or(FormError::Header(number))?;
        headers.push(header);
    }
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    Ok((headers, rest))
}

fn header_of(line: &str) -> Option<(String, Value)> {
    let (name, value) = match line.starts_with('"') {
        true => {
            let mut names = serde_json::Deserializer::from_str(line).into_iter::<String>();
            let name = names.next()?.ok()?;
            let rest = &line[names.byte_offset()..];
            (name, rest.trim_start().strip_prefix(':')?)
        }
        false => {
            let (name, value) = line.split_once(':')?;
            (name.trim().to_owned(), value)
        }
    };
    let value = untyped(&serde_json::from_str(value.trim()).ok()?)?;
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    #[test]
    fn what_is_written_for_an_editor_is_read_as_it_is() {
        let headers = vec![
            ("a: \"b\"\n".to_owned(), Value::Void),
            ("shard".to_owned(), Value::I64(5)),
            ("tenant".to_owned(), Value::Text("a\nb#".into())),
        ];
        let form = Form {
            headers: headers.clone(),
            body: "# not a comment\n\n{}".to_owned(),
            is_base64: false,
        };
        let letter = Letter::of_test(Message::new(""));
        let text = form.text(&letter);
        let (read_headers, body) = read(&text).ok().unwrap();
        assert_eq!(read_headers, headers);
        assert_eq!(body, "# not a comment\n\n{}\n");
        for wrong in ["no header\n\n{}", "a: b\n", "a: 1\n", "{\n}"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("").is_ok());
    }
}
