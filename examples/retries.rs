//! Which failures are tried again, and what becomes of those that stay.
//!
//! Runs on the broker inside the process, or on a RabbitMQ:
//!
//! ```sh
//! cargo run --example retries
//! PLOOMBY_URL=amqp://guest:guest@localhost:5672 cargo run --example retries
//! ```

use std::time::Duration;

use anyhow::{anyhow, ensure};
use ploomby::{
    App, HandlerRegistry, KeySource, Message, Permanent, Properties, Publisher, Queue, Retry,
    Value,
    extract::{Attempt, Key},
};
use tokio::sync::Semaphore;

/// Counts the messages that came to an end, so that the example knows when it is done.
static ENDED: Semaphore = Semaphore::const_new(0);

/// Three attempts, half a second apart. The third succeeds.
#[ploomby::handler("flaky", retry = Retry::fixed(3, Duration::from_millis(500)))]
async fn flaky(Attempt(attempt): Attempt) -> anyhow::Result<()> {
    println!("flaky: attempt {attempt}");
    ensure!(attempt == 3, "the other side is busy");
    println!("flaky: done");
    ENDED.add_permits(1);
    Ok(())
}

/// Fails each time. The pauses grow: about 100, 200 and 400 milliseconds.
#[ploomby::handler("hopeless", retry = Retry::exponential(4).starting_at(Duration::from_millis(100)))]
async fn hopeless(Attempt(attempt): Attempt) -> anyhow::Result<()> {
    println!("hopeless: attempt {attempt}");
    Err(anyhow!("the other side is gone"))
}

/// What another attempt would not mend is not tried again.
#[ploomby::handler("charge", retry = 5)]
async fn charge(cents: i64) -> anyhow::Result<()> {
    println!("charge: {cents}");
    let cents = u64::try_from(cents).map_err(Permanent::new)?;
    println!("charge: {cents} charged");
    Ok(())
}

/// Is dropped after a fifth of a second, and not tried again: it has no `retry`.
#[ploomby::handler("slow", timeout = "200ms")]
async fn slow() {
    println!("slow: waiting for an answer");
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://retries".to_owned());

    let app = App::new(&url)
        .queue(Queue::new("retries").key(KeySource::header("task_name")))
        .start()
        .await?;
    let dead_letters = show_dead_letters(&url).await?;

    let publisher = Publisher::connect(&url).await?;
    for (key, body) in [
        ("flaky", ""),
        ("hopeless", ""),
        ("charge", "-1"),
        ("slow", ""),
    ] {
        let message = Message::new(body).with_header("task_name", key)?;
        publisher.publish("retries", message).await?;
    }
    publisher.close().await;

    ENDED.acquire_many(4).await?.forget();
    app.shut_down().await?;
    dead_letters.shut_down().await?;
    Ok(())
}

/// A dead-letter queue is a queue: this handles what lands in it.
async fn show_dead_letters(url: &str) -> anyhow::Result<ploomby::Running> {
    let show = |Key(key): Key, properties: Properties| async move {
        let headers = properties.headers();
        let attempts = match headers.get("ploomby-attempts") {
            Some(Value::I64(attempts)) => attempts,
            _ => 0,
        };
        println!(
            "retries_dlq: {key} after {attempts} attempts, {}: {}",
            headers.text("ploomby-reason").unwrap_or("?"),
            headers.text("ploomby-error").unwrap_or("?"),
        );
        ENDED.add_permits(1);
    };
    let app = App::new(url)
        .handlers(HandlerRegistry::new().register_default(show))
        .queue(
            Queue::new("retries_dlq")
                .key(KeySource::header("task_name"))
                .dead_letter_queue("retries_not_shown"),
        );
    Ok(app.start().await?)
}
