use thiserror::Error as ThisError;

use crate::{
    consumer::{RegisterError, RunError},
    memory::MemoryError,
    publisher::{BrokerUrlError, PublishError},
    rabbit::UrlError,
};

/// Why an [`App`](crate::App) did not start, or ended.
#[derive(ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The broker's URL cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The embedded broker cannot be used.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// No queue was named.
    #[error("there is no queue to consume: name one with `App::queue`")]
    NoQueue,
    /// A queue that alone is to be consumed is none of the app's.
    #[error(
        "`App::only` names the queue `{0}`, which the app does not have: add it by `App::queue`, or correct its name"
    )]
    UnknownQueue(String),
    /// A queue cannot be consumed.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The publisher that a handler takes could not connect.
    #[error("cannot connect the publisher that a handler takes: {0}")]
    Publisher(PublishError),
    /// The state that [`App::state_with`](crate::App::state_with) makes could not be made.
    #[error("cannot make the state that handlers take: {0}")]
    State(Box<dyn std::error::Error + Send + Sync>),
    /// The port of `App::admin`, of the feature `admin`, cannot be opened.
    #[error("cannot open the admin port: {0}")]
    Admin(Box<dyn std::error::Error + Send + Sync>),
    /// Consuming ended.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<BrokerUrlError> for Error {
    fn from(error: BrokerUrlError) -> Self {
        match error {
            BrokerUrlError::Rabbit(error) => Self::Url(error),
            BrokerUrlError::Memory(error) => Self::Memory(error),
        }
    }
}

impl From<PublishError> for Error {
    fn from(error: PublishError) -> Self {
        Self::Publisher(error)
    }
}

debug_is_text!(Error);
