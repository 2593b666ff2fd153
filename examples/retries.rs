//! Which failures are tried again, and what becomes of those that stay.

use std::time::Duration;

use anyhow::{anyhow, ensure};
use ploomby::{App, KeySource, Permanent, Properties, Queue, Retry, extract::Attempt, handler};
use tokio::sync::Semaphore;

static ENDED: Semaphore = Semaphore::const_new(0);

/// Three attempts, half a second apart. The third succeeds.
#[handler("flaky", retry = Retry::fixed(3, Duration::from_millis(500)))]
async fn flaky(Attempt(attempt): Attempt) -> anyhow::Result<()> {
    println!("flaky: attempt {attempt}");
    ensure!(attempt == 3, "the other side is busy");
    ENDED.add_permits(1);
    Ok(())
}

/// Fails each time. The pauses grow: about 100, 200 and 400 milliseconds.
#[handler("hopeless", retry = Retry::exponential(4).starting_at(Duration::from_millis(100)))]
async fn hopeless(Attempt(attempt): Attempt) -> anyhow::Result<()> {
    println!("hopeless: attempt {attempt}");
    Err(anyhow!("the other side is gone"))
}

/// What another attempt would not mend is not tried again.
#[handler("charge", retry = 5)]
async fn charge(cents: i64) -> anyhow::Result<()> {
    let cents = u64::try_from(cents).map_err(Permanent::new)?;
    println!("charge: {cents} charged");
    Ok(())
}

/// A dead-letter queue is a queue: this handles what lands in it.
#[handler(default, queue = "retries_dlq")]
async fn show(properties: &Properties) {
    let error = properties.headers().text("ploomby-error").unwrap_or("?");
    println!("given up: {error}");
    ENDED.add_permits(1);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://retries".to_owned());
    let letters = Queue::new("retries_dlq").key(KeySource::header("ploomby-reason"));
    let app = App::new(&url)
        .queue(Queue::new("retries"))
        .queue(letters.dead_letter_queue("retries_not_shown"));
    let running = app.start().await?;

    let publisher = running.publisher().await?;
    publisher.send("retries", "flaky", &()).await?;
    publisher.send("retries", "hopeless", &()).await?;
    publisher.send("retries", "charge", &-1).await?;
    ENDED.acquire_many(3).await?.forget();
    running.shut_down().await?;
    Ok(())
}
