//! Messages through the broker inside the process: from its queue through a handler to the
//! acknowledgement.

use std::{fmt, hint::black_box, str::FromStr, time::Duration};

use anyhow::{bail, ensure};
use ploomby::{
    App, HandlerRegistry, KeySource, Message, Properties, Queue, extract::RawBody,
    memory::MemoryBroker,
};
use serde::Deserialize;
use tower::{
    layer::util::Identity,
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    timeout::TimeoutLayer,
};

use crate::{meter::Countdown, order::KEY_HEADER};

const QUEUE: &str = "dispatch";
const DEAD_LETTERS: &str = "dispatch_dlq";
const REPLIES: &str = "dispatch_replies";
const WINDOW: u16 = 64;

/// It lies as what comes from a socket does: how fast it is checked for UTF-8 depends on that.
#[repr(align(16))]
struct Body([u8; 20]);

static BODY: Body = Body(*br#"{"x":1234,"y":-5678}"#);

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
    /// The same where each handler has a pattern, and each key fits one.
    Patterns(usize),
    /// The same as `Keys` where the key stands in the header, and in the body, where nobody looks.
    Beside(usize),
    /// The same as `Beside` where the key in the body counts.
    Fields(usize),
    /// JSON, with a layer around all handlers.
    Layer(Around),
    /// Its handler waits once, so that it goes on in a task of its own.
    Waits,
    /// Its handler fails, and the message goes to the dead letters.
    Fails,
    /// Its handler replies.
    Replies,
}

/// A layer of `tower`'s. None of them ever has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// One that does nothing.
    Identity,
    /// A limit of time.
    Timeout,
    /// A limit of calls at the same time.
    Concurrency,
    /// A limit of calls in a time.
    Rate,
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

#[ploomby::handler("waits")]
async fn waits(RawBody(body): RawBody) {
    tokio::task::yield_now().await;
    black_box(body.len());
    HANDLED.count();
}

#[ploomby::handler("fails")]
async fn fails(RawBody(body): RawBody) -> Result<(), std::fmt::Error> {
    black_box(body.len());
    HANDLED.count();
    Err(std::fmt::Error)
}

#[ploomby::handler("replies")]
async fn replies(RawBody(body): RawBody) -> usize {
    HANDLED.count();
    body.len()
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

    /// Publishes and handles the messages, a window of them at a time: no more are alive than in a
    /// program that keeps up, so that what an allocation costs is what it costs there.
    ///
    /// # Errors
    ///
    /// A message is not handled.
    pub async fn run(&self) -> anyhow::Result<()> {
        self.broker.declare_queue(QUEUE, [])?;
        self.broker.declare_queue(REPLIES, [])?;
        let mut app = App::new("memory://dispatch").queue(self.case.queue());
        match self.case {
            Case::Keys(_) | Case::Patterns(_) | Case::Beside(_) | Case::Fields(_) => {
                app = app.handlers(self.handlers());
            }
            Case::Layer(around) => app = around.put(app),
            Case::Publish | Case::Raw | Case::Json | Case::Waits | Case::Fails | Case::Replies => {}
        }
        let running = match self.case {
            Case::Publish => None,
            _ => Some(app.start().await?),
        };
        let mut keys = self.keys.iter().cycle();
        let mut left = self.messages;
        while left > 0 {
            let count = left.min(usize::from(WINDOW));
            HANDLED.start(count);
            for key in keys.by_ref().take(count) {
                let mut message = match self.case {
                    Case::Beside(_) | Case::Fields(_) => {
                        Message::new(format!(r#"{{"key":"{key}","x":1234,"y":-5678}}"#))
                    }
                    _ => Message::new(&BODY.0[..]),
                };
                if self.case == Case::Replies {
                    message = message.with_properties(Properties::new().with_reply_to(REPLIES)?);
                }
                let message = message.with_header(KEY_HEADER, key.as_str())?;
                self.broker.publish(QUEUE, message)?;
            }
            match running {
                Some(_) => HANDLED.done().await,
                None => {
                    self.broker.purge_queue(QUEUE)?;
                }
            }
            left -= count;
            // what handlers sent does not pile up
            match self.case {
                Case::Fails => self.broker.purge_queue(DEAD_LETTERS)?,
                _ => self.broker.purge_queue(REPLIES)?,
            };
        }
        if let Some(running) = running {
            running.shut_down().await?;
        }
        let left = self.broker.ready_count(QUEUE);
        ensure!(left == 0, "{left} messages were not acknowledged");
        Ok(())
    }

    /// One with each key.
    fn handlers(&self) -> HandlerRegistry {
        let register = |handlers: HandlerRegistry, key: &String| match self.case {
            Case::Patterns(_) => handlers.register_pattern(&key.replace(".eu.", ".*."), json),
            _ => handlers.register(key, json),
        };
        self.keys.iter().fold(HandlerRegistry::new(), register)
    }
}

impl Around {
    fn put(self, app: App) -> App {
        const LONG: Duration = Duration::from_secs(60);
        match self {
            Self::Identity => app.layer(Identity::new()),
            Self::Timeout => app.layer(TimeoutLayer::new(LONG)),
            Self::Concurrency => app.layer(ConcurrencyLimitLayer::new(usize::from(WINDOW))),
            Self::Rate => app.layer(RateLimitLayer::new(u64::MAX, LONG)),
        }
    }
}

impl Case {
    fn queue(self) -> Queue {
        let key = match self {
            Self::Fields(_) => KeySource::field("key"),
            _ => KeySource::header(KEY_HEADER),
        };
        let queue = Queue::new(QUEUE).key(key).prefetch(WINDOW);
        queue.dead_letter_queue(DEAD_LETTERS)
    }

    /// As long for each number of keys.
    fn keys(self) -> Vec<String> {
        match self {
            Self::Publish | Self::Raw => vec!["raw".to_owned()],
            Self::Json | Self::Layer(_) => vec!["json".to_owned()],
            Self::Waits => vec!["waits".to_owned()],
            Self::Fails => vec!["fails".to_owned()],
            Self::Replies => vec!["replies".to_owned()],
            Self::Keys(count) | Self::Beside(count) | Self::Fields(count) => {
                (0..count).map(|number| format!("{number:04}")).collect()
            }
            Self::Patterns(count) => (0..count)
                .map(|number| format!("{number:04}.eu.created"))
                .collect(),
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
            "waits" => Ok(Self::Waits),
            "fails" => Ok(Self::Fails),
            "replies" => Ok(Self::Replies),
            "layer-identity" => Ok(Self::Layer(Around::Identity)),
            "layer-timeout" => Ok(Self::Layer(Around::Timeout)),
            "layer-concurrency" => Ok(Self::Layer(Around::Concurrency)),
            "layer-rate" => Ok(Self::Layer(Around::Rate)),
            _ => {
                let named = text.split_once('-');
                let named = named.and_then(|(name, count)| Some((name, count.parse().ok()?)));
                match named.filter(|(_, count)| *count > 0) {
                    Some(("keys", count)) => Ok(Self::Keys(count)),
                    Some(("patterns", count)) => Ok(Self::Patterns(count)),
                    Some(("beside", count)) => Ok(Self::Beside(count)),
                    Some(("fields", count)) => Ok(Self::Fields(count)),
                    _ => bail!(
                        "CASE is publish, raw, json, waits, fails, replies, keys-, patterns-, beside- or fields- with a number \
                         behind, or layer- with identity, timeout, concurrency or rate"
                    ),
                }
            }
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish => f.write_str("publish"),
            Self::Raw => f.write_str("raw"),
            Self::Json => f.write_str("json"),
            Self::Waits => f.write_str("waits"),
            Self::Fails => f.write_str("fails"),
            Self::Replies => f.write_str("replies"),
            Self::Keys(count) => write!(f, "keys-{count}"),
            Self::Patterns(count) => write!(f, "patterns-{count}"),
            Self::Beside(count) => write!(f, "beside-{count}"),
            Self::Fields(count) => write!(f, "fields-{count}"),
            Self::Layer(Around::Identity) => f.write_str("layer-identity"),
            Self::Layer(Around::Timeout) => f.write_str("layer-timeout"),
            Self::Layer(Around::Concurrency) => f.write_str("layer-concurrency"),
            Self::Layer(Around::Rate) => f.write_str("layer-rate"),
        }
    }
}
