//! Arguments beside the payload: what the program gave, what came with the message, and a type of the
//! user's own.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ploomby::{
    App, Delivery, KeySource, Message, Publisher, Queue,
    extract::{Attempt, FromDelivery, Header, Key, Rejection, State},
    handler,
};
use serde::Deserialize;
use tokio::sync::Semaphore;

static HANDLED: Semaphore = Semaphore::const_new(0);

/// Shared by all handlers: `App::state` gives it.
#[derive(Clone, Default)]
struct Ledger(Arc<AtomicU64>);

#[derive(Deserialize)]
struct Payment<'m> {
    payer: &'m str,
    cents: u64,
}

/// Headers by name and type. What is missing or does not fit sends the message to the dead-letter
/// queue, unless the field is an `Option`.
#[derive(Deserialize)]
struct Origin {
    source: String,
    hops: Option<u32>,
}

/// An extractor: any type that knows how it is made from a delivery.
struct Tenant(String);

impl<'d> FromDelivery<'d> for Tenant {
    type Rejection = Rejection;

    async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Rejection> {
        match delivery.headers().text("tenant") {
            Some(tenant) => Ok(Self(tenant.to_owned())),
            None => Err(Rejection::dead_letter("the header `tenant` is missing")),
        }
    }
}

#[handler("pay")]
async fn pay(
    State(ledger): State<Ledger>,
    Tenant(tenant): Tenant,
    payment: Payment<'_>,
    Header(origin): Header<Origin>,
    Attempt(attempt): Attempt,
) {
    let sum = ledger.0.fetch_add(payment.cents, Ordering::Relaxed) + payment.cents;
    let Payment { payer, cents } = payment;
    println!("{tenant}: {payer} paid {cents}, attempt {attempt}, {sum} in all");
    println!(
        "  from {} after {} hops",
        origin.source,
        origin.hops.unwrap_or(0)
    );
    HANDLED.add_permits(1);
}

#[handler("ping", "pong")]
async fn ball(Key(key): Key, tenant: Option<Tenant>, delivery: &Delivery) {
    let tenant = tenant.map_or_else(|| "nobody".to_owned(), |Tenant(tenant)| tenant);
    println!("{key} by {tenant} from queue {}", delivery.queue());
    HANDLED.add_permits(1);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://extractors".to_owned());
    let running = App::new(&url)
        .state(Ledger::default())
        .queue(Queue::new("payments").key(KeySource::header("task_name")))
        .start()
        .await?;

    let publisher = Publisher::connect(&url).await?;
    let pay = Message::new(r#"{"payer": "Ada", "cents": 250}"#)
        .with_header("task_name", "pay")?
        .with_header("tenant", "lovelace")?
        .with_header("source", "web")?;
    publisher.publish("payments", pay).await?;
    let ping = Message::new("").with_header("task_name", "ping")?;
    publisher.publish("payments", ping).await?;

    publisher.close().await;

    HANDLED.acquire_many(2).await?.forget();
    running.shut_down().await?;
    Ok(())
}
