//! Takes messages out of a queue that amqprs cannot read.
//!
//! RabbitMQ carries any bytes as text, and tables and arrays inside of each other to any depth.
//! amqprs gives up the connection on text that is not UTF-8, and overflows the stack on nesting
//! that is too deep. Such a message would come back after each reconnect and stop its queue for
//! ever. So a client of our own, which reads no message's properties, looks at the head of the
//! queue, and copies such messages to the dead-letter queue, byte for byte, with the reason added.
//! The others go back to their places.
//!
//! It looks where there is cause to: when connections die young without a word of the broker. A look
//! has a price: what it saw counts as redelivered, and in a quorum queue as one more delivery.
//!
//! # Layout
//!
//! - `wire`: frames, and the bytes in them;
//! - `client`: the few methods of AMQP that this takes;
//! - `properties`, `table`: properties and headers, cut into their fields;
//! - `check`: whether amqprs can read a message;
//! - `copy`: the properties of the copy.

use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;
use tracing::{error, warn};

use self::{
    client::{Client, ClientError, Login, RawMessage},
    copy::{CopyError, Note},
};
use super::{
    connection::SharedConnection,
    dial::{Stream, dial},
    url::PasswordError,
};
use crate::{consumer::companions::Declared, settle::unix_seconds};

mod check;
mod client;
mod copy;
mod properties;
mod table;
#[cfg(test)]
mod tests;
mod wire;

/// How long one look may take, with all the copies that it leads to.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Moves the messages from the head of a queue that amqprs cannot read to its dead-letter queue,
/// and says how many there were. It looks at `most` messages that can be read.
///
/// # Errors
///
/// Not all may have been moved. Nothing is lost: a message is acknowledged once its copy is
/// confirmed.
///
/// # Cancel safety
///
/// Dropped at any point, the broker gives back what was not acknowledged. A copy may be there twice
/// then.
pub(super) async fn look(
    connection: &SharedConnection,
    queue: &str,
    dead_letters: Option<&Declared>,
    most: u32,
) -> Result<u32, QuarantineError> {
    timeout(TIMEOUT, async {
        let mut client = log_in(connection).await?;
        let mut parking = Parking {
            connection,
            queue,
            dead_letters,
            client: None,
        };
        let looked = look_with(&mut client, &mut parking, most).await;
        // also after an error: the broker would have to notice first that nobody is there
        let requeued = client.requeue_all().await;
        client.close().await;
        if let Some(client) = parking.client {
            client.close().await;
        }
        let parked = looked?;
        requeued?;
        Ok(parked)
    })
    .await
    .map_err(|_| QuarantineError::TimedOut)?
}

async fn look_with(
    client: &mut Client<Stream>,
    parking: &mut Parking<'_>,
    most: u32,
) -> Result<u32, QuarantineError> {
    let (mut parked, mut passed) = (0, 0);
    while passed < most {
        let Some(message) = client.get(parking.queue).await? else {
            break;
        };
        match check::check(&message) {
            Ok(()) => passed += 1,
            Err(fault) => match parking.park(&message, &fault).await {
                Ok(Parked::Here) => {
                    client.ack(message.tag).await?;
                    parked += 1;
                }
                Ok(Parked::ByBroker) => {
                    client.reject(message.tag).await?;
                    parked += 1;
                }
                // the others can be moved all the same
                Err(QuarantineError::Copy(error)) => {
                    error!(queue = parking.queue, %error, "a message cannot be moved");
                    passed += 1;
                }
                Err(error) => return Err(error),
            },
        }
    }
    Ok(parked)
}

/// The way to the dead-letter queue.
///
/// It has a connection of its own: RabbitMQ stops reading from those that publish while it is short
/// of memory or disk, and what was only looked at must not wait behind that.
struct Parking<'a> {
    connection: &'a SharedConnection,
    queue: &'a str,
    /// `None` where the broker dead-letters by itself.
    dead_letters: Option<&'a Declared>,
    client: Option<Client<Stream>>,
}

/// Where a message went that cannot be read.
enum Parked {
    /// Its copy is in the dead-letter queue.
    Here,
    /// It is to be rejected.
    ByBroker,
}

impl Parking<'_> {
    async fn park(
        &mut self,
        message: &RawMessage,
        fault: &check::Fault,
    ) -> Result<Parked, QuarantineError> {
        let queue = self.queue;
        let Some(Declared {
            name: dead_letter_queue,
            ..
        }) = self.dead_letters
        else {
            warn!(queue, "rejected a message that cannot be read");
            return Ok(Parked::ByBroker);
        };
        let mut client = match self.client.take() {
            Some(client) => client,
            None => {
                let mut client = log_in(self.connection).await?;
                client.confirm_select().await?;
                client
            }
        };
        let note = Note {
            queue,
            exchange: &message.exchange,
            routing_key: &message.routing_key,
            error: &fault.to_string(),
            failed_at: unix_seconds(),
        };
        let room = client.room_for_properties();
        let copied = copy::dead_letter(&message.properties, self.connection.user(), &note, room);
        let published = match &copied {
            Ok(properties) => {
                client
                    .publish(dead_letter_queue, properties, &message.body)
                    .await
            }
            Err(_) => Ok(()),
        };
        self.client = Some(client);
        published?;
        copied?;
        // the fault quotes the message, which a log must not
        warn!(
            queue,
            dead_letter_queue, "dead-lettered a message that cannot be read"
        );
        Ok(Parked::Here)
    }
}

/// Logs in at the first host that lets us in.
async fn log_in(connection: &SharedConnection) -> Result<Client<Stream>, QuarantineError> {
    let url = connection.url();
    let password = url.password.read()?;
    let login = Login {
        user: &url.user,
        password: &password,
        vhost: &url.vhost,
        connection_name: &format!("{} (quarantine)", url.connection_name),
    };
    let mut failed = QuarantineError::TimedOut;
    for (host, port) in connection.hosts() {
        let opening = timeout(url.connect_timeout, async {
            let stream = dial(url, host, *port).await.map_err(ClientError::from)?;
            Client::open(stream, &login).await
        });
        match opening.await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(error)) => failed = error.into(),
            Err(_) => failed = QuarantineError::TimedOut,
        }
    }
    Err(failed)
}

/// Why the head of a queue was not looked at, or not all of it.
#[derive(Debug, Error)]
pub(super) enum QuarantineError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("the broker did not answer in time")]
    TimedOut,
}
