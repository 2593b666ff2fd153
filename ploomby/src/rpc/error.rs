use std::time::Duration;

use thiserror::Error;

use crate::{
    outcome::ErrorReply, publisher::PublishError, rabbit::RabbitPublishError, reply::NoValue,
};

/// Why a call has no value.
#[derive(Error)]
#[non_exhaustive]
pub enum CallError {
    /// The handler, or what called it, replied with an error.
    #[error("the call was answered with an error: {0}")]
    Remote(ErrorReply),
    /// There is no such queue, so that nobody can hear the call.
    #[error("nobody listens at queue `{0}`: start what consumes it")]
    NobodyListens(String),
    /// No reply came in time. The handler may have run, or be running.
    #[error("no reply came within {0:?}")]
    TimedOut(Duration),
    /// The connection was lost while the call was in flight. The handler may have run.
    #[error("the connection was lost before the reply came; the call may have been handled")]
    Lost,
    /// The reply does not decode into what was asked for.
    #[error("the reply cannot be read: {0}")]
    Undecodable(Box<dyn std::error::Error + Send + Sync>),
    /// The request is not known to be in its queue.
    #[error(transparent)]
    Request(PublishError),
}

impl CallError {
    /// As metrics have it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Remote(_) => "remote",
            Self::NobodyListens(_) => "nobody-listens",
            Self::TimedOut(_) => "timed-out",
            Self::Lost => "lost",
            Self::Undecodable(_) => "undecodable",
            Self::Request(error) => error.kind(),
        }
    }
}

impl From<PublishError> for CallError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Unroutable(queue) => Self::NobodyListens(queue),
            PublishError::Unbound {
                exchange,
                routing_key,
            } => Self::NobodyListens(format!("{exchange}/{routing_key}")),
            error => Self::Request(error),
        }
    }
}

impl From<RabbitPublishError> for CallError {
    fn from(error: RabbitPublishError) -> Self {
        match error {
            RabbitPublishError::Lost(_) => Self::Lost,
            error => PublishError::from(error).into(),
        }
    }
}

impl From<NoValue> for CallError {
    fn from(no_value: NoValue) -> Self {
        match no_value {
            NoValue::Error(error) => Self::Remote(error),
            NoValue::Unreadable(error) => Self::Undecodable(error.into()),
        }
    }
}

debug_is_text!(CallError);
