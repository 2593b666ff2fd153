//! Letters in files: one line of JSON each, version 1 of the form.
//!
//! ```text
//! {"v":1,"dead_letter_queue":"billing_dlq","properties":{"type":"charge","message_id":"…"},"headers":{"tenant":"acme"},"body":"MTAw"}
//! ```
//!
//! The body is in base64. A header that is text or a boolean is that in JSON; any other is an object whose one key is the
//! letter that AMQP has for its type, as [`Value`] lists them: `{"l":5}`, `{"T":1796000009}`, `{"x":"base64"}`,
//! `{"A":[…]}`, `{"F":{…}}`, `{"V":null}`, `{"D":[scale,digits]}`.

use std::io::{BufRead, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value as Json, json};

use super::{Done, Filter, Letter, Ops, OpsError};
use crate::message::{Message, Properties, PropertyError, Value};

impl Ops {
    /// Writes letters of a queue, which stay where they are: a line of JSON each.
    ///
    /// ```text
    /// {"v":1,"dead_letter_queue":"billing_dlq","properties":{"type":"charge"},"headers":{"tenant":"acme","shard":{"l":5}},"body":"MTAw"}
    /// ```
    ///
    /// The body is in base64. A header that is text or a boolean is that in JSON; any other is an object whose one key is
    /// the letter that AMQP has for its type, as [`Value`] lists them.
    ///
    /// # Errors
    ///
    /// A broker that is lost, or a sink that takes no more.
    pub async fn export(
        &self,
        queue: &str,
        filter: &Filter,
        scan: usize,
        sink: &mut (dyn Write + Send),
    ) -> Result<Done, OpsError> {
        let mut look = self.look(queue).await?.scan(scan);
        let mut done = Done {
            total: look.total(),
            ..Done::default()
        };
        while let Some(letter) = look.next().await? {
            if filter.matches(&letter) {
                write(&letter, sink)?;
                done.note(letter.id());
            }
        }
        sink.flush()?;
        done.not_looked_at = look.not_looked_at();
        look.end().await?;
        Ok(done)
    }

    /// Puts letters that were exported into the dead-letter queue of a queue, each confirmed. Letters that are there
    /// already are there twice then, under one name.
    ///
    /// # Errors
    ///
    /// A line that is no letter, and a letter that the broker does not take: those before it are there.
    pub async fn import(
        &self,
        queue: &str,
        source: &mut (dyn BufRead + Send),
    ) -> Result<Done, OpsError> {
        let target = self.dead_letters(queue)?.to_owned();
        let mut done = Done::default();
        let (mut line, mut text, mut result) = (0, String::new(), Ok(()));
        while source.read_line(&mut text)? > 0 {
            line += 1;
            if !text.trim().is_empty() {
                result = self.import_one(&target, &text, line, &mut done).await;
            }
            if result.is_err() {
                break;
            }
            text.clear();
        }
        if done.done > 0 {
            self.tell("import", queue, &done);
        }
        result.map(|()| done)
    }

    async fn import_one(
        &self,
        target: &str,
        text: &str,
        line: usize,
        done: &mut Done,
    ) -> Result<(), OpsError> {
        let message = read(text).map_err(|error| OpsError::Line { line, error })?;
        let id = Letter::new(message.clone(), &target.into(), 0).id();
        let sending = async {
            let publisher = self.publisher().await?;
            publisher.to(target).verbatim(message).send().await
        };
        match sending.await {
            Ok(()) => {
                done.note(id);
                Ok(())
            }
            Err(error) => Err(OpsError::Publish { id, error }),
        }
    }
}

/// A letter as one line.
pub(super) fn write(letter: &Letter, sink: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let mut line = whole(letter.message());
    line.insert("v".to_owned(), 1.into());
    line.insert(
        "dead_letter_queue".to_owned(),
        letter.dead_letter_queue().into(),
    );
    writeln!(sink, "{}", Json::Object(line))?;
    Ok(())
}

/// A message that nobody reads again as one: with its body as JSON, too, where it is that.
pub(super) fn parts(message: &Message) -> Json {
    let mut parts = whole(message);
    if let Ok(json) = serde_json::from_slice(message.body()) {
        parts.insert("json".to_owned(), json);
    }
    parts.into()
}

/// A message with all that it has.
fn whole(message: &Message) -> Map<String, Json> {
    let properties = message.properties();
    let mut named = Map::new();
    let texts = [
        ("content_type", properties.content_type()),
        ("content_encoding", properties.content_encoding()),
        ("correlation_id", properties.correlation_id()),
        ("reply_to", properties.reply_to()),
        ("message_id", properties.message_id()),
        ("type", properties.message_type()),
        ("user_id", properties.user_id()),
        ("app_id", properties.app_id()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            named.insert(name.to_owned(), text.into());
        }
    }
    if let Some(priority) = properties.priority() {
        named.insert("priority".to_owned(), priority.into());
    }
    if let Some(timestamp) = properties.timestamp() {
        named.insert("timestamp".to_owned(), timestamp.into());
    }
    let headers = properties.headers().iter();
    let headers: Map<_, _> = headers
        .map(|(name, value)| (name.to_owned(), typed(&value)))
        .collect();
    [
        ("properties", named.into()),
        ("headers", headers.into()),
        ("body", STANDARD.encode(message.body()).into()),
    ]
    .into_iter()
    .map(|(name, value): (_, Json)| (name.to_owned(), value))
    .collect()
}

/// A value with its type.
pub(crate) fn typed(value: &Value) -> Json {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Bool(value) => (*value).into(),
        Value::Void => json!({"V": null}),
        Value::I8(v) => json!({"b": v}),
        Value::U8(v) => json!({"B": v}),
        Value::I16(v) => json!({"s": v}),
        Value::U16(v) => json!({"u": v}),
        Value::I32(v) => json!({"I": v}),
        Value::U32(v) => json!({"i": v}),
        Value::I64(v) => json!({"l": v}),
        // as text where JSON has no number for it
        Value::F32(v) => json!({"f": v.to_string()}),
        Value::F64(v) => json!({"d": v.to_string()}),
        Value::Decimal { scale, unscaled } => json!({"D": [scale, unscaled]}),
        Value::Bytes(bytes) => json!({"x": STANDARD.encode(bytes)}),
        Value::Timestamp(v) => json!({"T": v}),
        Value::Array(values) => json!({"A": values.iter().map(typed).collect::<Vec<_>>()}),
        Value::Table(members) => {
            let members = members
                .iter()
                .map(|(name, value)| (name.clone(), typed(value)));
            json!({"F": members.collect::<Map<_, _>>()})
        }
    }
}

fn read(text: &str) -> Result<Message, String> {
    let line: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match line["v"].as_u64() {
        Some(1) => {}
        Some(other) => {
            return Err(format!(
                "it has the form {other}, and this program reads form 1"
            ));
        }
        None => return Err("it says no version `v`".to_owned()),
    }
    let text = |name: &str| line["properties"][name].as_str();
    type Setter = fn(Properties, &str) -> Result<Properties, PropertyError>;
    let setters: [(&str, Setter); 8] = [
        ("content_type", Properties::with_content_type),
        ("content_encoding", Properties::with_content_encoding),
        ("correlation_id", Properties::with_correlation_id),
        ("reply_to", Properties::with_reply_to),
        ("message_id", Properties::with_message_id),
        ("type", Properties::with_message_type),
        ("user_id", Properties::with_user_id),
        ("app_id", Properties::with_app_id),
    ];
    let mut properties = Properties::new().persistent();
    for (name, set) in setters {
        if let Some(text) = text(name) {
            properties = set(properties, text).map_err(|error| format!("`{name}`: {error}"))?;
        }
    }
    if let Some(priority) = line["properties"]["priority"].as_u64() {
        let priority = u8::try_from(priority).map_err(|_| "a priority is at most 255")?;
        properties = properties.with_priority(priority);
    }
    if let Some(timestamp) = line["properties"]["timestamp"].as_u64() {
        properties = properties.with_timestamp(timestamp);
    }
    for (name, value) in line["headers"].as_object().into_iter().flatten() {
        let value = untyped(value)
            .ok_or_else(|| format!("the header `{name}` has no type that AMQP knows"))?;
        let set = properties.with_header(name, value);
        properties = set.map_err(|error| format!("the header `{name}`: {error}"))?;
    }
    let body = line["body"].as_str().ok_or("it has no `body`")?;
    let body = STANDARD
        .decode(body)
        .map_err(|error| format!("`body`: {error}"))?;
    Ok(Message::new(body).with_properties(properties))
}

/// Reads what [`typed`] writes.
pub(crate) fn untyped(value: &Json) -> Option<Value> {
    let object = match value {
        Json::String(text) => return Some(text.as_str().into()),
        Json::Bool(value) => return Some((*value).into()),
        Json::Object(object) if object.len() == 1 => object,
        _ => return None,
    };
    let (kind, value) = object.iter().next()?;
    Some(match kind.as_str() {
        "V" => Value::Void,
        "b" => Value::I8(value.as_i64()?.try_into().ok()?),
        "B" => Value::U8(value.as_u64()?.try_into().ok()?),
        "s" => Value::I16(value.as_i64()?.try_into().ok()?),
        "u" => Value::U16(value.as_u64()?.try_into().ok()?),
        "I" => Value::I32(value.as_i64()?.try_into().ok()?),
        "i" => Value::U32(value.as_u64()?.try_into().ok()?),
        "l" => Value::I64(value.as_i64()?),
        "f" => Value::F32(value.as_str()?.parse().ok()?),
        "d" => Value::F64(value.as_str()?.parse().ok()?),
        "D" => Value::Decimal {
            scale: value.get(0)?.as_u64()?.try_into().ok()?,
            unscaled: value.get(1)?.as_i64()?.try_into().ok()?,
        },
        "x" => Value::Bytes(STANDARD.decode(value.as_str()?).ok()?),
        "T" => Value::Timestamp(value.as_u64()?),
        "A" => Value::Array(
            value
                .as_array()?
                .iter()
                .map(untyped)
                .collect::<Option<_>>()?,
        ),
        "F" => {
            let members = value.as_object()?.iter();
            let members = members.map(|(name, value)| Some((name.clone(), untyped(value)?)));
            Value::Table(members.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_read_as_it_was_written() {
        let values = [
            Value::Void,
            Value::Bool(true),
            Value::I8(-1),
            Value::U8(1),
            Value::I16(-2),
            Value::U16(2),
            Value::I32(-3),
            Value::U32(3),
            Value::I64(i64::MIN),
            Value::F32(1.5),
            Value::F64(f64::NEG_INFINITY),
            Value::Decimal {
                scale: 2,
                unscaled: -314,
            },
            Value::Text("tëxt\n".into()),
            Value::Bytes(vec![0xff, 0x00]),
            Value::Timestamp(5),
            Value::Array(vec![Value::Void, Value::Text(String::new())]),
            Value::Table(vec![("inner".into(), Value::Table(Vec::new()))]),
        ];
        let mut properties = Properties::new()
            .persistent()
            .with_priority(3)
            .with_timestamp(7);
        properties = properties.with_content_type("a/b").unwrap();
        properties = properties
            .with_message_id("m")
            .unwrap()
            .with_message_type("t")
            .unwrap();
        for (at, value) in values.into_iter().enumerate() {
            properties = properties.with_header(&format!("h{at}"), value).unwrap();
        }
        let message = Message::new(vec![0, 159, 146, 150]).with_properties(properties);
        let mut line = Vec::new();
        let letter = Letter::new(message.clone(), &"q_dlq".into(), 1);
        write(&letter, &mut line).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(read(&line).unwrap() == message, "{line}");
    }

    #[test]
    fn what_is_no_letter_is_told() {
        for (line, told) in [
            ("", "EOF"),
            ("{}", "no version"),
            (r#"{"v":2}"#, "form 2"),
            (r#"{"v":1}"#, "no `body`"),
            (r#"{"v":1,"body":"?"}"#, "`body`"),
            (r#"{"v":1,"body":"","headers":{"a":1}}"#, "the header `a`"),
            (
                r#"{"v":1,"body":"","properties":{"priority":256}}"#,
                "at most 255",
            ),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(told), "{line}: {error}");
        }
    }
}
