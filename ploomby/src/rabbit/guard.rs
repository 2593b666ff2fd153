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
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
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
    login::{Login, Server, Tuned, log_in},
};
pub(in crate::rabbit) use self::{
    condition::{Condition, Ended},
    login::{LoginError, Step},
};
use super::{
    connector::Address,
    dial::{Stream, dial},
    io_thread,
    traffic::Traffic,
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

/// A connection of the client, and what is known of it.
pub(super) type Opened = (Connection, Condition);

/// Opens a connection to an address, on the thread of all connections.
///
/// # Cancel safety
///
/// Dropped, the connection is given up.
pub(super) async fn open(
    (url, password): (&RabbitUrl, &str),
    address: &Address,
    name: &str,
    (progress, traffic): (Arc<Progress>, Arc<Traffic>),
) -> Result<Opened, OpenError> {
    let (url, password) = (url.clone(), password.to_owned());
    let (address, name) = (address.clone(), name.to_owned());
    let opening = io_thread::spawn(async move {
        let reached = timeout(
            url.connect_timeout,
            reach((&url, &password), &address, &name, &progress),
        );
        let (stream, (tuned, server)) = reached.await.map_err(|_| OpenError::TimedOut {
            step: progress.get(),
            after: url.connect_timeout,
        })??;
        let (changing, condition) = Changing::new(name.clone());
        changing.set_server(server);
        let client = timeout(
            CLIENT_TIMEOUT,
            take_over(stream, tuned, (changing, traffic), &name),
        );
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
    (url, password): (&RabbitUrl, &str),
    address: &Address,
    name: &str,
    progress: &Progress,
) -> Result<(Stream, (Tuned, Server)), OpenError> {
    let dialled = dial(url, address, || progress.set(Step::Tls)).await;
    let mut stream = dialled.map_err(|error| OpenError::Dial {
        step: progress.get(),
        error,
    })?;
    let login = Login {
        user: &url.user,
        password,
        vhost: &url.vhost,
        connection_name: name,
        heartbeat: url.heartbeat,
        is_external: url.is_external,
    };
    let tuned = log_in(&mut stream, &login, |now| progress.set(now))
        .await
        .map_err(|error| OpenError::Login {
            step: progress.get(),
            error,
        })?;
    Ok((stream, tuned))
}

/// Lets amqprs take over from the login.
async fn take_over(
    stream: Stream,
    tuned: Tuned,
    notes: (Changing, Arc<Traffic>),
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
        tokio::spawn(relay::relay(client, stream, tuned, notes));
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
    #[error("{error}")]
    Dial { step: Step, error: io::Error },
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

/// The step that is under way, for whoever looks on.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    const ALL: [Step; 6] = [
        Step::Dial,
        Step::Tls,
        Step::Greeting,
        Step::Credentials,
        Step::VirtualHost,
        Step::Client,
    ];

    /// Whether somebody has taken the connection.
    pub(super) fn is_beyond_dialling(&self) -> bool {
        self.get() != Step::Dial
    }

    fn set(&self, step: Step) {
        self.0.store(step as u8, Ordering::Relaxed);
    }

    fn get(&self) -> Step {
        Self::ALL[usize::from(self.0.load(Ordering::Relaxed))]
    }
}
