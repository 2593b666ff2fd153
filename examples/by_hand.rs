//! Explicit registries, as in the Python library: no attribute, no `App`.
//!
//! ```sh
//! cargo run --example by_hand
//! PLOOMBY_URL=amqp://guest:guest@localhost:5672 cargo run --example by_hand
//! ```

use ploomby::{
    HandlerRegistry, KeySource, Message, MessageConsumerFactory, MessageConsumerRegistry,
    Publisher,
    extract::Key,
    memory::{MemoryConsumerFactory, MemoryOptions},
    rabbit::{RabbitConsumerFactory, RabbitOptions},
};
use serde::Deserialize;
use tokio::sync::Semaphore;

/// Counts the handled messages, so that the example knows when it is done.
static HANDLED: Semaphore = Semaphore::const_new(0);

#[derive(Deserialize)]
struct CreateUser {
    name: String,
}

async fn create_user(user: CreateUser) {
    println!("welcome, {}", user.name);
    HANDLED.add_permits(1);
}

async fn add((a, b): (u32, u32)) {
    println!("{a} + {b} = {}", a + b);
    HANDLED.add_permits(1);
}

async fn unknown(Key(key): Key) {
    println!("nobody handles {key}");
    HANDLED.add_permits(1);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let handlers = HandlerRegistry::new()
        .register("create_user", create_user)
        .register("add", add)
        .register_default(unknown);
    match std::env::var("PLOOMBY_URL") {
        Ok(url) => {
            let factory = RabbitConsumerFactory::new(&url)?;
            let options = RabbitOptions::new().prefetch(16);
            consume(&url, handlers, factory, options).await
        }
        Err(_) => {
            let url = "memory://by_hand";
            let factory = MemoryConsumerFactory::new(url)?;
            consume(url, handlers, factory, MemoryOptions::new().prefetch(16)).await
        }
    }
}

async fn consume<F: MessageConsumerFactory>(
    url: &str,
    handlers: HandlerRegistry,
    factory: F,
    options: F::Options,
) -> anyhow::Result<()> {
    let mut consumers = MessageConsumerRegistry::new(handlers, factory);
    consumers
        .register("by_hand", KeySource::MessageType, 2, options)
        .await?;

    let publisher = Publisher::connect(url).await?;
    let messages = [
        ("create_user", r#"{"name": "Ada"}"#),
        ("add", "[1, 2]"),
        ("subtract", "[2, 1]"),
    ];
    for (key, body) in messages {
        let properties = ploomby::Properties::new().with_message_type(key)?;
        let message = Message::new(body).with_properties(properties);
        publisher.publish("by_hand", message).await?;
    }
    publisher.close().await;

    let all = u32::try_from(messages.len())?;
    HANDLED.acquire_many(all).await?.forget();
    consumers.disconnect_consumers().await?;
    Ok(())
}
