use std::convert::Infallible;

use ruststream_lapin::prelude::*;
use serde::Deserialize;

#[derive(Deserialize, MessageInfo)]
struct Order {
    items: u64,
}

#[derive(Clone)]
struct Prices {
    per_item: u64,
}

#[derive(FromRef)]
struct AppState {
    prices: Prices,
}

#[subscriber(RabbitQueue::new("orders"))]
async fn order(
    order: &Order,
    State(prices): State<Prices>,
    ctx: &mut Context<'_>,
) -> HandlerOutcome {
    let Some(tenant) = ctx.headers().get_str("tenant") else {
        return HandlerOutcome::drop();
    };
    println!("{tenant} owes {}", order.items * prices.per_item);
    HandlerOutcome::ack()
}

#[ruststream::app]
fn app() -> impl App {
    RustStream::new(AppInfo::new("orders", "0.1.0"))
        .on_startup(async move |()| {
            Ok::<_, Infallible>(AppState {
                prices: Prices { per_item: 25 },
            })
        })
        .with_broker(LapinBroker::new("amqp://localhost"), |b| {
            b.include(order);
        })
}
