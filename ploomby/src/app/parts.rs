//! What an app is made of, for whoever looks at it without running it.

use super::{App, Error, Queue};
use crate::{handler::HandlerRegistry, publisher::BrokerUrl};

impl App {
    /// The queues that it consumes.
    pub(crate) fn consumed(&self) -> Vec<Queue> {
        let is_consumed = |queue: &&Queue| {
            let only = self.only.as_ref();
            only.is_none_or(|only| only.contains(&queue.name))
        };
        let mut queues: Vec<_> = self.queues.iter().filter(is_consumed).cloned().collect();
        for queue in &mut queues {
            queue.options.declare.get_or_insert(self.declare);
        }
        queues
    }

    /// The handlers of those queues.
    pub(crate) fn registry(&self) -> HandlerRegistry {
        let handlers = self.handlers.clone();
        let handlers = handlers.unwrap_or_else(HandlerRegistry::linked);
        match &self.only {
            Some(only) => handlers.only(only),
            None => handlers,
        }
    }

    /// Name and version.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The broker, with who asks for the password.
    pub(crate) fn broker(&mut self) -> Result<BrokerUrl, Error> {
        Ok(
            match (BrokerUrl::parse(&self.url)?, self.credentials.take()) {
                (BrokerUrl::Rabbit(url), Some(ask)) => BrokerUrl::Rabbit(url.asking(ask)),
                (url, _) => url,
            },
        )
    }
}
