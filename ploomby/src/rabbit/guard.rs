//! Stands between amqprs and the broker, and lets nothing pass that would harm either.
//!
//! amqprs reads all text as UTF-8 and tables to any depth, takes each frame on trust, sends its heartbeats when
//! it comes to it, and drops what a broker says of itself. It takes no stream from us, so it connects to a port
//! of this machine. Behind that the guard has logged in with the broker, and passes frames on:
//!
//! - what amqprs cannot read becomes something that it can, and becomes what it was on the way back;
//! - frames that lie, or that nobody asked for, end the connection, with the reason;
//! - heartbeats, alarms and the broker's last words are the guard's.
//!
//! When amqprs takes a stream, and bytes in texts, this module goes.
//!
//! # Layout
//!
//! - `wire`, `methods`, `properties`, `table`: frames, and what is in them, as bytes;
//! - `fault`: what is no AMQP;
//! - `kept`, `mend`, `restore`: what amqprs cannot read, made readable and made what it was;
//! - `frames`, `conversation`, `judges`: what becomes of each frame;
//! - `login`: the login with the broker;
//! - `condition`: what is known of a connection;
//! - `relay`: the frames' way;
//! - `door`: the port for amqprs.

use std::{
    io,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use amqprs::{
    connection::{Connection, OpenConnectionArguments},
    error::Error as AmqprsError,
};
use thiserror::Error;
use tokio::time::timeout;

use self::{
    condition::Changing,
    door::{Door, USER},
    login::{Login, Tuned, log_in},
};
pub(in crate::rabbit) use self::{
    condition::Condition,
    login::{LoginError, Step},
};
use super::{
    dial::{Stream, dial},
    io_thread,
    url::RabbitUrl,
};

mod condition;
mod conversation;
mod door;
mod fault;
mod frames;
#[cfg(fuzzing)]
pub mod fuzzing;
mod judges;
mod kept;
mod login;
mod mend;
mod methods;
mod properties;
mod relay;
mod restore;
mod table;
#[cfg(test)]
mod tests;
mod wire;

/// How long amqprs may take to come to its port.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a connection to a host, on the thread of all connections.
///
/// # Cancel safety
///
/// Dropped, the connection is given up.
pub(super) async fn open(
    url: &RabbitUrl,
    password: &str,
    (host, port): (&str, u16),
    name: &str,
) -> Result<(Connection, Condition), OpenError> {
    let (url, password) = (url.clone(), password.to_owned());
    let (host, name) = (host.to_owned(), name.to_owned());
    let opening = io_thread::spawn(async move {
        let step = AtomicStep::new();
        let reached = timeout(
            url.connect_timeout,
            reach(&url, &password, (&host, port), &name, &step),
        );
        let (stream, tuned) = reached.await.map_err(|_| OpenError::TimedOut {
            step: step.get(),
            after: url.connect_timeout,
        })??;
        let (changing, condition) = Changing::new(name.clone());
        let client = timeout(CLIENT_TIMEOUT, take_over(stream, tuned, changing, &name));
        let connection = client.await.map_err(|_| OpenError::TimedOut {
            step: Step::Client,
            after: CLIENT_TIMEOUT,
        })??;
        Ok((connection, condition))
    });
    opening
        .await
        .unwrap_or_else(|panic| Err(OpenError::Panic(panic)))
}

/// Connects and logs in.
async fn reach(
    url: &RabbitUrl,
    password: &str,
    (host, port): (&str, u16),
    name: &str,
    step: &AtomicStep,
) -> Result<(Stream, Tuned), OpenError> {
    let mut stream = dial(url, host, port).await.map_err(OpenError::Dial)?;
    let login = Login {
        user: &url.user,
        password,
        vhost: &url.vhost,
        connection_name: name,
        heartbeat: url.heartbeat,
    };
    let tuned = log_in(&mut stream, &login, |now| step.set(now))
        .await
        .map_err(|error| OpenError::Login {
            step: step.get(),
            error,
        })?;
    Ok((stream, tuned))
}

/// Lets amqprs take over from the login.
async fn take_over(
    stream: Stream,
    tuned: Tuned,
    changing: Changing,
    name: &str,
) -> Result<Connection, OpenError> {
    let door = Door::open().await.map_err(OpenError::Port)?;
    let address = door.address();
    let host = match address {
        std::net::SocketAddr::V4(address) => address.ip().to_string(),
        std::net::SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    let mut arguments = OpenConnectionArguments::new(&host, address.port(), USER, door.secret());
    arguments.connection_name(name).heartbeat(u16::MAX);
    let serving = async {
        let client = door.let_in(tuned).await.map_err(OpenError::Port)?;
        tokio::spawn(relay::relay(client, stream, tuned, changing));
        Ok(())
    };
    let opening = async {
        Connection::open(&arguments)
            .await
            .map_err(OpenError::Client)
    };
    let ((), connection) = tokio::try_join!(serving, opening)?;
    Ok(connection)
}

/// Why there is no connection to a host.
#[derive(Debug, Error)]
pub(super) enum OpenError {
    #[error("{0}")]
    Dial(#[source] io::Error),
    #[error("{error}")]
    Login { step: Step, error: LoginError },
    #[error("no answer within {after:?} {step}")]
    TimedOut { step: Step, after: Duration },
    #[error("this machine opens no port for the client: {0}")]
    Port(#[source] io::Error),
    #[error("the client does not come to its port: {0}")]
    Client(#[source] AmqprsError),
    #[error("the client ended in a panic: {0}")]
    Panic(#[source] tokio::task::JoinError),
}

/// The step that is under way, for whoever stops waiting.
struct AtomicStep(AtomicU8);

impl AtomicStep {
    const ALL: [Step; 5] = [
        Step::Dial,
        Step::Greeting,
        Step::Credentials,
        Step::VirtualHost,
        Step::Client,
    ];

    fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    fn set(&self, step: Step) {
        self.0.store(step as u8, Ordering::Relaxed);
    }

    fn get(&self) -> Step {
        Self::ALL[usize::from(self.0.load(Ordering::Relaxed))]
    }
}
