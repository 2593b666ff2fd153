//! Another source of messages, through the public traits alone: lines of JSON, from a file or from
//! standard input. The member `key` of each line names its handler, `payload` is for the handler.
//!
//! ```sh
//! echo '{"key": "greet", "payload": "Ada"}' | cargo run --example custom_consumer
//! cargo run --example custom_consumer -- lines.jsonl
//! ```

use std::{
    collections::BTreeMap,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ploomby::{
    Acknowledger, ConsumerError, DeliveryTag, Dispatcher, HandlerRegistry, KeySource, Message,
    MessageConsumer, MessageConsumerFactory, MessageConsumerRegistry,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    fs::File,
    io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines},
    sync::Notify,
    time::Instant,
};

#[ploomby::handler("greet")]
async fn greet(name: String) {
    println!("hello, {name}");
}

#[ploomby::handler("add")]
async fn add((a, b): (i64, i64)) -> anyhow::Result<()> {
    let sum = a
        .checked_add(b)
        .ok_or_else(|| anyhow::anyhow!("too large"))?;
    println!("{a} + {b} = {sum}");
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let name = file
        .as_ref()
        .map_or("-".into(), |file| file.to_string_lossy());
    let mut consumers = MessageConsumerRegistry::new(HandlerRegistry::linked(), JsonLines);
    consumers
        .register(&name, KeySource::MessageType, 1, LinesOptions)
        .await?;
    consumers.wait().await?;
    consumers.disconnect_consumers().await?;
    Ok(())
}

/// Makes consumers of lines: `listen_for` is a file's path, or `-` for standard input.
struct JsonLines;

struct LinesOptions;

impl MessageConsumerFactory for JsonLines {
    type Consumer = LinesConsumer;
    type Options = LinesOptions;

    fn create(&self, listen_for: &str, _: &LinesOptions) -> Result<LinesConsumer, ConsumerError> {
        Ok(LinesConsumer {
            path: listen_for.to_owned(),
            lines: None,
            unsettled: Arc::default(),
        })
    }
}

type Input = Pin<Box<dyn AsyncBufRead + Send>>;

struct LinesConsumer {
    path: String,
    lines: Option<Lines<Input>>,
    unsettled: Arc<Unsettled>,
}

impl MessageConsumer for LinesConsumer {
    async fn connect(&mut self, _: &Dispatcher) -> Result<(), ConsumerError> {
        let input: Input = match self.path.as_str() {
            "-" => Box::pin(BufReader::new(tokio::io::stdin())),
            path => Box::pin(BufReader::new(File::open(path).await?)),
        };
        self.lines = Some(input.lines());
        Ok(())
    }

    async fn consume(&mut self, dispatcher: Dispatcher) -> Result<(), ConsumerError> {
        let lines = self
            .lines
            .as_mut()
            .ok_or_else(|| ConsumerError::new("not connected"))?;
        // each delivery takes the memory of the last one, and is dispatched by this very task: the way
        // that ploomby's own consumers go
        let mut recycler = dispatcher.recycler();
        while let Some(line) = lines.next_line().await? {
            let (message, tag) = self.unsettled.take(line)?;
            dispatcher
                .dispatch_in_consume(recycler.delivery(message), tag, &self.unsettled)
                .await;
        }
        // what failed or was requeued comes again, until nothing is left
        while let Some((message, tag)) = self.unsettled.next().await {
            dispatcher
                .dispatch_in_consume(recycler.delivery(message), tag, &self.unsettled)
                .await;
        }
        Ok(())
    }

    async fn disconnect(&mut self) {
        for line in self.unsettled.lines() {
            eprintln!("not handled: {line}");
        }
    }
}

/// The messages that are with a handler, or wait for one again.
#[derive(Default)]
struct Unsettled {
    messages: Mutex<Messages>,
    changed: Notify,
}

#[derive(Default)]
struct Messages {
    running: BTreeMap<u64, (String, Message)>,
    /// Those that come again, with the time from which on.
    waiting: Vec<(Instant, u64)>,
    /// How many numbers were given.
    last: u64,
}

impl Unsettled {
    fn take(&self, line: String) -> Result<(Message, DeliveryTag), ConsumerError> {
        let message = message(&line)?;
        let tag = self.with(|messages| messages.add(line, message.clone()));
        Ok((message, DeliveryTag::new(tag)))
    }

    /// The next message to try again; `None` once all are settled.
    async fn next(&self) -> Option<(Message, DeliveryTag)> {
        loop {
            let changed = self.changed.notified();
            let (next, is_done) = self.with(|messages| {
                let next = messages.waiting.iter().min().copied();
                (next, messages.running.is_empty())
            });
            match next {
                None if is_done => return None,
                None => changed.await,
                Some((at, tag)) => {
                    // cancel safety: both are asked again
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = changed => continue,
                    }
                    let message = self.with(|messages| {
                        messages.waiting.retain(|(_, waiting)| *waiting != tag);
                        messages
                            .running
                            .get(&tag)
                            .map(|(_, message)| message.clone())
                    });
                    if let Some(message) = message {
                        return Some((message, DeliveryTag::new(tag)));
                    }
                }
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        self.with(|messages| {
            let running = messages.running.values();
            running.map(|(line, _)| line.clone()).collect()
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Messages) -> T) -> T {
        change(&mut self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Messages {
    fn add(&mut self, line: String, message: Message) -> u64 {
        self.last += 1;
        self.running.insert(self.last, (line, message));
        self.last
    }
}

impl Acknowledger for Unsettled {
    async fn ack(&self, tag: DeliveryTag) {
        self.with(|messages| messages.running.remove(&tag.get()));
        self.changed.notify_one();
    }

    async fn requeue(&self, tag: DeliveryTag) {
        self.with(|messages| messages.waiting.push((Instant::now(), tag.get())));
        self.changed.notify_one();
    }

    async fn retry(&self, copy: Message, delay: Duration) -> Result<(), ConsumerError> {
        let line = String::from_utf8_lossy(copy.body()).into_owned();
        self.with(|messages| {
            let tag = messages.add(line, copy);
            messages.waiting.push((Instant::now() + delay, tag));
        });
        Ok(())
    }

    async fn dead_letter(&self, copy: Message) -> Result<(), ConsumerError> {
        let text = |name| copy.headers().text(name).unwrap_or("?").to_owned();
        eprintln!(
            "not handled, {}: {}: {}",
            text("ploomby-reason"),
            text("ploomby-error"),
            String::from_utf8_lossy(copy.body()),
        );
        Ok(())
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    key: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// A line that is not of this form is a message without a key: it is dead-lettered as it is.
fn message(line: &str) -> Result<Message, ConsumerError> {
    Ok(match serde_json::from_str::<Line<'_>>(line) {
        Ok(Line { key, payload }) => {
            let properties = ploomby::Properties::new()
                .with_message_type(key)
                .map_err(ConsumerError::new)?;
            Message::new(payload.get().to_owned()).with_properties(properties)
        }
        Err(_) => Message::new(line.to_owned()),
    })
}
