//! Another source of messages, through the public traits alone: each line of the input is a key and a payload.
//!
//! ```sh
//! echo 'greet "Ada"' | cargo run --example custom_consumer
//! ```

use ploomby::{HandlerRegistry, KeySource, MessageConsumerRegistry, handler};

mod lines;

#[handler("greet")]
async fn greet(name: String) {
    println!("hello, {name}");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut consumers = MessageConsumerRegistry::new(HandlerRegistry::linked(), lines::Lines);
    consumers
        .register("stdin", KeySource::MessageType, 1, ())
        .await?;
    consumers.wait().await?;
    consumers.disconnect_consumers().await?;
    Ok(())
}
