//! A broker on which tests take turns.

use amqprs::channel::{ExchangeDeleteArguments, QueueDeclareArguments, QueueDeleteArguments};

use super::{
    Asker, Consumed, TopologyError,
    asker::Fault,
    depth_by, ensure,
    refusal::{Asked, Subject},
    wire::has_exchange,
};
use crate::{
    consumer::Declare,
    message::Value,
    rabbit::{connection::SharedConnection, session::events::Closed, url::RabbitUrl},
    topology::Wiring,
};

/// A connection over which a test prepares a broker, and cleans up.
#[derive(Debug)]
pub(crate) struct RabbitGround(SharedConnection);

impl RabbitGround {
    pub(crate) fn new(url: RabbitUrl) -> Self {
        Self(SharedConnection::new(url, "testing"))
    }

    /// Makes a queue that no other connection can make or use until this one ends. Whether it did: another connection
    /// may have it.
    pub(crate) async fn take_exclusive(&self, queue: &str) -> Result<bool, TopologyError> {
        let mut asker = Asker::new(&self.0);
        let mut declare = QueueDeclareArguments::new(queue);
        declare.exclusive(true);
        let taken = match asker.declare(declare).await {
            Ok(()) => Ok(true),
            Err(Fault::Refused(closed)) if closed.code == Closed::RESOURCE_LOCKED => Ok(false),
            Err(fault) => {
                Err(fault.told(|closed| TopologyError::refused(queue, Asked::Declare, closed)))
            }
        };
        asker.close().await;
        taken
    }

    /// How many messages are ready in these queues; None for one that is not there.
    pub(crate) async fn ready(&self, queues: &[String]) -> Result<Vec<Option<u32>>, TopologyError> {
        let mut asker = Asker::new(&self.0);
        let mut ready = Ok(Vec::with_capacity(queues.len()));
        for queue in queues {
            match (depth_by(&mut asker, queue).await, &mut ready) {
                (Ok(depth), Ok(ready)) => ready.push(depth.map(|depth| depth.ready)),
                (Err(error), _) => ready = Err(error),
                (Ok(_), Err(_)) => {}
            }
        }
        asker.close().await;
        ready
    }

    pub(crate) async fn has_exchange(&self, exchange: &str) -> Result<bool, TopologyError> {
        let mut asker = Asker::new(&self.0);
        let found = has_exchange(&mut asker, exchange).await;
        asker.close().await;
        found
    }

    /// Makes a queue, with what its messages come by.
    pub(crate) async fn declare(
        &self,
        queue: &str,
        arguments: &[(String, Value)],
        wiring: &Wiring,
    ) -> Result<(), TopologyError> {
        let mut asker = Asker::new(&self.0);
        let consumed = Consumed {
            queue,
            declare: Declare::All,
            arguments,
            wiring,
        };
        let declared = ensure(&mut asker, &consumed, &mut []).await;
        asker.close().await;
        declared
    }

    /// Deletes queues and exchanges, with all that is in them. What is not there is no error.
    pub(crate) async fn delete(
        &self,
        queues: &[String],
        exchanges: &[String],
    ) -> Result<(), TopologyError> {
        let mut asker = Asker::new(&self.0);
        let mut deleted = Ok(());
        for queue in queues {
            let delete = QueueDeleteArguments::new(queue);
            let asked = asker.ask_by(async |channel| channel.queue_delete(delete).await);
            if let Err(fault) = asked.await {
                deleted =
                    Err(fault.told(|closed| TopologyError::refused(queue, Asked::Declare, closed)));
            }
        }
        for exchange in exchanges {
            let delete = ExchangeDeleteArguments::new(exchange);
            let asked = asker.ask_by(async |channel| channel.exchange_delete(delete).await);
            if let Err(fault) = asked.await {
                deleted = Err(fault.told(|closed| TopologyError::Refused {
                    subject: Subject::Exchange(exchange.clone()),
                    asked: Asked::Declare,
                    closed,
                }));
            }
        }
        asker.close().await;
        deleted
    }

    pub(crate) async fn close(&self) {
        self.0.close().await;
    }
}
