use crate::rabbit::{RabbitUrl, UrlError};

/// Which broker a URL means.
#[derive(Debug)]
pub(crate) enum BrokerUrl {
    Rabbit(RabbitUrl),
    Memory(String),
}

impl BrokerUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        match url.strip_prefix("memory://") {
            Some(name) => Ok(Self::Memory(name.to_owned())),
            None => RabbitUrl::parse(url).map(Self::Rabbit),
        }
    }
}
