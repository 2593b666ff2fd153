//! What only RabbitMQ can show: refusals at startup, connections that die, and the broker's own
//! rules.

mod bindings;
mod channels;
mod consuming;
mod dead_letters;
mod distance;
mod health;
mod hosts;
mod odd_messages;
mod publisher;
mod publishing;
mod reasons;
mod recovery;
mod refused;
mod replies;
mod retries;
mod rights;
mod rpc;
mod shutdown;
mod slow_lines;
mod startup;
mod tls;

use ploomby_tests::{Proxy, rabbit};

/// The URL of a proxy before the broker of this process.
async fn proxied() -> (Proxy, String) {
    let rabbit = rabbit().await;
    let proxy = Proxy::before((rabbit.host().to_owned(), rabbit.port())).await;
    let url = format!("amqp://guest:guest@{}", proxy.address());
    (proxy, url)
}
