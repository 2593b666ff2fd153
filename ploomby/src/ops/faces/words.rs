//! What a letter says, in words.

use super::clean;
use crate::{
    message::Value,
    ops::{Fit, HandlerInfo, Letter, Ops},
};

/// Where it panicked, or else where its handler stands in this build.
pub(crate) fn place(ops: &Ops, letter: &Letter) -> Option<String> {
    let location = letter.location().map(str::to_owned);
    location.or_else(|| {
        let mut handlers = ops.program().handlers.iter();
        let name = letter.handler();
        let handler = handlers.find(|handler| Some(handler.function.as_str()) == name)?;
        Some(format!("{}:{}", handler.file, handler.line))
    })
}

/// The value of a header.
pub(crate) fn value(of: &Value) -> String {
    match of {
        Value::Text(text) => clean(text),
        Value::Bool(value) => value.to_string(),
        Value::Timestamp(seconds) => format!("{seconds} s since 1970"),
        Value::Bytes(bytes) => format!("{} bytes: {}", bytes.len(), bytes.escape_ascii()),
        Value::Array(values) => format!(
            "[{}]",
            values
                .iter()
                .map(self::value)
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Value::Table(members) => {
            let members = members
                .iter()
                .map(|(name, value)| format!("{name}: {}", self::value(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.number_text().unwrap_or_else(|| "nothing".to_owned()),
    }
}

/// Whether this build would take it.
pub(crate) fn fit(of: &Fit) -> String {
    match of {
        Fit::Fits => "would take it".to_owned(),
        Fit::NotKnown => "has a handler that looks at the body by itself".to_owned(),
        Fit::Unfit { reason, error } => format!("would not take it: {reason}: {error}"),
    }
}

/// The keys of a handler.
pub(crate) fn keys(handler: &HandlerInfo) -> String {
    let default = handler.is_default.then(|| "(any other)".to_owned());
    let keys = handler.keys.iter().chain(&handler.patterns);
    let keys: Vec<_> = keys.cloned().chain(default).collect();
    keys.join(", ")
}

/// What it takes.
pub(crate) fn payload(handler: &HandlerInfo) -> String {
    match &handler.payload {
        None => "none".to_owned(),
        Some(payload) if handler.is_batch => format!("Batch<{}>", short(payload)),
        Some(payload) => short(payload),
    }
}

/// What it answers.
#[cfg(feature = "cli")]
pub(crate) fn reply(handler: &HandlerInfo) -> String {
    let reply = handler.reply.as_deref();
    reply.map_or_else(|| "none".to_owned(), short)
}

/// A type by its last names: paths are long.
fn short(ty: &str) -> String {
    let is_of_path =
        |character: char| character.is_alphanumeric() || matches!(character, '_' | ':');
    let mut short = String::new();
    let mut rest = ty;
    while let Some(first) = rest.chars().next() {
        let end = rest
            .find(|character| !is_of_path(character))
            .unwrap_or(rest.len());
        let (path, after) = rest.split_at(end.max(first.len_utf8()));
        short.push_str(path.rsplit_once("::").map_or(path, |(_, name)| name));
        rest = after;
    }
    short
}

/// How long ago something was.
pub(crate) fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7_199 => format!("{} min ago", seconds / 60),
        7_200..=172_799 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// So many letters.
pub(crate) fn letters(count: usize) -> String {
    match count {
        1 => "1 letter".to_owned(),
        count => format!("{count} letters"),
    }
}
