//! Layers of `tower` around one handler, around a queue's handlers, and around all.

use std::time::Duration;

use ploomby::{Answer, App, Delivery, HandlerError, Queue, extract::Extension, handler};
use tokio::sync::Semaphore;
use tower::{
    ServiceBuilder,
    limit::ConcurrencyLimitLayer,
    timeout::TimeoutLayer,
    util::{MapRequestLayer, MapResultLayer},
};

static ENDED: Semaphore = Semaphore::const_new(0);

#[derive(Clone)]
struct Tenant(String);

/// Each message comes to its handler with the tenant that it is for.
fn with_tenant(mut delivery: Delivery) -> Delivery {
    let tenant = delivery.headers().text("tenant").unwrap_or("nobody");
    let tenant = Tenant(tenant.to_owned());
    delivery.extensions_mut().insert(tenant);
    delivery
}

/// Tells what came out, and hands it on.
fn tell(result: Result<Answer, HandlerError>) -> Result<Answer, HandlerError> {
    println!("{:?}", result.as_ref().map(|_| "done"));
    ENDED.add_permits(1);
    result
}

/// One after the other, whatever the queue allows.
#[handler("bill", layer = ConcurrencyLimitLayer::new(1))]
async fn bill(Extension(Tenant(tenant)): Extension<Tenant>, cents: u64) {
    println!("{tenant} owes {cents}");
    tokio::time::sleep(Duration::from_secs(cents)).await;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://middleware".to_owned());
    // the first of a `ServiceBuilder` is outermost
    let layers = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(2)))
        .layer(MapRequestLayer::new(with_tenant));
    let queue = Queue::new("bills").layer(layers);
    // around all queues
    let app = App::new(&url).layer(MapResultLayer::new(tell));
    let running = app.queue(queue).start().await?;

    let publisher = running.publisher().await?;
    for cents in [0, 60] {
        let bill = publisher.to("bills").key("bill").payload(&cents);
        bill.header("tenant", "Ada").send().await?;
    }
    ENDED.acquire_many(2).await?.forget();
    Ok(running.shut_down().await?)
}
