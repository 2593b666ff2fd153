//! What a program consumes and handles: known without a broker, and without state.

use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;

use super::OpsError;
use crate::{
    app::{App, Queue},
    consumer::companions::Declared,
    handler::{HandlerRegistry, Registered, key_fits},
    settle::whole_milliseconds,
};
#[cfg(feature = "asyncapi")]
use crate::{handler::OrderBy, schema::SchemaOf};

/// The queues and the handlers of an app.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Program {
    /// Name and version, where [`App::named`] says so.
    pub name: Option<String>,
    /// In the order in which the app names them.
    pub queues: Vec<QueueInfo>,
    /// By their first keys.
    pub handlers: Vec<HandlerInfo>,
    /// How the queues are set up.
    pub(super) set_up: Vec<Queue>,
}

/// A queue that the program consumes. In JSON its form has version 1.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// Where a message has its key, in words.
    pub key: String,
    /// Where its messages go that cannot be handled; None where the broker keeps them.
    pub dead_letters: Option<String>,
    /// The queues in which its messages wait, with how long, in milliseconds.
    pub waiting: Vec<(String, u128)>,
    /// How long messages wait that are tried again.
    #[serde(skip)]
    pub(super) retries: Vec<Duration>,
}

/// A handler of the program. In JSON its form has version 1.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct HandlerInfo {
    /// The version of this form.
    pub v: u32,
    /// The keys that it handles.
    pub keys: Vec<String>,
    /// The patterns of keys that it handles.
    pub patterns: Vec<String>,
    /// Whether it takes messages with a key that no other handler is for, and those without a key.
    pub is_default: bool,
    /// The queue that it is for; None for all queues.
    pub queue: Option<String>,
    /// The type that is decoded from the body.
    pub payload: Option<String>,
    /// Whether it takes several messages at once.
    pub is_batch: bool,
    /// The type of what goes back to who asked; None where nothing does.
    pub reply: Option<String>,
    /// How many attempts it makes, where it says so itself.
    pub attempts: Option<u32>,
    /// How long it may take, in milliseconds, where it says so itself.
    pub timeout_ms: Option<u128>,
    /// At how many messages it works at the same time, where it says so itself.
    pub concurrency: Option<usize>,
    /// How many messages it begins within a time, such as `100/s`, where it says so itself.
    pub rate: Option<String>,
    /// The path of the function.
    pub function: String,
    /// The file that it stands in.
    pub file: String,
    /// The line of its attribute, or of the call that registers it.
    pub line: u32,
    /// Its doc comment, if it carries the attribute.
    pub doc: Option<String>,
    /// How its payload is described.
    #[cfg(feature = "asyncapi")]
    #[serde(skip)]
    pub(super) schema: Option<SchemaOf>,
    /// How its reply is described.
    #[cfg(feature = "asyncapi")]
    #[serde(skip)]
    pub(super) reply_schema: Option<SchemaOf>,
    /// What the body is, if not what the queue's codec makes of it.
    #[cfg(feature = "asyncapi")]
    #[serde(skip)]
    pub(super) content_type: Option<&'static str>,
    /// Which of its messages are handled one after another, where it says so itself.
    #[cfg(feature = "asyncapi")]
    #[serde(skip)]
    pub(super) ordered_by: Option<OrderBy>,
}

impl HandlerInfo {
    /// Whether it has this key, or a pattern that the key fits.
    pub fn takes(&self, key: &str) -> bool {
        self.keys.iter().any(|known| known == key)
            || self.patterns.iter().any(|pattern| key_fits(pattern, key))
    }
}

impl App {
    /// What it consumes and handles. Nothing is connected, and no state is made.
    pub fn program(&self) -> Program {
        let name = self.name().map(str::to_owned);
        Program::of(name, self.consumed(), &self.registry())
    }
}

impl Program {
    pub(crate) fn of(name: Option<String>, set_up: Vec<Queue>, handlers: &HandlerRegistry) -> Self {
        let queues = set_up.iter().map(|queue| queue_info(queue, handlers));
        let mut program = Self {
            name,
            queues: queues.collect(),
            handlers: handlers.inventory().into_iter().map(handler_info).collect(),
            set_up,
        };
        let first = |handler: &HandlerInfo| {
            let mut keys = handler.keys.iter().chain(&handler.patterns);
            (keys.next().cloned(), handler.queue.clone())
        };
        program.handlers.sort_by_key(first);
        program
    }

    /// A queue by its name.
    pub(crate) fn queue(&self, name: &str) -> Result<&QueueInfo, OpsError> {
        let found = self.queues.iter().find(|queue| queue.name == name);
        found.ok_or_else(|| {
            let names = self.queues.iter().map(|queue| format!("`{}`", queue.name));
            let names: Vec<_> = names.collect();
            OpsError::NoQueue(name.to_owned(), names.join(", "))
        })
    }

    /// How a queue is set up.
    pub(super) fn set_up(&self, name: &str) -> Option<&Queue> {
        self.set_up.iter().find(|queue| queue.name == name)
    }

    /// The queue in which a message waits for so long; None where its name is too long.
    pub(super) fn waiting_queue(&self, queue: &str, delay: Duration) -> Option<Declared> {
        let queue = self.set_up(queue)?;
        let companions = queue.options.companions(&queue.name).ok()?;
        companions.waiting_queue(delay)
    }
}

fn queue_info(queue: &Queue, handlers: &HandlerRegistry) -> QueueInfo {
    let companions = queue.options.companions(&queue.name).ok();
    let of_queue = handlers.inventory().into_iter().filter(|handler| {
        let own = handler.options.queue.as_deref();
        own.is_none_or(|own| own == queue.name)
    });
    let mut delays = BTreeSet::new();
    for handler in of_queue {
        let retry = handler.options.retry.as_ref();
        delays.extend(retry.unwrap_or(&queue.options.policy.retry).all_delays());
    }
    let retries: Vec<_> = delays.iter().copied().collect();
    // what a handler gave back twice, and what is replayed with its address
    delays.insert(super::replay::PAUSE);
    let waiting = delays.into_iter().filter_map(|delay| {
        let declared = companions.as_ref()?.waiting_queue(delay)?;
        Some((declared.name, whole_milliseconds(delay).as_millis()))
    });
    QueueInfo {
        name: queue.name.clone(),
        key: queue.key.to_string(),
        waiting: waiting.collect(),
        retries,
        dead_letters: companions
            .as_ref()
            .and_then(|companions| companions.dead_letters.as_ref())
            .map(|declared| declared.name.clone()),
    }
}

fn handler_info(handler: Registered<'_>) -> HandlerInfo {
    let options = handler.options;
    HandlerInfo {
        v: 1,
        keys: handler.keys,
        patterns: handler.patterns,
        is_default: handler.is_default,
        queue: options.queue.clone(),
        payload: handler.payload.map(str::to_owned),
        is_batch: handler.is_batch,
        reply: handler.reply.map(str::to_owned),
        attempts: options.retry.as_ref().map(|retry| retry.attempts()),
        timeout_ms: options.timeout.map(|timeout| timeout.as_millis()),
        concurrency: options.concurrency,
        rate: options.rate.map(|rate| rate.told()),
        function: handler.function.to_owned(),
        file: handler.file.to_owned(),
        line: handler.line,
        doc: handler.doc,
        #[cfg(feature = "asyncapi")]
        schema: handler.schema,
        #[cfg(feature = "asyncapi")]
        reply_schema: handler.reply_schema,
        #[cfg(feature = "asyncapi")]
        content_type: handler.content_type,
        #[cfg(feature = "asyncapi")]
        ordered_by: options.ordered_by.clone(),
    }
}
