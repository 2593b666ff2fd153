use std::time::Duration;

use ruststream::{nonzero, runtime::RETRY_COUNT_HEADER};
use ruststream_lapin::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize, Outgoing)]
#[outgoing(name = "payments")]
struct Payment {
    cents: u64,
}

#[subscriber(RabbitQueue::new("payments").delay(Delay::dlx_ttl()))]
async fn charge(payment: &Payment, ctx: &mut Context<'_>) -> HandlerOutcome {
    if payment.cents > 0 {
        return HandlerOutcome::ack();
    }
    let attempt = ctx.headers().get_str(RETRY_COUNT_HEADER);
    let attempt = attempt
        .and_then(|attempt| attempt.parse().ok())
        .unwrap_or(1);
    HandlerOutcome::retry_after(Duration::from_secs(1 << (attempt - 1)))
}

#[ruststream::app]
fn app() -> impl App {
    let broker = LapinBroker::new("amqp://localhost").declare_topology(true);
    RustStream::new(AppInfo::new("payments", "0.1.0")).with_broker(broker, |b| {
        b.include(charge)
            .max_attempts(nonzero!(5u32))
            .dead_letter("payments.dead")
            .out_retry(TransactionalPublish::default());
    })
}
