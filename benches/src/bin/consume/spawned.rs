//! amqprs alone, with a task for each message, as where handlers wait.

use std::sync::Arc;

use anyhow::Context;
use ploomby_benches::{order::Order, work};

use crate::{Options, bare::Bare};

pub(crate) async fn consume(options: &Options) -> anyhow::Result<()> {
    let mut bare = Bare::open(options, &options.queue).await?;
    let acks = Arc::new(bare.acks());
    while let Some(delivery) = bare.deliveries.recv().await {
        let acks = acks.clone();
        tokio::spawn(async move {
            let body = delivery.content.context("a delivery has a body")?;
            let order: Order = serde_json::from_slice(&body)?;
            work::do_it();
            work::wait().await;
            order.process();
            let deliver = delivery.deliver.context("a delivery has a tag")?;
            acks.send(deliver.delivery_tag(), false).await
        });
    }
    Ok(())
}
