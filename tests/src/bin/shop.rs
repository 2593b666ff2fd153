//! The program of `docs/operations.md`: it charges orders, by a bank that may be down.
//!
//! `SHOP_AMQP` says where the broker is, `SHOP_BANK` what becomes of what the bank is asked for: `down`, `gone` where not
//! even a connection is made, else it is well. `SHOP_AT_ONCE` says how many orders are charged at the same time.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, ensure};
use ploomby::extract::State;
use ploomby::{App, Publisher, Queue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Order {
    id: u32,
    cents: u32,
}

#[derive(Clone)]
struct Bank {
    is_down: bool,
}

impl Bank {
    async fn connect() -> anyhow::Result<Self> {
        let state = env::var("SHOP_BANK").unwrap_or_default();
        ensure!(state != "gone", "the bank lets nobody in");
        Ok(Self {
            is_down: state == "down",
        })
    }
}

/// Takes the money for an order.
#[ploomby::handler("charge", timeout = "10s")]
async fn charge(order: Order, State(bank): State<Bank>) -> anyhow::Result<()> {
    if order.cents == 0 {
        bail!("order {} costs nothing", order.id);
    }
    if bank.is_down {
        bail!(
            "cannot reach the bank for order {}: 10.0.0.7:443 timed out",
            order.id
        );
    }
    println!("charged {}", order.id);
    Ok(())
}

/// What a refund is answered with.
#[derive(Serialize)]
struct Refund {
    order: u32,
}

/// Pays an order back, and tells the customer.
#[ploomby::handler("refund", retry = 1)]
async fn refund(order: u32, publisher: Publisher) -> anyhow::Result<Refund> {
    let mail = publisher.to("mail").key("refunded").payload(&order);
    // where nobody sends mails, nobody is told
    mail.allow_unroutable().send().await?;
    println!("refunded {order}");
    Ok(Refund { order })
}

#[tokio::main]
async fn main() -> ExitCode {
    let url = env::var("SHOP_AMQP").unwrap_or_else(|_| "amqp://localhost".to_owned());
    let at_once = env::var("SHOP_AT_ONCE")
        .ok()
        .and_then(|number| number.parse().ok());
    let at_once: usize = at_once.unwrap_or(64);
    App::new(url)
        .named("shop", "1.4.0")
        .state_with(Bank::connect)
        .queue(Queue::new("billing").concurrency(at_once))
        .shutdown_deadline(Duration::from_secs(5))
        .main()
        .await
}
