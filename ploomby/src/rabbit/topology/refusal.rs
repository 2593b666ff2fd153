use std::{fmt, time::Duration};

use thiserror::Error;

use super::difference::Difference;
use crate::{
    consumer::companions::Purpose,
    message::PropertyError,
    rabbit::{
        connection::{ConnectError, Link},
        session::events::Closed,
    },
};

/// Why a queue that must be there is not, or cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TopologyError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("an argument of the queue cannot be sent: {0}")]
    Argument(#[from] PropertyError),
    #[error("queue `{queue}`: {}{closed}", Advice(*asked, closed))]
    Refused {
        queue: String,
        asked: Asked,
        closed: Closed,
    },
    #[error("queue `{queue}`, {} ({closed})", Consequence(*purpose, difference))]
    Different {
        queue: String,
        purpose: Purpose,
        // boxed: every result of the publisher would be as large
        difference: Box<Difference>,
        closed: Closed,
    },
    #[error("queue `{0}` is not there, and is not to be declared: waiting for it")]
    Missing(String),
    #[error("the connection was lost while queues were declared: {0}")]
    Lost(String),
    #[error("the broker did not answer within {0:?} while queues were declared")]
    NoAnswer(Duration),
}

/// What the broker was asked to do with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To say whether the queue is there.
    Look,
    /// To make the queue, which is not there, or may not be as it should.
    Declare,
    Consume,
}

impl TopologyError {
    pub(in crate::rabbit) fn refused(queue: &str, asked: Asked, closed: Closed) -> Self {
        Self::Refused {
            queue: queue.to_owned(),
            asked,
            closed,
        }
    }

    /// What was asked over a connection came to nothing, where amqprs says `error`.
    pub(in crate::rabbit) fn lost(link: &Link, error: &amqprs::error::Error) -> Self {
        match link.failed(error) {
            error if error.is_hopeless() => Self::Connect(error),
            _ => Self::Lost(link.told(error)),
        }
    }

    /// Whether the queue that was to be consumed is not there.
    pub(in crate::rabbit) fn is_missing_queue(&self) -> bool {
        matches!(self, Self::Refused { closed, .. } if closed.is_not_found())
    }

    /// Whether it was the broker that did not do its part, so that another one may.
    pub(in crate::rabbit) fn is_brokers_fault(&self) -> bool {
        match self {
            Self::Lost(_) | Self::NoAnswer(_) => true,
            Self::Refused { closed, .. } => closed.is_ill(),
            Self::Connect(_) | Self::Argument(_) | Self::Missing(_) | Self::Different { .. } => {
                false
            }
        }
    }

    /// Whether a later try may go better, without anybody's help.
    pub(in crate::rabbit) fn is_passing(&self) -> bool {
        match self {
            Self::Connect(error) => !error.is_hopeless(),
            Self::Lost(_) | Self::NoAnswer(_) | Self::Missing(_) => true,
            Self::Refused { closed, .. } => closed.is_passing(),
            Self::Argument(_) | Self::Different { .. } => false,
        }
    }
}

/// What to do about a refusal, before the broker's own words.
struct Advice<'a>(Asked, &'a Closed);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(asked, closed) = self;
        if closed.is_no_right() {
            return f.write_str(match asked {
                Asked::Look => "the user may not even look for it, give the user a right to it: ",
                Asked::Declare => {
                    "it is not there, and the user may not declare it: give the user the right \
                     `configure` for it, or have somebody else declare it: "
                }
                Asked::Consume => {
                    "the user may not consume it, give the user the right `read` for it: "
                }
            });
        }
        if closed.is_limit() {
            return f.write_str(
                "it is not there, and no more queues may be made: raise the limit, or delete queues \
                 that nobody needs: ",
            );
        }
        if closed.code == Closed::RESOURCE_LOCKED {
            return f.write_str(
                "it belongs to one connection alone, as exclusive queues do: end the program that \
                 has it, or choose another name: ",
            );
        }
        Ok(())
    }
}

/// What an argument that differs may lead to, and what to do.
struct Consequence<'a>(Purpose, &'a Difference);

impl fmt::Display for Consequence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(purpose, difference) = self;
        match purpose {
            Purpose::DeadLetters if difference.is_there() => write!(
                f,
                "which keeps messages that failed, exists with other arguments and might drop what it \
                 is given, since {difference}: move its messages and delete it, or name another \
                 dead-letter queue with `dead_letter_queue`"
            ),
            Purpose::DeadLetters => write!(
                f,
                "which keeps messages that failed, exists with other arguments than the program asks \
                 for, since {difference}: ask for what it has, or name another dead-letter queue with \
                 `dead_letter_queue`"
            ),
            Purpose::Waiting => write!(
                f,
                "in which messages wait, exists with other arguments and might not bring them back \
                 when and where they should, since {difference}: move its messages and delete it"
            ),
        }
    }
}
