//! Another source of messages, through the public traits alone: each line of the input is a key and a payload.
//!
//! ```sh
//! echo 'greet "Ada"' | cargo run --example custom_consumer
//! ```

use std::{sync::Arc, time::Duration};

use ploomby::{
    Acknowledger, ConsumerError, DeliveryTag, Dispatcher, HandlerRegistry, KeySource, Message,
    MessageConsumer, MessageConsumerFactory, MessageConsumerRegistry, Properties, handler,
};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[handler("greet")]
async fn greet(name: String) {
    println!("hello, {name}");
}

/// Makes the consumer, is the consumer, and settles: lines have nothing to be acknowledged at.
#[derive(Clone)]
struct Lines;

impl MessageConsumerFactory for Lines {
    type Consumer = Self;
    type Options = ();

    fn create(&self, _: &str, (): &()) -> Result<Self, ConsumerError> {
        Ok(Self)
    }
}

impl MessageConsumer for Lines {
    async fn connect(&mut self, _: &Dispatcher) -> Result<(), ConsumerError> {
        Ok(())
    }

    async fn consume(&mut self, dispatcher: Dispatcher) -> Result<(), ConsumerError> {
        let (mut lines, settles) = (BufReader::new(stdin()).lines(), Arc::new(Self));
        let (mut recycler, mut tag) = (dispatcher.recycler(), 0);
        while let Some(line) = lines.next_line().await? {
            tag += 1;
            let (key, payload) = line.split_once(' ').unwrap_or((&line, ""));
            let properties = Properties::new().with_message_type(key);
            let properties = properties.map_err(ConsumerError::new)?;
            let message = Message::new(payload.to_owned()).with_properties(properties);
            let (delivery, tag) = (recycler.delivery(message), DeliveryTag::new(tag));
            dispatcher
                .dispatch_in_consume(delivery, tag, &settles)
                .await;
        }
        Ok(())
    }

    async fn disconnect(&mut self) {}
}

impl Acknowledger for Lines {
    async fn ack(&self, _: DeliveryTag) {}
    async fn requeue(&self, _: DeliveryTag) {}

    async fn retry(&self, copy: Message, _: Duration) -> Result<(), ConsumerError> {
        self.dead_letter(copy).await // nowhere to wait
    }

    async fn dead_letter(&self, copy: Message) -> Result<(), ConsumerError> {
        let reason = copy.headers().text("ploomby-reason").unwrap_or("?");
        eprintln!("{reason}: {}", String::from_utf8_lossy(copy.body()));
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut consumers = MessageConsumerRegistry::new(HandlerRegistry::linked(), Lines);
    consumers
        .register("stdin", KeySource::MessageType, 1, ())
        .await?;
    consumers.wait().await?;
    consumers.disconnect_consumers().await?;
    Ok(())
}
