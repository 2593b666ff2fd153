//! Messages about the same account one after another, those about different ones in parallel.

use std::time::Duration;

use ploomby::{App, KeySource, Message, OrderBy, Publisher, Queue, handler};
use serde::Deserialize;
use tokio::{sync::Semaphore, time::sleep};

const TRANSFERS: u32 = 3;

static HANDLED: Semaphore = Semaphore::const_new(0);

#[derive(Deserialize)]
struct Transfer {
    account: String,
    number: u32,
}

/// Each takes less time than the one before it, and still no one is overtaken on its account.
#[handler("transfer", ordered_by = OrderBy::field("account"))]
async fn transfer(Transfer { account, number }: Transfer) {
    sleep(Duration::from_millis(100 / u64::from(number))).await;
    println!("{account}: transfer {number} of {TRANSFERS}");
    HANDLED.add_permits(1);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://ordering".to_owned());
    // `Queue::ordered_by` would order all handlers of the queue together
    let running = App::new(&url)
        .queue(Queue::new("transfers").key(KeySource::header("task_name")))
        .start()
        .await?;

    let publisher = Publisher::connect(&url).await?;
    for number in 1..=TRANSFERS {
        for account in ["Ada", "Grace"] {
            let body = serde_json::json!({ "account": account, "number": number });
            let transfer = Message::new(body.to_string()).with_header("task_name", "transfer")?;
            publisher.publish("transfers", transfer).await?;
        }
    }
    publisher.close().await;

    HANDLED.acquire_many(2 * TRANSFERS).await?.forget();
    running.shut_down().await?;
    Ok(())
}
