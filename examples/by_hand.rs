//! Explicit registries, as in the Python library: no attribute, no `App`.

use ploomby::{
    HandlerRegistry, KeySource, MessageConsumerRegistry, Publisher,
    extract::Key,
    memory::{MemoryConsumerFactory, MemoryOptions},
};
use serde::Deserialize;
use serde_json::json;
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

async fn unknown(Key(key): Key) {
    println!("nobody handles {key}");
    HANDLED.add_permits(1);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = "memory://by_hand";
    let handlers = HandlerRegistry::new()
        .register("create_user", create_user)
        .register_default(unknown);

    // with `RabbitConsumerFactory` and `RabbitOptions` it is a RabbitMQ
    let factory = MemoryConsumerFactory::new(url)?;
    let mut consumers = MessageConsumerRegistry::new(handlers, factory);
    let options = MemoryOptions::new().prefetch(16);
    consumers
        .register("by_hand", KeySource::MessageType, 2, options)
        .await?;

    let publisher = Publisher::connect(url).await?;
    publisher
        .send("by_hand", "create_user", &json!({"name": "Ada"}))
        .await?;
    publisher
        .send("by_hand", "delete_user", &json!({"name": "Ada"}))
        .await?;
    publisher.close().await;

    HANDLED.acquire_many(2).await?.forget();
    consumers.disconnect_consumers().await?;
    Ok(())
}
