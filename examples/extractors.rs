//! Arguments beside the payload: what came with the message, and a type of your own.

use ploomby::{
    App, Delivery, Queue,
    extract::{Attempt, FromDelivery, Header, Rejection, State},
    handler,
};
use serde::Deserialize;
use tokio::sync::Notify;

static HANDLED: Notify = Notify::const_new();

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
        let tenant = delivery.headers().text("tenant");
        let none = || Rejection::dead_letter("there is no tenant");
        Ok(Self(tenant.ok_or_else(none)?.to_owned()))
    }
}

/// In any order, and each also as an `Option` or a `Result`.
#[handler("pay")]
async fn pay(
    State(shop): State<&'static str>, // given by `App::state`
    Tenant(tenant): Tenant,
    cents: u64, // the payload
    Header(Origin { source, hops }): Header<Origin>,
    Attempt(attempt): Attempt,
) {
    println!("{tenant} pays {cents} at {shop}, attempt {attempt}, from {source} {hops:?}");
    HANDLED.notify_one();
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://extractors".to_owned());
    let app = App::new(&url).state("the corner shop");
    let running = app.queue(Queue::new("payments")).start().await?;

    let publisher = running.publisher().await?;
    let sent = publisher.to("payments").handler(pay, &250);
    let sent = sent.header("tenant", "Ada").header("source", "web");
    sent.send().await?;
    HANDLED.notified().await;
    running.shut_down().await?;
    Ok(())
}
