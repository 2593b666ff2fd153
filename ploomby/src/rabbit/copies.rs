use std::{sync::Arc, time::Duration};

use tokio::time::sleep_until;

use super::{
    declarations::Declarations,
    publisher::{ConfirmedPublisher, RabbitPublishError},
};
use crate::{
    consumer::companions::{Companions, Declared},
    message::Message,
};

/// Where the copies of one queue's messages go.
#[derive(Debug)]
pub(super) struct Copies {
    queue: String,
    companions: Companions,
    publisher: Arc<ConfirmedPublisher>,
    /// The retry queues that were declared.
    declarations: Declarations,
}

impl Copies {
    pub(super) fn new(
        queue: &str,
        companions: Companions,
        publisher: Arc<ConfirmedPublisher>,
    ) -> Self {
        Self {
            queue: queue.to_owned(),
            companions,
            publisher,
            declarations: Declarations::default(),
        }
    }

    pub(super) fn companions(&self) -> &Companions {
        &self.companions
    }

    /// Keeps what cannot be handled.
    pub(super) async fn dead_letter(&self, copy: Message) -> Result<(), RabbitPublishError> {
        match &self.companions.dead_letters {
            Some(queue) => self.publisher.keep(queue, copy).await,
            None => Err(RabbitPublishError::NoDeadLetterQueue),
        }
    }

    /// Keeps what is to come back to the queue, after the delay.
    pub(super) async fn retry(
        &self,
        copy: Message,
        delay: Duration,
    ) -> Result<(), RabbitPublishError> {
        let Some(queue) = self.companions.waiting_queue(delay) else {
            return self.publisher.put_back(&self.queue, copy).await;
        };
        let declare = self.publisher.declare(&queue);
        let ready = self.declarations.once(&queue.name, declare).await?;
        sleep_until(ready).await;
        self.publisher.keep(&queue, copy).await
    }

    /// Sends the reply to a message that was handled.
    pub(super) async fn reply(
        &self,
        reply_to: &str,
        reply: Message,
    ) -> Result<(), RabbitPublishError> {
        self.publisher.put_back(reply_to, reply).await
    }

    /// Notes that these queues were just declared.
    pub(super) fn declared(&self, queues: &[Declared]) {
        for queue in queues {
            self.declarations.note(&queue.name);
        }
    }
}
