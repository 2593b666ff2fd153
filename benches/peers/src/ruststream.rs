//! RustStream on lapin.

use std::num::NonZeroU16;

use anyhow::Context;
use ploomby_benches::order::Order;
use ruststream_lapin::prelude::*;

use crate::Options;

// the queue of this name is replaced below: there, its name is known
#[subscriber(RabbitQueue::new("orders"))]
async fn take(order: &Order) -> HandlerOutcome {
    order.process();
    HandlerOutcome::ack()
}

pub(crate) async fn consume(options: Options) -> anyhow::Result<()> {
    let prefetch = NonZeroU16::new(options.prefetch).context("a prefetch of 0 is no limit")?;
    let broker = LapinBroker::new(options.url).prefetch(prefetch);
    let queue = RabbitQueue::new(options.queue);
    RustStream::new(AppInfo::new("orders", "0.1.0"))
        .with_broker(broker, |broker| {
            broker.include(take.map_source(|_| queue));
        })
        .run()
        .await?;
    Ok(())
}
