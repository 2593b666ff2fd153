use serde_json::{Map, Value as Json, json};

use super::{Contract, Undescribed, reference, schemas::Schemas};
use crate::{
    app::Queue,
    delivery::{KeySource, Replies},
    handler::KeyPattern,
    ops::{HandlerInfo, Program},
};

/// Of the AMQP 0-9-1 bindings.
const BINDING: &str = "0.3.0";

/// The message of a key that no other handler has.
pub(in crate::ops) const ANY_KEY: &str = "(any other key)";

pub(super) fn of(program: &Program) -> Contract {
    let mut writer = Writer {
        schemas: Schemas::new(),
        channels: Map::new(),
        operations: Map::new(),
        undescribed: Vec::new(),
    };
    for queue in &program.set_up {
        writer.queue(program, queue);
    }
    writer.document(program.name.as_deref())
}

/// Which messages a handler takes.
#[derive(Clone, Copy)]
enum Taken<'h> {
    Key(&'h str),
    Pattern(&'h str),
    /// Of any other key.
    Any,
}

impl<'h> Taken<'h> {
    /// What the message and the operation are called.
    fn name(self) -> &'h str {
        match self {
            Self::Key(key) => key,
            Self::Pattern(pattern) => pattern,
            Self::Any => ANY_KEY,
        }
    }

    /// What the text is that names the handler.
    fn schema(self) -> Option<Json> {
        match self {
            Self::Key(key) => Some(json!({ "type": "string", "const": key })),
            Self::Pattern(pattern) => {
                let regex = KeyPattern::parse(pattern).ok()?.regex();
                Some(json!({ "type": "string", "pattern": regex }))
            }
            Self::Any => None,
        }
    }
}

struct Writer {
    schemas: Schemas,
    channels: Map<String, Json>,
    operations: Map<String, Json>,
    undescribed: Vec<Undescribed>,
}

impl Writer {
    fn document(self, name: Option<&str>) -> Contract {
        let Self {
            schemas,
            mut channels,
            operations,
            mut undescribed,
        } = self;
        // `App::named` takes both
        let (title, version) = name
            .and_then(|name| name.rsplit_once('/'))
            .unwrap_or(("service", "0.0.0"));
        let replies = channels
            .iter_mut()
            .filter(|(_, channel)| channel["address"].is_null());
        let sent = replies.flat_map(|(_, channel)| {
            let messages = channel["messages"].as_object_mut();
            messages.into_iter().flat_map(Map::values_mut)
        });
        let mut components = schemas.components(sent);
        let replies_errors = operations.values().any(|operation| {
            let messages = operation["reply"]["messages"].as_array();
            messages.is_some_and(|messages| messages.len() > 1)
        });
        if replies_errors {
            components.insert(ERROR_REPLY.to_owned(), error_schema());
        }
        undescribed.sort_by(|a, b| (&a.handler, &a.type_name).cmp(&(&b.handler, &b.type_name)));
        undescribed.dedup();
        let document = json!({
            "asyncapi": "3.0.0",
            "info": { "title": title, "version": version },
            "defaultContentType": "application/json",
            "channels": channels,
            "operations": operations,
            "components": { "schemas": components },
        });
        Contract {
            document,
            undescribed,
        }
    }

    fn queue(&mut self, program: &Program, queue: &Queue) {
        let name = &queue.name;
        let (mut messages, mut replies) = (Map::new(), Map::new());
        for handler in handlers_of(program, name) {
            let keys = handler.keys.iter().map(|key| Taken::Key(key));
            let patterns = handler.patterns.iter();
            let patterns = patterns.map(|pattern| Taken::Pattern(pattern));
            let default = handler.is_default.then_some(Taken::Any);
            let mut taken: Vec<_> = keys.chain(patterns).chain(default).collect();
            // one for all queues gives way to one for this queue
            taken.retain(|key| is_for(program, name, handler, *key));
            for key in taken {
                self.handled(queue, handler, key, &mut messages, &mut replies);
            }
        }
        let binding = json!({ "amqp": {
            "is": "queue",
            "queue": { "name": name, "durable": true, "exclusive": false, "autoDelete": false },
            "bindingVersion": BINDING,
        }});
        let channel = json!({ "address": name, "messages": messages, "bindings": binding });
        self.channels.insert(name.clone(), channel);
        if !replies.is_empty() {
            let channel = json!({ "address": null, "messages": replies });
            self.channels.insert(reply_channel(name), channel);
        }
    }

    /// A key of a handler: its message, its operation, and what it replies with.
    fn handled(
        &mut self,
        queue: &Queue,
        handler: &HandlerInfo,
        key: Taken<'_>,
        messages: &mut Map<String, Json>,
        replies: &mut Map<String, Json>,
    ) {
        let id = key.name();
        let mut message = message(queue, handler, key);
        if let Some(doc) = &handler.doc {
            message["summary"] = first_paragraph(doc).into();
        }
        match handler.schema {
            Some(schema) => message["payload"] = self.schemas.received(schema),
            None => self.is_undescribed(handler, handler.payload.as_deref()),
        }
        messages.insert(id.to_owned(), message);

        let channel = &queue.name;
        let mut operation = json!({
            "action": "receive",
            "channel": reference(&["channels", channel]),
            "messages": [reference(&["channels", channel, "messages", id])],
            "x-ploomby": extension(queue, handler),
        });
        if let Some(doc) = &handler.doc {
            operation["summary"] = first_paragraph(doc).into();
            operation["description"] = doc.as_str().into();
        }
        let names = self.reply(queue, handler, id, replies);
        if !names.is_empty() {
            let channel = reply_channel(channel);
            let message = |name: &String| reference(&["channels", &channel, "messages", name]);
            operation["reply"] = json!({
                "address": {
                    "location": "$message.header#/reply_to",
                    "description": "The property `reply_to` of the request. The reply has its `correlation_id`.",
                },
                "channel": reference(&["channels", &channel]),
                "messages": names.iter().map(message).collect::<Vec<_>>(),
            });
        }
        let name = format!("{}/{id}", queue.name);
        self.operations.insert(name, operation);
    }

    /// The names of the messages that it may reply with.
    fn reply(
        &mut self,
        queue: &Queue,
        handler: &HandlerInfo,
        id: &str,
        replies: &mut Map<String, Json>,
    ) -> Vec<String> {
        let kinds = queue.options.policy.reply.replies;
        let Some(reply) = handler.reply.as_deref().filter(|_| kinds != Replies::None) else {
            return Vec::new();
        };
        let mut value = json!({ "name": id, "summary": "The value that the handler returned" });
        match handler.reply_schema {
            Some(schema) => value["payload"] = self.schemas.sent(schema),
            None => self.is_undescribed(handler, Some(reply)),
        }
        replies.insert(id.to_owned(), value);
        let mut names = vec![id.to_owned()];
        if kinds == Replies::All {
            replies.insert(ERROR.to_owned(), error());
            names.push(ERROR.to_owned());
        }
        names
    }

    fn is_undescribed(&mut self, handler: &HandlerInfo, type_name: Option<&str>) {
        self.undescribed
            .extend(type_name.map(|type_name| Undescribed {
                handler: handler.function.clone(),
                type_name: type_name.to_owned(),
            }));
    }
}

/// Those that take messages of a queue.
fn handlers_of<'p>(program: &'p Program, queue: &str) -> impl Iterator<Item = &'p HandlerInfo> {
    program.handlers.iter().filter(move |handler| {
        let own = handler.queue.as_deref();
        own.is_none_or(|own| own == queue)
    })
}

/// Whether messages of the queue with this key, or with any other, go to this handler and not to one that is for the queue
/// alone.
fn is_for(program: &Program, queue: &str, handler: &HandlerInfo, key: Taken<'_>) -> bool {
    let takes = |other: &HandlerInfo| match key {
        Taken::Key(key) => other.keys.iter().any(|known| known == key),
        Taken::Pattern(pattern) => other.patterns.iter().any(|known| known == pattern),
        Taken::Any => other.is_default,
    };
    handler.queue.is_some()
        || !handlers_of(program, queue).any(|other| other.queue.is_some() && takes(other))
}

fn reply_channel(queue: &str) -> String {
    format!("{queue} replies")
}

/// Where it has its key.
fn message(queue: &Queue, handler: &HandlerInfo, key: Taken<'_>) -> Json {
    let codec = queue.options.policy.decoding.codec;
    let mut message = json!({
        "name": key.name(),
        "contentType": handler.content_type.unwrap_or(codec.content_type()),
        "x-ploomby": { "key": queue.key.to_string() },
    });
    let mut binding = json!({ "bindingVersion": BINDING });
    if let Taken::Pattern(pattern) = key {
        message["x-ploomby"]["pattern"] = pattern.into();
    }
    match (queue.key.written(), key.schema()) {
        (Some(KeySource::Header(name)), Some(schema)) => {
            let mut headers = json!({
                "type": "object",
                "properties": { name: schema },
            });
            // else it may be in another place
            if matches!(queue.key, KeySource::Header(_)) {
                headers["required"] = json!([name]);
            }
            message["headers"] = headers;
        }
        (Some(KeySource::MessageType), _) => {
            if let Taken::Key(key) = key {
                binding["messageType"] = key.into();
            }
        }
        _ => {}
    }
    message["bindings"] = json!({ "amqp": binding });
    message
}

/// What becomes of a message that fails.
fn extension(queue: &Queue, handler: &HandlerInfo) -> Json {
    let policy = &queue.options.policy;
    let attempts = handler.attempts.unwrap_or(policy.retry.attempts());
    let mut about = json!({ "attempts": attempts });
    let timeout = policy.timeout.map(|timeout| timeout.as_millis());
    if let Some(timeout) = handler.timeout_ms.or(timeout) {
        about["timeout_ms"] = u64::try_from(timeout).unwrap_or(u64::MAX).into();
    }
    if let Some(order) = handler.ordered_by.as_ref().or(policy.ordered_by.as_ref()) {
        about["ordered_by"] = order.to_string().into();
    }
    if handler.is_batch {
        about["batch"] = true.into();
    }
    if let Ok(companions) = queue.options.companions(&queue.name) {
        about["dead_letters"] = companions.dead_letters.map(|letters| letters.name).into();
    }
    if let (None, Some(payload)) = (handler.schema, &handler.payload) {
        about["payload"] = payload.as_str().into();
    }
    about
}

const ERROR: &str = "(error)";

/// The name of its schema, which no type has.
const ERROR_REPLY: &str = "ploomby.ErrorReply";

/// The reply of a handler that returned no value, as [`ErrorReply`](crate::ErrorReply) is written.
fn error() -> Json {
    json!({
        "name": "error",
        "summary": "Why there is no value",
        "headers": {
            "type": "object",
            "properties": { "ploomby-reply": { "type": "string", "const": "error" } },
            "required": ["ploomby-reply"],
        },
        "payload": reference(&["components", "schemas", ERROR_REPLY]),
    })
}

fn error_schema() -> Json {
    let text = || json!({ "type": "string" });
    let field = json!({
        "type": "object",
        "properties": { "field": text(), "message": text() },
        "required": ["field", "message"],
    });
    json!({
        "type": "object",
        "properties": {
            "code": text(),
            "message": text(),
            "fields": { "type": "array", "items": field },
        },
        "required": ["code", "message"],
    })
}

fn first_paragraph(doc: &str) -> String {
    let lines = doc.lines().take_while(|line| !line.trim().is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}
