//! Messages through the broker inside the process: from its queue through a handler to the
//! acknowledgement.

use std::{fmt, hint::black_box, str::FromStr};

use anyhow::{bail, ensure};
use ploomby::{
    App, HandlerRegistry, KeySource, Message, Queue, extract::RawBody, memory::MemoryBroker,
};
use serde::Deserialize;

use crate::{meter::Countdown, order::KEY_HEADER};

const QUEUE: &str = "dispatch";
const BODY: &str = r#"{"x":1234,"y":-5678}"#;

static HANDLED: Countdown = Countdown::new();

/// What is done with each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Published and nothing else. The others contain this work as well.
    Publish,
    /// Its handler takes the body as it is.
    Raw,
    /// Its handler takes two integers from JSON.
    Json,
    /// The same where so many handlers have a key each, and each gets as many messages.
    Keys(usize),
}

/// One round of a case.
#[derive(Debug)]
pub struct Round {
    case: Case,
    messages: usize,
    broker: MemoryBroker,
    /// Those of the messages, in turn.
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct Point {
    x: i64,
    y: i64,
}

#[ploomby::handler("json")]
async fn json(point: Point) {
    black_box(point.x + point.y);
    HANDLED.count();
}

#[ploomby::handler("raw")]
async fn raw(RawBody(body): RawBody) {
    black_box(body.len());
    HANDLED.count();
}

impl Round {
    /// A round of this case.
    #[must_use]
    pub fn new(case: Case, messages: usize) -> Self {
        Self {
            case,
            messages,
            broker: MemoryBroker::named("dispatch"),
            keys: case.keys(),
        }
    }

    /// Publishes the messages.
    ///
    /// # Errors
    ///
    /// The broker refuses one.
    pub fn publish(&self) -> anyhow::Result<()> {
        self.broker.declare_queue(QUEUE, [])?;
        for key in self.keys.iter().cycle().take(self.messages) {
            let message = Message::new(BODY).with_header(KEY_HEADER, key.as_str())?;
            self.broker.publish(QUEUE, message)?;
        }
        Ok(())
    }

    /// Handles what was published, from the start of the app to its end.
    ///
    /// # Errors
    ///
    /// A message is not handled.
    pub async fn handle(&self) -> anyhow::Result<()> {
        let mut app = App::new("memory://dispatch");
        match self.case {
            Case::Publish => {
                self.broker.purge_queue(QUEUE)?;
                return Ok(());
            }
            Case::Raw | Case::Json => {}
            Case::Keys(_) => app = app.handlers(self.handlers()),
        }
        HANDLED.start(self.messages);
        let running = app
            .queue(Queue::new(QUEUE).key(KeySource::header(KEY_HEADER)))
            .start()
            .await?;
        HANDLED.done().await;
        running.shut_down().await?;
        let left = self.broker.ready_count(QUEUE);
        ensure!(left == 0, "{left} messages were not acknowledged");
        Ok(())
    }

    /// One with each key.
    fn handlers(&self) -> HandlerRegistry {
        let register = |handlers: HandlerRegistry, key: &String| handlers.register(key, json);
        self.keys.iter().fold(HandlerRegistry::new(), register)
    }
}

impl Case {
    /// As long for each number of keys.
    fn keys(self) -> Vec<String> {
        match self {
            Self::Publish | Self::Raw => vec!["raw".to_owned()],
            Self::Json => vec!["json".to_owned()],
            Self::Keys(count) => (0..count).map(|number| format!("{number:04}")).collect(),
        }
    }
}

impl FromStr for Case {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "publish" => Ok(Self::Publish),
            "raw" => Ok(Self::Raw),
            "json" => Ok(Self::Json),
            _ => match text.strip_prefix("keys-").map(str::parse) {
                Some(Ok(count)) if count > 0 => Ok(Self::Keys(count)),
                _ => bail!("CASE is publish, raw, json, or keys- with a number behind"),
            },
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish => f.write_str("publish"),
            Self::Raw => f.write_str("raw"),
            Self::Json => f.write_str("json"),
            Self::Keys(count) => write!(f, "keys-{count}"),
        }
    }
}
