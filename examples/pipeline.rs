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

#[handler("order", queue = "orders", retry = 5)]
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

#[handler("parcel", queue = "parcels", retry = 5)]
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

#[cfg(test)]
mod tests {
    use ploomby::testing::{Run, TestApp, simulate};

    use super::*;

    const ITEMS: [&str; 3] = ["tea", "milk", "sugar"];

    async fn order(app: TestApp) -> Run {
        let app = app.start().await;
        let order = Order {
            number: 7,
            items: ITEMS.map(str::to_owned).to_vec(),
        };
        app.send("orders", "order", &order).await
    }

    #[ploomby::test]
    async fn each_item_of_an_order_is_packed_and_told(app: TestApp) {
        let run = order(app).await;
        run.handled("order").once();
        run.handled("parcel").times(3);
        run.handled("letter").times(3);
        assert_eq!(run.sent::<String>("letters").payloads(), ITEMS);
    }

    #[test]
    fn no_item_is_forgotten_whatever_goes_wrong() {
        simulate(0..50, async || {
            let run = order(TestApp::new()).await;
            // some may be told twice
            for item in ITEMS {
                let _ = run.sent::<String>("letters").with(&item.to_owned());
            }
        });
    }
}
