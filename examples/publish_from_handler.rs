//! A handler that sends messages: it takes a `Publisher` like any other argument.
//!
//! What it sent is confirmed by the broker before its own message is acknowledged, so that a crash between
//! the two sends again and never loses.

use std::time::Duration;

use ploomby::{App, Publisher, Queue, handler};
use tokio::sync::Semaphore;

static SENT: Semaphore = Semaphore::const_new(0);

#[handler("sign_up", queue = "users")]
async fn sign_up(name: String, publisher: Publisher) -> anyhow::Result<()> {
    println!("{name} signed up");
    // a queue, the key of its handler, and the payload
    let welcome = format!("Welcome, {name}!");
    publisher.send("mails", "mail", &welcome).await?;

    // the same step by step; the delay is kept by the broker, and survives this program
    publisher
        .to("mails")
        .key("mail")
        .payload("How do you like it?")
        .header("campaign", "first-steps")
        .delay(Duration::from_secs(1))
        .send()
        .await?;
    Ok(())
}

#[handler("mail", queue = "mails")]
async fn mail(text: &str) {
    println!("{text}");
    SENT.add_permits(1);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url =
        std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://publish_from_handler".to_owned());
    let app = App::new(&url).queue(Queue::new("users"));
    let running = app.queue(Queue::new("mails")).start().await?;

    let publisher = running.publisher().await?;
    publisher.send("users", "sign_up", "Ada").await?;
    SENT.acquire_many(2).await?.forget();
    running.shut_down().await?;
    Ok(())
}

#[cfg(test)]
#[path = "tests/publish_from_handler.rs"]
mod tests;
