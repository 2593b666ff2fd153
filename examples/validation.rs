//! Payloads that are validated, and the dead letter of one that breaks the rules of its type. Nothing but
//! the rules is written: a payload that has some is validated before its handler is called.
//!
//! Runs on the broker inside the process, or on a RabbitMQ:
//!
//! ```sh
//! cargo run --example validation
//! PLOOMBY_URL=amqp://guest:guest@localhost:5672 cargo run --example validation
//! ```

use garde::Validate;
use ploomby::{App, HandlerRegistry, KeySource, Message, Properties, Publisher, Queue, Reason};
use serde::Deserialize;
use tokio::sync::Notify;

#[derive(Deserialize, Validate)]
struct Order {
    #[garde(length(min = 1, max = 100))]
    customer: String,
    #[garde(length(min = 1), dive)]
    items: Vec<Item>,
}

#[derive(Deserialize, Validate)]
struct Item {
    #[garde(ascii, length(min = 3))]
    article: String,
    #[garde(range(min = 1, max = 1000))]
    count: u32,
}

/// It is called with orders that keep the rules, and with no others.
#[ploomby::handler("order_placed")]
async fn order_placed(order: Order) {
    println!("{} orders", order.customer);
    for Item { article, count } in order.items {
        println!("  {count} of {article}");
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://validation".to_owned());

    let app = App::new(&url)
        .queue(Queue::new("validation").key(KeySource::header("task_name")))
        .start()
        .await?;
    publish(&url).await?;
    show_dead_letter(&url).await?;
    app.shut_down().await?;
    Ok(())
}

async fn publish(url: &str) -> anyhow::Result<()> {
    let publisher = Publisher::connect(url).await?;
    for body in [
        r#"{"customer": "Ada", "items": [{"article": "lamp", "count": 2}]}"#,
        r#"{"customer": "", "items": [{"article": "lamp", "count": 0}]}"#,
    ] {
        let message = Message::new(body).with_header("task_name", "order_placed")?;
        publisher.publish("validation", message).await?;
    }
    publisher.close().await;
    Ok(())
}

static SHOWN: Notify = Notify::const_new();

/// The header `ploomby-error` of the dead letter names each field.
async fn show_dead_letter(url: &str) -> anyhow::Result<()> {
    let show = |properties: Properties| async move {
        let error = properties.headers().text("ploomby-error").unwrap_or("?");
        println!("validation_dlq: {error}");
        SHOWN.notify_one();
    };
    let dead_letters = App::new(url)
        .handlers(HandlerRegistry::new().register(Reason::Invalid.as_str(), show))
        .queue(
            Queue::new("validation_dlq")
                .key(KeySource::header("ploomby-reason"))
                .dead_letter_queue("validation_not_shown"),
        )
        .start()
        .await?;
    SHOWN.notified().await;
    dead_letters.shut_down().await?;
    Ok(())
}
