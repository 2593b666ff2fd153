use std::{sync::Arc, time::Duration};

use tokio::time::sleep_until;
use tracing::warn;

use super::{
    declarations::Declarations,
    publisher::{ConfirmedPublisher, RabbitPublishError},
    replies::{ReplyError, ReplySender},
};
use crate::{
    consumer::{
        Declare,
        companions::{Companions, Declared},
    },
    message::Message,
};

/// Where the copies of one queue's messages go.
#[derive(Debug)]
pub(super) struct Copies {
    queue: String,
    companions: Companions,
    publisher: Arc<ConfirmedPublisher>,
    replies: Arc<ReplySender>,
    declare: Declare,
    /// The retry queues that were declared.
    declarations: Declarations,
}

impl Copies {
    pub(super) fn new(
        queue: &str,
        companions: Companions,
        publisher: Arc<ConfirmedPublisher>,
        replies: Arc<ReplySender>,
        declare: Declare,
    ) -> Self {
        Self {
            queue: queue.to_owned(),
            companions,
            publisher,
            replies,
            declare,
            declarations: Declarations::default(),
        }
    }

    pub(super) fn companions(&self) -> &Companions {
        &self.companions
    }

    /// Says in the log if copies cannot be made that may have to be.
    pub(super) async fn check_right(&self, retry_delays: &[Duration]) {
        if self.companions.dead_letters.is_some() || !retry_delays.is_empty() {
            self.publisher.check_right().await;
        }
    }

    /// Keeps what cannot be handled.
    pub(super) async fn dead_letter(&self, copy: Message) -> Result<(), RabbitPublishError> {
        match &self.companions.dead_letters {
            Some(queue) => self.keep(queue, copy).await,
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
            return self.publisher.keep(&self.queue, copy).await;
        };
        self.make_sure(&queue).await?;
        self.keep(&queue, copy).await
    }

    /// Keeps a suspect where it is handled alone.
    pub(super) async fn set_aside(&self, copy: Message) -> Result<(), RabbitPublishError> {
        let queue = self.companions.suspects();
        self.make_sure(&queue).await?;
        self.keep(&queue, copy).await
    }

    pub(super) fn declare(&self) -> Declare {
        self.declare
    }

    pub(super) fn publisher(&self) -> &ConfirmedPublisher {
        &self.publisher
    }

    /// Sends the reply to a message that was handled.
    pub(super) async fn reply(
        &self,
        exchange: &str,
        routing_key: &str,
        reply: Message,
    ) -> Result<(), ReplyError> {
        self.replies.send(exchange, routing_key, reply).await
    }

    /// Publishes a copy, and declares the queue again where it is gone.
    async fn keep(&self, queue: &Declared, copy: Message) -> Result<(), RabbitPublishError> {
        match self.publisher.keep(&queue.name, copy.clone()).await {
            Err(RabbitPublishError::Unroutable(_)) if self.declare != Declare::Never => {
                warn!(queue = queue.name, "the queue is gone, declaring it again");
                self.declarations.forget(&queue.name);
                self.make_sure(queue).await?;
                self.publisher.keep(&queue.name, copy).await
            }
            kept => kept,
        }
    }

    /// Declares a queue, unless that was done before, and waits until it takes messages.
    async fn make_sure(&self, queue: &Declared) -> Result<(), RabbitPublishError> {
        if self.declare == Declare::Never {
            return Ok(());
        }
        let ready = match self.declarations.ready(&queue.name) {
            Some(ready) => ready,
            // done once for a queue, so that no copy carries about what a connection takes to be opened
            None => {
                let declare = self.publisher.declare(queue);
                Box::pin(self.declarations.once(&queue.name, declare)).await?
            }
        };
        sleep_until(ready).await;
        Ok(())
    }

    /// Notes that these queues were just declared.
    pub(super) fn declared(&self, queues: &[Declared]) {
        for queue in queues {
            self.declarations.note(&queue.name);
        }
    }
}
