use std::{collections::HashMap, fmt, sync::Arc};

use super::{broker::MemoryBroker, state::Shared, stored::Stored};
use crate::{
    delivery,
    reply::{Calls, NO_CHANNEL, unguessable},
};

/// The addresses of calls in flight, which are no queues.
#[derive(Debug, Default)]
pub(super) struct Replies {
    calls: HashMap<String, Arc<Calls>>,
}

/// Where the reply to one call goes. Dropped, it is gone.
pub(crate) struct ReplyAddress {
    shared: Arc<Shared>,
    name: String,
}

impl MemoryBroker {
    /// An address for the reply to a call, as RabbitMQ makes of `amq.rabbitmq.reply-to`.
    pub(crate) fn reply_address(&self, calls: &Arc<Calls>) -> ReplyAddress {
        let name = delivery::direct_name(unguessable());
        let replies = &mut self.shared.lock().replies;
        replies.calls.insert(name.clone(), calls.clone());
        ReplyAddress {
            shared: self.shared.clone(),
            name,
        }
    }
}

impl Replies {
    /// Delivers what is a reply.
    pub(super) fn deliver(&self, stored: &Stored) {
        if let Some(calls) = self.calls.get(stored.routing_key()) {
            calls.answer(stored.published.message.clone(), NO_CHANNEL);
        }
    }
}

impl ReplyAddress {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for ReplyAddress {
    fn drop(&mut self) {
        self.shared.lock().replies.calls.remove(&self.name);
    }
}

impl fmt::Debug for ReplyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReplyAddress").field(&self.name).finish()
    }
}
