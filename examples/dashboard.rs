//! The page of the admin server, with something to see: handlers that work, and that fail now and then.
//!
//! Run it, and open <http://127.0.0.1:9090>. `PLOOMBY_ADMIN` is another address for the page.

use std::{env, time::Duration};

use anyhow::ensure;
use ploomby::{App, Publisher, Queue, Retry, handler};
use tokio::time::{interval, sleep};

/// Takes the money for an order, by a bank that says no now and then.
#[handler("charge", queue = "billing")]
async fn charge(order: u32) -> anyhow::Result<()> {
    sleep(Duration::from_millis(u64::from(order % 40))).await;
    ensure!(order % 11 != 0, "the card of order {order} has expired");
    ensure!(
        order % 17 != 0,
        "the bank did not answer for order {order} within 3000 ms"
    );
    Ok(())
}

/// Tells customers what has become of their orders, on the second try.
#[handler("send_mail", queue = "mail", retry = Retry::fixed(2, Duration::from_secs(5)))]
async fn send_mail(to: &str) -> anyhow::Result<()> {
    sleep(Duration::from_millis(30)).await;
    ensure!(to.contains('@'), "`{to}` is no address");
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://dashboard".to_owned());
    let admin = env::var("PLOOMBY_ADMIN").unwrap_or_else(|_| "127.0.0.1:9090".to_owned());
    let running = App::new(url)
        .named("shop", env!("CARGO_PKG_VERSION"))
        .queue(Queue::new("billing"))
        .queue(Queue::new("mail"))
        .admin(&admin)
        .start()
        .await?;
    println!("open http://{admin} and end this by Ctrl-C");
    let producing = tokio::spawn(produce(running.publisher().await?));
    running.until_signal().await?;
    producing.abort();
    Ok(())
}

async fn produce(publisher: Publisher) -> anyhow::Result<()> {
    let mut every = interval(Duration::from_millis(50));
    for id in 1_u32.. {
        every.tick().await;
        publisher.send_to("billing", charge, &id).await?;
        let at = if id % 26 == 0 { " at " } else { "@" };
        publisher
            .send("mail", "send_mail", &format!("customer{id}{at}example.com"))
            .await?;
    }
    Ok(())
}
