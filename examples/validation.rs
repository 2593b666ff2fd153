//! Payloads that are validated, and the dead letter of one that breaks the rules of its type. Nothing but
//! the rules is written: a payload that has some is validated before its handler is called.

use garde::Validate;
use ploomby::{App, KeySource, Properties, Queue, handler};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

static SHOWN: Notify = Notify::const_new();

#[derive(Deserialize, Serialize, Validate)]
struct Order {
    #[garde(length(min = 1, max = 100))]
    customer: String,
    #[garde(range(min = 1, max = 1000))]
    count: u32,
}

/// It is called with orders that keep the rules, and with no others.
#[handler("order_placed")]
async fn order_placed(Order { customer, count }: Order) {
    println!("{customer} orders {count}");
}

/// The header `ploomby-error` of the dead letter names each field.
#[handler("invalid", queue = "validation_dlq")]
async fn show(properties: &Properties) {
    let error = properties.headers().text("ploomby-error").unwrap_or("?");
    println!("validation_dlq: {error}");
    SHOWN.notify_one();
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://validation".to_owned());
    let letters = Queue::new("validation_dlq").key(KeySource::header("ploomby-reason"));
    let app = App::new(&url)
        .queue(Queue::new("validation"))
        .queue(letters.dead_letter_queue("validation_not_shown"));
    let running = app.start().await?;

    let publisher = running.publisher().await?;
    for (customer, count) in [("Ada", 2), ("", 0)] {
        let customer = customer.to_owned();
        let order = Order { customer, count };
        publisher.send("validation", "order_placed", &order).await?;
    }
    SHOWN.notified().await;
    running.shut_down().await?;
    Ok(())
}
