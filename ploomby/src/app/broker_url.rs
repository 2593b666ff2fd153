use super::Error;
use crate::{
    memory::{MemoryBroker, MemoryConsumerFactory},
    rabbit::RabbitUrl,
};

/// Which broker a URL means.
#[derive(Debug)]
pub(crate) enum BrokerUrl {
    Rabbit(RabbitUrl),
    Memory(MemoryBroker),
}

impl BrokerUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        if url.starts_with("memory://") {
            let factory = MemoryConsumerFactory::new(url)?;
            return Ok(Self::Memory(factory.broker().clone()));
        }
        Ok(Self::Rabbit(RabbitUrl::parse(url)?))
    }
}
