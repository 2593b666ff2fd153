use std::fmt;

use super::Message;

/// A message and where it goes.
#[derive(Clone)]
pub(crate) struct Addressed {
    /// Empty for the default exchange, whose routing keys are the names of queues.
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
    pub(crate) routing: Routing,
    pub(crate) message: Message,
}

/// Whether a message that no queue takes is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routing {
    Mandatory,
    Optional,
}

impl Addressed {
    pub(crate) fn to_queue(queue: &str, message: Message) -> Self {
        Self {
            exchange: String::new(),
            routing_key: queue.to_owned(),
            routing: Routing::Mandatory,
            message,
        }
    }
}

impl fmt::Debug for Addressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addressed")
            .field("exchange", &self.exchange)
            .field("routing_key", &self.routing_key)
            .field("routing", &self.routing)
            .field("message", &self.message)
            .finish()
    }
}
