use crate::{key::KeySource, memory::MemoryOptions, message::Value, rabbit::RabbitOptions};

/// A queue that an [`App`](crate::App) consumes.
#[derive(Clone, Debug)]
#[must_use = "a queue is consumed once an app has it"]
pub struct Queue {
    pub(super) name: String,
    pub(super) key: KeySource,
    pub(super) consumers: usize,
    prefetch: Option<u16>,
    concurrency: Option<usize>,
    arguments: Vec<(String, Value)>,
    dead_letter_queue: Option<String>,
}

impl Queue {
    /// The queue of this name. One that exists is used as it is; one that does not is declared
    /// durable.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            key: KeySource::MessageType,
            consumers: 1,
            prefetch: None,
            concurrency: None,
            arguments: Vec::new(),
            dead_letter_queue: None,
        }
    }

    /// What names the handler of a message (default: the property `type`).
    pub fn key(mut self, key: KeySource) -> Self {
        self.key = key;
        self
    }

    /// How many consumers take from the queue (default: 1). Each runs on a task of its own, so
    /// that handlers which compute without waiting use as many cores.
    pub fn consumers(mut self, count: usize) -> Self {
        self.consumers = count;
        self
    }

    /// How many unsettled messages the broker sends ahead to each consumer (default: 64; zero is
    /// refused). This bounds the memory that the queue takes.
    ///
    /// Source: [consumer prefetch](https://www.rabbitmq.com/docs/consumer-prefetch).
    pub fn prefetch(mut self, messages: u16) -> Self {
        self.prefetch = Some(messages);
        self
    }

    /// How many handlers of the queue run at the same time in this program (default: as many as
    /// messages are there, prefetch times consumers). With one consumer, 1 keeps the order of the
    /// queue.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = Some(handlers);
        self
    }

    /// An argument for declaring the queue, such as `x-queue-type`, where it does not exist yet.
    ///
    /// Source: [optional queue arguments](https://www.rabbitmq.com/docs/queues#optional-arguments).
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.arguments.push((name.into(), value.into()));
        self
    }

    /// Where messages go that cannot be handled (default: the queue's name with `_dlq`).
    pub fn dead_letter_queue(mut self, name: impl Into<String>) -> Self {
        self.dead_letter_queue = Some(name.into());
        self
    }

    pub(super) fn rabbit_options(&self) -> RabbitOptions {
        let mut options = RabbitOptions::new();
        if let Some(prefetch) = self.prefetch {
            options = options.prefetch(prefetch);
        }
        if let Some(concurrency) = self.concurrency {
            options = options.concurrency(concurrency);
        }
        if let Some(name) = &self.dead_letter_queue {
            options = options.dead_letter_queue(name);
        }
        for (name, value) in &self.arguments {
            options = options.queue_argument(name, value.clone());
        }
        options
    }

    pub(super) fn memory_options(&self) -> MemoryOptions {
        let mut options = MemoryOptions::new();
        if let Some(prefetch) = self.prefetch {
            options = options.prefetch(prefetch);
        }
        if let Some(concurrency) = self.concurrency {
            options = options.concurrency(concurrency);
        }
        if let Some(name) = &self.dead_letter_queue {
            options = options.dead_letter_queue(name);
        }
        for (name, value) in &self.arguments {
            options = options.queue_argument(name, value.clone());
        }
        options
    }
}
