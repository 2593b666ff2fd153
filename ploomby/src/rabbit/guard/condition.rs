use std::{fmt, io, time::Duration};

use thiserror::Error;
use tokio::sync::watch;
use tracing::{info, warn};

use super::fault::Fault;

/// What is known of a connection, for whoever uses it.
#[derive(Clone, Debug)]
pub(in crate::rabbit) struct Condition(watch::Receiver<State>);

#[derive(Clone, Debug, Default)]
struct State {
    blocked: Option<String>,
    /// What the broker says that it is.
    server: Option<String>,
    ended: Option<Ended>,
}

/// Why a connection is no more.
#[derive(Clone, Debug, Error)]
pub(in crate::rabbit) enum Ended {
    #[error("the broker closed the connection: {text}")]
    Closed { code: u16, text: String },
    #[error("the connection was lost: the broker hung up without a word")]
    HungUp,
    #[error("the connection was lost: {0}")]
    Io(String),
    /// Something that cuts what is idle may lie between, such as a balancer.
    #[error(
        "{cause}, {after:.0?} after the last byte: if something on the way cuts connections that are idle, as balancers \
         do, set the parameter `heartbeat` to less than that time"
    )]
    Idle { cause: Box<Self>, after: Duration },
    #[error("the connection was lost: nothing came from the broker for {0:?}")]
    Silent(Duration),
    #[error("the connection was given up: the broker sent {0}")]
    Fault(String),
    #[error("the connection was closed by this program")]
    Left,
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault.to_string())
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

impl Ended {
    /// The same, where nothing had gone over the connection for so long.
    pub(super) fn after_idling(self, after: Duration) -> Self {
        /// No balancer is as impatient.
        const SHORTEST: Duration = Duration::from_secs(2);

        match self {
            Self::HungUp | Self::Io(_) if after >= SHORTEST => Self::Idle {
                cause: Box::new(self),
                after,
            },
            ended => ended,
        }
    }
}

impl Condition {
    /// Why the connection is no more, once it is.
    pub(in crate::rabbit) fn ended(&self) -> Option<Ended> {
        self.0.borrow().ended.clone()
    }

    /// What the broker says that it is, such as `RabbitMQ 4.0.5`.
    pub(in crate::rabbit) fn server(&self) -> Option<String> {
        self.0.borrow().server.clone()
    }

    /// Why the broker takes no messages at the moment, in its own words.
    pub(in crate::rabbit) fn blocked(&self) -> Option<String> {
        self.0.borrow().blocked.clone()
    }
}

#[cfg(test)]
impl Condition {
    /// Of a connection that there never was.
    pub(in crate::rabbit) fn of_nothing() -> Self {
        Changing::new("nothing".to_owned()).1
    }
}

/// The guard's end of a [`Condition`].
pub(super) struct Changing {
    state: watch::Sender<State>,
    /// The connection, as the log names it.
    name: String,
}

impl Changing {
    pub(super) fn new(name: String) -> (Self, Condition) {
        let (state, receiver) = watch::channel(State::default());
        (Self { state, name }, Condition(receiver))
    }

    /// Notes what the broker says that it is.
    pub(super) fn set_server(&self, server: Option<String>) {
        self.state.send_modify(|state| state.server = server);
    }

    /// Notes the broker's alarm, or its end.
    pub(super) fn set_blocked(&self, blocked: Option<String>) {
        let connection = &self.name;
        match &blocked {
            Some(reason) => warn!(
                connection,
                reason, "the broker takes no messages until its alarm is over"
            ),
            None => info!(connection, "the broker takes messages again"),
        }
        self.state.send_modify(|state| state.blocked = blocked);
    }

    /// Notes the end. What is noted first is the cause.
    pub(super) fn end(&self, ended: Ended) {
        self.state.send_if_modified(|state| {
            let is_first = state.ended.is_none();
            if is_first {
                state.ended = Some(ended);
                state.blocked = None;
            }
            is_first
        });
    }
}

impl fmt::Debug for Changing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changing").finish_non_exhaustive()
    }
}
