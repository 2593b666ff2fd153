use ploomby::{
    App, KeySource, Queue,
    extract::{Header, State},
};
use serde::Deserialize;

#[derive(Clone)]
struct Prices {
    per_item: u64,
}

#[derive(Deserialize)]
struct Tenant {
    tenant: String,
}

#[ploomby::handler("order")]
async fn order(items: u64, State(prices): State<Prices>, Header(from): Header<Tenant>) {
    println!("{} owes {}", from.tenant, items * prices.per_item);
}

#[tokio::main]
async fn main() -> Result<(), ploomby::Error> {
    App::new("amqp://localhost")
        .state(Prices { per_item: 25 })
        .queue(Queue::new("orders").key(KeySource::header("task_name")))
        .run()
        .await
}
