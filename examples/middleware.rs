//! Layers of `tower` around one handler, around a queue's handlers, and around all.
//!
//! Runs on the broker inside the process, or on a RabbitMQ:
//!
//! ```sh
//! cargo run --example middleware
//! PLOOMBY_URL=amqp://guest:guest@localhost:5672 cargo run --example middleware
//! ```

use std::time::Duration;

use ploomby::{
    Answer, App, Delivery, HandlerError, KeySource, Message, Publisher, Queue, extract::Extension,
    handler,
};
use tokio::{sync::Semaphore, time::Instant};
use tower::{
    ServiceBuilder,
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    timeout::TimeoutLayer,
    util::{MapRequestLayer, MapResultLayer},
};

/// Counts the messages that came to an end, so that the example knows when it is done.
static ENDED: Semaphore = Semaphore::const_new(0);

#[derive(Clone)]
struct Tenant(String);

/// Around a queue: each message comes to its handler with the tenant that it is for.
fn with_tenant(mut delivery: Delivery) -> Delivery {
    let tenant = delivery.headers().text("tenant").unwrap_or("nobody");
    let tenant = Tenant(tenant.to_owned());
    delivery.extensions_mut().insert(tenant);
    delivery
}

/// Around all: tells what failed, and lets it fail.
fn tell(result: Result<Answer, HandlerError>) -> Result<Answer, HandlerError> {
    if let Err(error) = &result {
        println!("failed, {}: {error}", error.reason());
    }
    ENDED.add_permits(1);
    result
}

/// One after the other, whatever the queue allows.
#[handler("bill", layer = ConcurrencyLimitLayer::new(1))]
async fn bill(Extension(Tenant(tenant)): Extension<Tenant>, cents: u64) {
    println!("{tenant} owes {cents}");
}

/// At most two in half a second. The others wait, and hold up no other handler.
#[handler("mail", layer = RateLimitLayer::new(2, Duration::from_millis(500)))]
async fn mail(Extension(Tenant(tenant)): Extension<Tenant>) {
    println!("mail for {tenant}");
}

/// Not done in time: it goes to the dead-letter queue as a timeout.
#[handler("wait")]
async fn wait() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://middleware".to_owned());

    // the first of a `ServiceBuilder` is outermost
    let of_the_queue = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(2)))
        .layer(MapRequestLayer::new(with_tenant));
    let app = App::new(&url)
        .queue(
            Queue::new("middleware")
                .key(KeySource::header("task_name"))
                .layer(of_the_queue),
        )
        .layer(MapResultLayer::new(tell))
        .start()
        .await?;

    let publisher = Publisher::connect(&url).await?;
    let begin = Instant::now();
    let messages = [
        ("wait", ""),
        ("bill", "250"),
        ("mail", ""),
        ("mail", ""),
        ("mail", ""),
    ];
    for (key, body) in messages {
        let message = Message::new(body)
            .with_header("task_name", key)?
            .with_header("tenant", "Ada")?;
        publisher.publish("middleware", message).await?;
    }
    publisher.close().await;

    ENDED
        .acquire_many(u32::try_from(messages.len())?)
        .await?
        .forget();
    println!("all done after {:?}", begin.elapsed());
    app.shut_down().await?;
    Ok(())
}
