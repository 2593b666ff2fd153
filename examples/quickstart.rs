//! Handlers, a few messages for them, and the dead letter that becomes of a bad one.
//!
//! `PLOOMBY_URL=amqp://guest:guest@localhost:5672 cargo run --example quickstart` runs it on a RabbitMQ.

use ploomby::{App, KeySource, Properties, Queue, extract::RawBody, handler};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;

static SHOWN: Notify = Notify::const_new();

#[derive(Deserialize)]
struct CreateUser {
    name: String,
}

#[handler("create_user")]
async fn create_user(user: CreateUser) -> anyhow::Result<()> {
    println!("create_user: welcome, {}", user.name);
    Ok(())
}

/// A dead-letter queue is a queue: this handles what lands in it, by its reason.
#[handler("undecodable", queue = "quickstart_dlq")]
async fn show(RawBody(body): RawBody, properties: &Properties) {
    let error = properties.headers().text("ploomby-error").unwrap_or("?");
    println!("dead letter: {}: {error}", String::from_utf8_lossy(&body));
    SHOWN.notify_one();
}

fn app(url: &str) -> App {
    let letters = Queue::new("quickstart_dlq").key(KeySource::header("ploomby-reason"));
    App::new(url)
        .queue(Queue::new("quickstart"))
        .queue(letters.dead_letter_queue("quickstart_not_shown"))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://quickstart".to_owned());
    let running = app(&url).start().await?;

    let publisher = running.publisher().await?;
    for name in [json!("Ada"), json!("Grace"), json!(42)] {
        let user = json!({ "name": name });
        publisher.send("quickstart", "create_user", &user).await?;
    }
    SHOWN.notified().await;
    running.shut_down().await?;
    Ok(())
}

#[cfg(test)]
#[path = "tests/quickstart.rs"]
mod tests;
