//! Another source of messages, through the public traits alone: lines of JSON, from a file or from
//! standard input. The member `key` of each line names its handler, `payload` is for the handler.
//!
//! ```sh
//! echo '{"key": "greet", "payload": "Ada"}' | cargo run --example custom_consumer
//! cargo run --example custom_consumer -- lines.jsonl
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use ploomby::{
    Acknowledger, ConsumerError, Delivery, DeliveryTag, Dispatcher, HandlerRegistry, KeySource,
    Message, MessageConsumer, MessageConsumerFactory, MessageConsumerRegistry,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    fs::File,
    io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines},
    sync::Notify,
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
    async fn connect(&mut self) -> Result<(), ConsumerError> {
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
        let mut number = 0;
        while let Some(line) = lines.next_line().await? {
            number += 1;
            let delivery = self.unsettled.take(number, line)?;
            dispatcher.dispatch(delivery, &self.unsettled).await;
        }
        // what was requeued comes again, until nothing is left
        while let Some(delivery) = self.unsettled.requeued().await? {
            dispatcher.dispatch(delivery, &self.unsettled).await;
        }
        Ok(())
    }

    async fn disconnect(&mut self) {
        for line in self.unsettled.lines() {
            eprintln!("not handled: {line}");
        }
    }
}

/// The lines that are with a handler, or wait for one again.
#[derive(Default)]
struct Unsettled {
    lines: Mutex<Requeueable>,
    settled: Notify,
}

#[derive(Default)]
struct Requeueable {
    running: BTreeMap<u64, String>,
    requeued: VecDeque<u64>,
}

impl Unsettled {
    fn take(&self, number: u64, line: String) -> Result<Delivery, ConsumerError> {
        let delivery = delivery(number, &line)?;
        self.with(|lines| lines.running.insert(number, line));
        Ok(delivery)
    }

    /// The next line to try again; `None` once all are settled.
    async fn requeued(&self) -> Result<Option<Delivery>, ConsumerError> {
        loop {
            let settled = self.settled.notified();
            let next = self.with(|lines| {
                let number = lines.requeued.pop_front();
                (
                    number.and_then(|number| Some((number, lines.running.get(&number)?.clone()))),
                    lines.running.is_empty(),
                )
            });
            match next {
                (Some((number, line)), _) => {
                    return Ok(Some(delivery(number, &line)?.redelivered()));
                }
                (None, true) => return Ok(None),
                (None, false) => settled.await,
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        self.with(|lines| lines.running.values().cloned().collect())
    }

    fn with<T>(&self, change: impl FnOnce(&mut Requeueable) -> T) -> T {
        change(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Acknowledger for Unsettled {
    async fn ack(&self, tag: DeliveryTag) {
        self.with(|lines| lines.running.remove(&tag.get()));
        self.settled.notify_one();
    }

    async fn requeue(&self, tag: DeliveryTag) {
        self.with(|lines| lines.requeued.push_back(tag.get()));
        self.settled.notify_one();
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
fn delivery(number: u64, line: &str) -> Result<Delivery, ConsumerError> {
    let message = match serde_json::from_str::<Line<'_>>(line) {
        Ok(Line { key, payload }) => {
            let properties = ploomby::Properties::new()
                .message_type(key)
                .map_err(ConsumerError::new)?;
            Message::new(payload.get().to_owned()).with_properties(properties)
        }
        Err(_) => Message::new(line.to_owned()),
    };
    Ok(Delivery::new(message, DeliveryTag::new(number)))
}
