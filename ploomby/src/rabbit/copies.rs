use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Mutex as AsyncMutex;

use super::publisher::{ConfirmedPublisher, RabbitPublishError};
use crate::{consumer::companions::Companions, message::Message};

/// Where the copies of one queue's messages go.
#[derive(Debug)]
pub(super) struct Copies {
    queue: String,
    companions: Companions,
    publisher: Arc<ConfirmedPublisher>,
    /// The delays whose retry queue was declared.
    declared: Mutex<HashSet<Duration>>,
    declaring: AsyncMutex<()>,
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
            declared: Mutex::default(),
            declaring: AsyncMutex::default(),
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
        if !self.is_declared(delay) {
            // many may come at once: one of them declares for all
            let _alone = self.declaring.lock().await;
            if !self.is_declared(delay) {
                self.publisher.declare(&queue).await?;
                self.declared(&[delay]);
            }
        }
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

    /// Notes that the retry queues for these delays are there.
    pub(super) fn declared(&self, delays: &[Duration]) {
        let mut declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        declared.extend(delays);
    }

    fn is_declared(&self, delay: Duration) -> bool {
        let declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        declared.contains(&delay)
    }
}
