use amqprs::{
    channel::{Channel, QueueDeclareArguments},
    error::Error,
};
use tokio::time::timeout;

use super::refusal::TopologyError;
use crate::rabbit::{
    connection::{CLOSE_TIMEOUT, Link, OpenChannel, SharedConnection},
    guard::Ended,
    session::events::{ChannelEvents, Closed},
};

/// How much there is in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(crate) ready: u32,
    pub(crate) consumers: u32,
}

/// Asks the broker one question after the other, over one channel. The broker answers what it does not like by closing
/// the channel, and the next question has another.
pub(in crate::rabbit) struct Asker<'a> {
    connection: &'a SharedConnection,
    channel: Option<(OpenChannel, ChannelEvents)>,
}

impl<'a> Asker<'a> {
    pub(in crate::rabbit) fn new(connection: &'a SharedConnection) -> Self {
        Self {
            connection,
            channel: None,
        }
    }

    /// What tells this broker from others that the process may be connected to.
    pub(super) fn broker(&self) -> String {
        let url = self.connection.url();
        format!("{:?} {}", url.hosts, url.vhost)
    }

    /// Declares a queue, or looks for it.
    pub(super) async fn declare(&mut self, declare: QueueDeclareArguments) -> Result<(), Fault> {
        self.ask(declare).await.map(|_| ())
    }

    /// The same. Says how much there is in the queue.
    pub(super) async fn ask(&mut self, declare: QueueDeclareArguments) -> Result<Depth, Fault> {
        let declared = self.ask_by(async |channel| channel.queue_declare(declare).await);
        let told = declared.await?;
        Ok(
            told.map_or_else(Depth::default, |(_, ready, consumers)| Depth {
                ready,
                consumers,
            }),
        )
    }

    /// Asks whatever a channel can be asked.
    pub(super) async fn ask_by<T>(
        &mut self,
        question: impl AsyncFnOnce(&Channel) -> Result<T, Error>,
    ) -> Result<T, Fault> {
        // not put back where the answer does not come, or not an answer
        let (open, events) = self.channel().await?;
        let link = &open.connection;
        let Ok(answer) = link.answer(question(&open.channel)).await else {
            self.connection.pass_over(link).await;
            return Err(TopologyError::NoAnswer(link.patience()).into());
        };
        match answer {
            Ok(answer) => {
                self.channel = Some((open, events));
                Ok(answer)
            }
            Err(error) => {
                let closed = events.closed().or_else(|| closed_for_all(link));
                self.connection
                    .pass_over_if_ill(link, closed.as_ref())
                    .await;
                Err(match closed {
                    Some(closed) => Fault::Refused(closed),
                    None => Fault::Other(TopologyError::lost(link, &error)),
                })
            }
        }
    }

    /// The connection that it asks over.
    pub(in crate::rabbit) fn connection(&self) -> &'a SharedConnection {
        self.connection
    }

    /// A channel that may have carried questions, and carries no more.
    pub(in crate::rabbit) async fn into_channel(
        mut self,
    ) -> Result<(OpenChannel, ChannelEvents), TopologyError> {
        self.channel().await
    }

    async fn channel(&mut self) -> Result<(OpenChannel, ChannelEvents), TopologyError> {
        if let Some(open) = self.channel.take() {
            return Ok(open);
        }
        let open = self.connection.channel().await?;
        match ChannelEvents::register(&open.channel).await {
            Ok(events) => Ok((open, events)),
            Err(error) => {
                // the connection has ended just now
                let link = &open.connection;
                self.connection.pass_over_if_ill(link, None).await;
                Err(TopologyError::lost(link, &error))
            }
        }
    }

    /// Closes the channel, if there is one.
    pub(in crate::rabbit) async fn close(self) {
        if let Some((open, _)) = self.channel {
            // the broker forgets the channel with the connection at the latest
            let _ = timeout(CLOSE_TIMEOUT, open.channel.close()).await;
        }
    }
}

/// The broker's words, if it has closed the whole connection over a question: RabbitMQ before 4.0 does so for a type of
/// exchanges that it does not know.
fn closed_for_all(link: &Link) -> Option<Closed> {
    match link.condition().ended() {
        Some(Ended::Closed { code, text }) if code == Closed::COMMAND_INVALID => {
            Some(Closed { code, text })
        }
        _ => None,
    }
}

/// Why one question has no good answer.
pub(super) enum Fault {
    Refused(Closed),
    Other(TopologyError),
}

impl Fault {
    /// The error, where `refused` says what the broker's refusal means.
    pub(super) fn told(self, refused: impl FnOnce(Closed) -> TopologyError) -> TopologyError {
        match self {
            Self::Refused(closed) => refused(closed),
            Self::Other(error) => error,
        }
    }
}

impl From<TopologyError> for Fault {
    fn from(error: TopologyError) -> Self {
        Self::Other(error)
    }
}
