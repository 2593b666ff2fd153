//! The page of the admin server, with something to see: handlers that work, that fail, and that need a moment.
//!
//! ```sh
//! cargo run --example dashboard
//! ```
//!
//! Then open <http://127.0.0.1:9090>. It runs on the broker inside the process, or on a RabbitMQ at `PLOOMBY_URL`;
//! `PLOOMBY_ADMIN` is another address for the page.

use std::{env, time::Duration};

use anyhow::{bail, ensure};
use ploomby::{App, Publisher, Queue, Retry};
use serde::{Deserialize, Serialize};
use tokio::time::{interval, sleep};

#[derive(Serialize, Deserialize)]
struct Order {
    id: u32,
    cents: u32,
    card: String,
}

/// Takes the money for an order, by a bank that says no now and then.
#[ploomby::handler("charge", queue = "billing")]
async fn charge(order: Order) -> anyhow::Result<()> {
    sleep(Duration::from_millis(u64::from(order.id % 40))).await;
    ensure!(
        order.id % 11 != 0,
        "the card of order {} has expired",
        order.id
    );
    if order.id % 17 == 0 {
        bail!(
            "the bank did not answer for order {} within 3000 ms",
            order.id
        );
    }
    Ok(())
}

/// Pays an order back, on the second try.
#[ploomby::handler("refund", queue = "billing", retry = 3)]
async fn refund(order: Order) -> anyhow::Result<()> {
    ensure!(
        order.id % 3 != 0,
        "the account of order {} is locked",
        order.id
    );
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Mail {
    to: String,
    subject: String,
}

/// Tells customers what has become of their orders.
#[ploomby::handler("send_mail", queue = "mail", concurrency = 4)]
async fn send_mail(mail: Mail) -> anyhow::Result<()> {
    sleep(Duration::from_millis(30)).await;
    ensure!(mail.to.contains('@'), "`{}` is no address", mail.to);
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let url = env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://dashboard".to_owned());
    let admin = env::var("PLOOMBY_ADMIN").unwrap_or_else(|_| "127.0.0.1:9090".to_owned());
    let running = App::new(url)
        .named("shop", env!("CARGO_PKG_VERSION"))
        .queue(Queue::new("billing").retry(Retry::fixed(1, Duration::from_secs(5))))
        .queue(Queue::new("mail"))
        .admin(admin)
        .start()
        .await?;
    if let Some(address) = running.admin_address() {
        println!("open http://{address} and end this by Ctrl-C");
    }
    let producing = tokio::spawn(produce(running.publisher().await?));
    running.until_signal().await?;
    producing.abort();
    Ok(())
}

/// Sends orders and mails until it is dropped.
async fn produce(publisher: Publisher) -> anyhow::Result<()> {
    let mut every = interval(Duration::from_millis(50));
    for id in 1.. {
        every.tick().await;
        let order = Order {
            id,
            cents: 100 + id % 900,
            card: format!("**** {:04}", id % 10_000),
        };
        let key = if id % 5 == 0 { "refund" } else { "charge" };
        publisher.send("billing", key, &order).await?;
        if id % 2 == 0 {
            let at = if id % 26 == 0 { " at " } else { "@" };
            let mail = Mail {
                to: format!("customer{id}{at}example.com"),
                subject: format!("Order {id}"),
            };
            publisher.send("mail", "send_mail", &mail).await?;
        }
        if id % 60 == 0 {
            // of a program that nobody has told of the new key
            publisher.send("mail", "send_letter", &id).await?;
        }
    }
    Ok(())
}
