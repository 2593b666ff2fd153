use thiserror::Error;

use crate::{
    memory::{MemoryBroker, MemoryConsumerFactory, MemoryError},
    rabbit::{RabbitUrl, UrlError},
};

/// Which broker a URL means.
#[derive(Clone, Debug)]
pub(crate) enum BrokerUrl {
    Rabbit(RabbitUrl),
    Memory(MemoryBroker),
}

/// A URL that means no broker.
#[derive(Debug, Error)]
pub(crate) enum BrokerUrlError {
    #[error(transparent)]
    Rabbit(#[from] UrlError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl BrokerUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, BrokerUrlError> {
        if url.starts_with("memory://") {
            let factory = MemoryConsumerFactory::new(url)?;
            return Ok(Self::Memory(factory.broker().clone()));
        }
        Ok(Self::Rabbit(RabbitUrl::parse(url)?))
    }
}
