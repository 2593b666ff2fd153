//! The two brokers, as far as operations need them: how much there is, and messages that are held to be looked at.

use crate::{
    consumer::companions::Declared,
    memory::{MemoryBroker, MemoryLook},
    message::Message,
    publisher::BrokerUrl,
    rabbit::{RabbitLook, RabbitLooker},
    topology::Wiring,
};

use super::OpsError;

/// Where letters come from.
#[derive(Debug)]
pub(super) enum Source {
    Rabbit(Box<RabbitLooker>),
    Memory(MemoryBroker),
}

/// Messages of one queue that are held, each with the tag that names it.
pub(super) enum Held {
    Rabbit(Box<RabbitLook>),
    Memory(MemoryLook),
}

/// How many messages are ready in a queue, and how many consumers it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Depth {
    pub(super) ready: usize,
    pub(super) consumers: usize,
}

impl Source {
    /// Nothing is connected yet.
    pub(super) fn new(url: BrokerUrl) -> Self {
        match url {
            BrokerUrl::Rabbit(url) => Self::Rabbit(Box::new(RabbitLooker::new(url))),
            BrokerUrl::Memory(broker) => Self::Memory(broker),
        }
    }

    /// The user that the broker knows the program by.
    pub(super) fn user(&self) -> &str {
        match self {
            Self::Rabbit(looker) => looker.user(),
            Self::Memory(_) => "guest",
        }
    }

    /// None for a queue that is not there.
    pub(super) async fn depths(&self, queues: &[&str]) -> Result<Vec<Option<Depth>>, OpsError> {
        match self {
            Self::Rabbit(looker) => {
                let depths = looker.depths(queues).await.map_err(OpsError::broker)?;
                let depths = depths.into_iter().map(|depth| {
                    depth.map(|depth| Depth {
                        ready: depth.ready as usize,
                        consumers: depth.consumers as usize,
                    })
                });
                Ok(depths.collect())
            }
            Self::Memory(broker) => {
                let depth = |queue: &&str| {
                    broker.queue_exists(queue).then(|| Depth {
                        ready: broker.ready_count(queue),
                        consumers: broker.consumer_count(queue),
                    })
                };
                Ok(queues.iter().map(depth).collect())
            }
        }
    }

    /// Begins to hold messages, with how many are ready; None where there is no such queue.
    pub(super) async fn hold(&self, queue: &str) -> Result<Option<(Held, usize)>, OpsError> {
        match self {
            Self::Rabbit(looker) => {
                let look = looker.look(queue).await.map_err(OpsError::broker)?;
                Ok(look.map(|(look, ready)| (Held::Rabbit(Box::new(look)), ready as usize)))
            }
            Self::Memory(broker) => {
                let look = broker.look(queue);
                Ok(look.map(|(look, ready)| (Held::Memory(look), ready)))
            }
        }
    }

    /// The same of so many messages at most, for a moment: others may consume the queue.
    pub(super) async fn sample(
        &self,
        queue: &str,
        most: usize,
    ) -> Result<Option<(Held, usize)>, OpsError> {
        match self {
            Self::Rabbit(looker) => {
                let look = looker.sample(queue, most).await.map_err(OpsError::broker)?;
                Ok(look.map(|(look, ready)| (Held::Rabbit(Box::new(look)), ready as usize)))
            }
            Self::Memory(_) => self.hold(queue).await,
        }
    }

    /// Makes sure that a queue is there, which is another one or beside it.
    pub(super) async fn declare(&self, queue: &str, declared: &Declared) -> Result<(), OpsError> {
        match self {
            Self::Rabbit(looker) => looker.declare(declared).await.map_err(OpsError::broker),
            Self::Memory(broker) => {
                let made = broker.declare_waiting(queue, declared);
                made.map_err(OpsError::broker)
            }
        }
    }

    /// Declares what a queue's messages come by.
    pub(super) async fn wire(&self, queue: &str, wiring: &Wiring) -> Result<(), OpsError> {
        match self {
            Self::Rabbit(looker) => looker.wire(queue, wiring).await.map_err(OpsError::broker),
            Self::Memory(broker) => {
                let wired = broker.wire_queue(queue, wiring);
                wired.map_err(OpsError::broker)
            }
        }
    }

    /// Deletes a queue without messages and consumers. Whether it did.
    pub(super) async fn delete_empty(&self, queue: &str) -> Result<bool, OpsError> {
        match self {
            Self::Rabbit(looker) => looker.delete_empty(queue).await.map_err(OpsError::broker),
            Self::Memory(broker) => {
                let is_empty = broker.ready_count(queue) == 0 && broker.consumer_count(queue) == 0;
                if is_empty {
                    broker.delete_queue(queue);
                }
                Ok(is_empty)
            }
        }
    }

    pub(super) async fn close(&self) {
        if let Self::Rabbit(looker) = self {
            looker.close().await;
        }
    }
}

impl Held {
    /// The next message.
    pub(super) async fn next(
        &mut self,
        source: &Source,
    ) -> Result<Option<(u64, Message)>, OpsError> {
        match (self, source) {
            (Self::Rabbit(look), Source::Rabbit(looker)) => {
                look.next(looker).await.map_err(OpsError::broker)
            }
            (Self::Memory(look), _) => Ok(look.next()),
            (Self::Rabbit(_), Source::Memory(_)) => Ok(None),
        }
    }

    /// Takes a message out of its queue for good.
    pub(super) async fn ack(&mut self, tag: u64) -> Result<(), OpsError> {
        match self {
            Self::Rabbit(look) => look.ack(tag).await.map_err(OpsError::broker),
            Self::Memory(look) => {
                look.ack(tag);
                Ok(())
            }
        }
    }

    /// Gives back what is held.
    pub(super) async fn give_back(self, source: &Source) -> Result<(), OpsError> {
        match (self, source) {
            (Self::Rabbit(look), Source::Rabbit(looker)) => {
                look.give_back(looker).await.map_err(OpsError::broker)
            }
            _ => Ok(()),
        }
    }
}
