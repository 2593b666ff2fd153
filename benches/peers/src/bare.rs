//! lapin alone.

use anyhow::Context;
use futures_util::{FutureExt, StreamExt};
use lapin::{
    Connection, ConnectionProperties, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use ploomby_benches::order::Order;

use crate::Options;

/// An awaited ack for each message.
pub(crate) async fn each(options: &Options) -> anyhow::Result<()> {
    let (_connection, mut deliveries) = open(options).await?;
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        handle(&delivery)?;
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

/// One ack for all that has come while the last were handled.
pub(crate) async fn at_hand(options: &Options) -> anyhow::Result<()> {
    let (_connection, mut deliveries) = open(options).await?;
    while let Some(delivery) = deliveries.next().await {
        let mut last = delivery?;
        handle(&last)?;
        while let Some(Some(delivery)) = deliveries.next().now_or_never() {
            last = delivery?;
            handle(&last)?;
        }
        last.ack(BasicAckOptions { multiple: true }).await?;
    }
    Ok(())
}

fn handle(delivery: &Delivery) -> anyhow::Result<()> {
    let order: Order = serde_json::from_slice(&delivery.data)?;
    order.process();
    Ok(())
}

async fn open(options: &Options) -> anyhow::Result<(Connection, Consumer)> {
    let connection = Connection::connect(&options.url, ConnectionProperties::default())
        .await
        .context("no connection")?;
    let channel = connection.create_channel().await?;
    channel
        .basic_qos(options.prefetch, BasicQosOptions::default())
        .await?;
    let queue = options.queue.as_str().into();
    let deliveries = channel
        .basic_consume(
            queue,
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok((connection, deliveries))
}
