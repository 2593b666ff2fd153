use crate::{
    consumer::options::{QueueOptions, queue_option_setters},
    delivery::KeySource,
};

/// A queue that an [`App`](crate::App) consumes.
#[derive(Clone, Debug)]
pub struct Queue {
    pub(crate) name: String,
    pub(crate) key: KeySource,
    pub(crate) consumers: usize,
    pub(crate) options: QueueOptions,
}

impl Queue {
    /// The queue of this name. One that exists is used as it is; one that does not is declared
    /// durable.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            key: KeySource::MessageType,
            consumers: 1,
            options: QueueOptions::default(),
        }
    }

    /// What names the handler of a message (default: the property `type`).
    #[must_use]
    pub fn key(mut self, key: KeySource) -> Self {
        self.key = key;
        self
    }

    /// How many consumers take from the queue (default: 1). Each runs on a task of its own, so
    /// that handlers which compute without waiting use as many cores.
    #[must_use]
    pub fn consumers(mut self, count: usize) -> Self {
        self.consumers = count;
        self
    }

    queue_option_setters!();
}
