use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::publisher::{ConfirmedPublisher, RabbitPublishError};
use crate::{
    consumer::companions::{Companions, RETRY_QUEUE_RENEWAL},
    message::Message,
};

/// Where the copies of one queue's messages go.
#[derive(Debug)]
pub(super) struct Copies {
    queue: String,
    companions: Companions,
    publisher: Arc<ConfirmedPublisher>,
    /// When each retry queue was declared last.
    declared: Mutex<HashMap<Duration, Instant>>,
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
        if self.is_due(delay) {
            let now = Instant::now();
            self.publisher.declare(&queue).await?;
            self.note(delay, now);
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

    /// Notes that the retry queues for these delays were just declared.
    pub(super) fn declared(&self, delays: &[Duration], at: Instant) {
        for delay in delays {
            self.note(*delay, at);
        }
    }

    fn note(&self, delay: Duration, at: Instant) {
        let mut declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        declared.insert(delay, at);
    }

    fn is_due(&self, delay: Duration) -> bool {
        let declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        declared
            .get(&delay)
            .is_none_or(|at| at.elapsed() >= RETRY_QUEUE_RENEWAL)
    }
}
