//! Handlers that run on a message that nobody settles.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

use super::{Letter, OpsError, replay, transfer};
use crate::{
    app::{App, Error},
    delivery::{Delivery, direct_name},
    dispatcher::{self, Dispatcher},
    message::Message,
    publisher::{Recorder, Unsent},
    settle::{Foreseen, ForeseenFate},
};

/// A program that is ready to run its handlers on messages that nobody settles. By [`App::rehearsal`].
pub struct Rehearsal {
    queues: Vec<Dispatcher>,
    recorder: Recorder,
}

/// What came of a message that nobody settled. In JSON its form has version 1.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Rehearsed {
    /// The version of this form.
    pub v: u32,
    /// The handler that ran; None if there is none for the message.
    pub handler: Option<&'static str>,
    /// What would become of the message.
    #[serde(flatten)]
    pub fate: Fate,
    /// The [`Reason`](crate::Reason) of its failure, as text.
    pub reason: Option<String>,
    /// The error with its causes.
    pub error: Option<String>,
    /// What would be sent to who asked.
    #[serde(serialize_with = "message_as_json")]
    pub reply: Option<Message>,
    /// What the handler would have sent by the [`Publisher`](crate::Publisher) that it takes, in its order.
    pub sends: Vec<WouldSend>,
    /// How long it took.
    #[serde(rename = "took_ms", serialize_with = "milliseconds")]
    pub took: Duration,
}

/// What would become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fate {
    /// It is done.
    Ack,
    /// It is done, and not worth more.
    Discard,
    /// It goes back to its queue at once.
    Requeue,
    /// It is tried again.
    #[non_exhaustive]
    Retry {
        /// After this time.
        #[serde(rename = "retry_in_ms", serialize_with = "milliseconds")]
        after: Duration,
    },
    /// It goes to the dead-letter queue.
    DeadLetter,
    /// It goes to where its queue's own dead-letter exchange leads.
    Reject,
    /// It stays in its queue until what its handler needs is there.
    Wait,
}

/// A message that a handler would have sent.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct WouldSend {
    /// The exchange; empty for the default one, whose routing keys are the names of queues.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// How long it would have waited first.
    #[serde(rename = "delay_ms", serialize_with = "optional_milliseconds")]
    pub delay: Option<Duration>,
    /// The message.
    #[serde(serialize_with = "one_message_as_json")]
    pub message: Message,
}

impl App {
    /// Makes the state of the program, for its handlers to run on messages that nobody settles, such as to see whether
    /// a letter would be handled now. The broker is not needed.
    ///
    /// The handler runs in earnest: what it does by its state, such as to a database, is done, and so is what a publisher
    /// or a client sends that the program made by itself. Only what it sends by the [`Publisher`](crate::Publisher) that
    /// it takes as an argument goes nowhere, and is in the result.
    ///
    /// ```standalone_crate
    /// use ploomby::{App, Publisher, Queue, ops::{Fate, ToHandler}};
    ///
    /// #[ploomby::handler("charge")]
    /// async fn charge(cents: u64, publisher: Publisher) -> anyhow::Result<u64> {
    ///     publisher.send("mail", "receipt", &cents).await?;
    ///     Ok(cents * 2)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// let app = || App::new("memory://rehearsal-example").queue(Queue::new("billing"));
    /// let message = app().ops()?.write(&ToHandler::new("billing", "charge", "100"))?;
    /// let rehearsed = app().rehearsal().await?.run("billing", message.message()).await?;
    /// assert_eq!(rehearsed.fate, Fate::Ack);
    /// assert_eq!(rehearsed.reply.expect("it returns a value").body(), "200");
    /// assert_eq!(rehearsed.sends[0].routing_key, "mail");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Handlers that are not in order, and state that cannot be made.
    pub async fn rehearsal(self) -> Result<Rehearsal, Error> {
        let recorder = Recorder::default();
        let queues = self.dispatchers(&recorder).await?;
        Ok(Rehearsal { queues, recorder })
    }
}

impl Rehearsal {
    /// Runs the handler of a message that came by this queue: with its layers, and within its timeout. A message that
    /// asks for no reply is as one that does.
    ///
    /// # Errors
    ///
    /// A queue that the program does not have.
    pub async fn run(&self, queue: &str, message: &Message) -> Result<Rehearsed, OpsError> {
        self.run_routed(queue, None, message).await
    }

    async fn run_routed(
        &self,
        queue: &str,
        address: Option<(&str, &str)>,
        message: &Message,
    ) -> Result<Rehearsed, OpsError> {
        let is_meant = |dispatcher: &&Dispatcher| dispatcher.listen_for() == queue;
        let Some(dispatcher) = self.queues.iter().find(is_meant) else {
            let names = self
                .queues
                .iter()
                .map(|queue| format!("`{}`", queue.listen_for()));
            let names = names.collect::<Vec<_>>().join(", ");
            return Err(OpsError::NoQueue(queue.to_owned(), names));
        };
        self.recorder.take();
        let (exchange, routing_key) = address.unwrap_or(("", queue));
        let delivery = Delivery::new(asking(message)).routed(exchange, routing_key);
        let rehearsed = dispatcher.rehearse(delivery).await;
        Ok(self.told(rehearsed))
    }

    /// The same for a letter, as if it was replayed.
    ///
    /// # Errors
    ///
    /// A queue that the program does not have.
    pub async fn run_letter(&self, queue: &str, letter: &Letter) -> Result<Rehearsed, OpsError> {
        let message = replay::message_of(letter, 0, "").map_err(OpsError::broker)?;
        self.run_routed(queue, letter.address(), &message).await
    }

    fn told(&self, rehearsed: dispatcher::Rehearsed) -> Rehearsed {
        let foreseen = rehearsed.foreseen.unwrap_or(Foreseen {
            fate: ForeseenFate::Requeued,
            reply: None,
            failure: None,
        });
        let fate = match foreseen.fate {
            _ if rehearsed.unavailable.is_some() => Fate::Wait,
            ForeseenFate::Acknowledged => Fate::Ack,
            ForeseenFate::Discarded => Fate::Discard,
            ForeseenFate::Requeued => Fate::Requeue,
            ForeseenFate::Retried(after) => Fate::Retry { after },
            ForeseenFate::DeadLettered => Fate::DeadLetter,
            ForeseenFate::Rejected => Fate::Reject,
        };
        let failure = foreseen.failure.as_ref();
        let error = failure.map(|failure| failure.text.clone());
        Rehearsed {
            v: 1,
            handler: rehearsed.handler,
            fate,
            reason: failure.map(|failure| failure.reason.as_str().to_owned()),
            error: error.or(rehearsed.unavailable),
            reply: foreseen.reply,
            sends: self.recorder.take().into_iter().map(sent).collect(),
            took: rehearsed.took,
        }
    }
}

/// The same message, from somebody who waits for a reply.
fn asking(message: &Message) -> Message {
    let (properties, body) = message.clone().into_parts();
    let asking = match properties.reply_to() {
        Some(_) => Ok(properties),
        None => properties.clone().with_reply_to(&direct_name(0)),
    };
    // the name is one that AMQP can carry
    let properties = asking.unwrap_or_default();
    Message::new(body).with_properties(properties)
}

fn sent(Unsent { message, delay }: Unsent) -> WouldSend {
    WouldSend {
        exchange: message.exchange,
        routing_key: message.routing_key,
        delay,
        message: message.message,
    }
}

fn message_as_json<S: Serializer>(
    message: &Option<Message>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    message.as_ref().map(transfer::parts).serialize(serializer)
}

fn one_message_as_json<S: Serializer>(message: &Message, serializer: S) -> Result<S::Ok, S::Error> {
    transfer::parts(message).serialize(serializer)
}

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    (time.as_secs_f64() * 1_000.0).serialize(serializer)
}

fn optional_milliseconds<S: Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64() * 1_000.0)
        .serialize(serializer)
}

impl fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues = self.queues.iter().map(Dispatcher::listen_for);
        f.debug_struct("Rehearsal")
            .field("queues", &queues.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
