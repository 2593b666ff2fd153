//! From one queue to the next: each step is a handler that sends to the next one, and is acknowledged
//! once the broker has confirmed what it sent. A crash may do a step twice, and loses nothing.

use ploomby::{App, Publisher, Queue, handler};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

#[derive(Deserialize, Serialize)]
struct Order {
    number: u32,
    items: Vec<String>,
}

static SENT: Semaphore = Semaphore::const_new(0);

#[handler("order", queue = "orders", retry = 5)]
async fn take(order: Order, publisher: Publisher) -> anyhow::Result<()> {
    println!("order {}: {} items", order.number, order.items.len());
    // in order, and in one round trip to the broker
    let items = order.items.into_iter();
    let parcels = items.map(|item| publisher.to("parcels").handler(pack, &item));
    publisher.send_all(parcels).await?;
    Ok(())
}

#[handler("parcel", queue = "parcels", retry = 5)]
async fn pack(item: String, publisher: Publisher) -> anyhow::Result<()> {
    println!("  packed {item}");
    publisher.send_to("letters", tell, &item).await?;
    Ok(())
}

#[handler("letter", queue = "letters")]
async fn tell(item: String) {
    println!("    told the customer that {item} is on its way");
    SENT.add_permits(1);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://pipeline".to_owned());
    let queues = ["orders", "parcels", "letters"].map(Queue::new);
    let app = queues.into_iter().fold(App::new(&url), App::queue);
    let running = app.start().await?;

    let publisher = running.publisher().await?;
    let order = Order {
        number: 7,
        items: vec!["tea".to_owned(), "milk".to_owned()],
    };
    publisher.send_to("orders", take, &order).await?;
    SENT.acquire_many(2).await?.forget();
    running.shut_down().await?;
    Ok(())
}

#[cfg(test)]
#[path = "tests/pipeline.rs"]
mod tests;
