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

#[derive(Deserialize, Serialize)]
struct Parcel {
    order: u32,
    item: String,
}

static SENT: Semaphore = Semaphore::const_new(0);

#[handler("order", queue = "orders")]
async fn take(order: Order, publisher: Publisher) -> anyhow::Result<()> {
    println!("order {}: {} items", order.number, order.items.len());
    // in order, and in one round trip to the broker
    let parcels = order.items.into_iter().map(|item| {
        let parcel = Parcel {
            order: order.number,
            item,
        };
        publisher.to("parcels").key("parcel").payload(&parcel)
    });
    publisher.send_all(parcels).await?;
    Ok(())
}

#[handler("parcel", queue = "parcels", retry = 3)]
async fn pack(parcel: Parcel, publisher: Publisher) -> anyhow::Result<()> {
    println!("  packed {} of order {}", parcel.item, parcel.order);
    publisher.send("letters", "letter", &parcel.item).await?;
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
    let app = App::new(&url)
        .queue(Queue::new("orders"))
        .queue(Queue::new("parcels"))
        .queue(Queue::new("letters"))
        .start()
        .await?;

    let publisher = Publisher::connect(&url).await?;
    let order = Order {
        number: 7,
        items: vec!["tea".to_owned(), "milk".to_owned()],
    };
    publisher.send("orders", "order", &order).await?;
    publisher.close().await;

    SENT.acquire_many(2).await?.forget();
    app.shut_down().await?;
    Ok(())
}
