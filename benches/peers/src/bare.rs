//! lapin alone, in the manners that programs acknowledge.

use std::{future::pending, iter};

use anyhow::{Context, ensure};
use futures_util::{FutureExt, StreamExt, future::try_join_all};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use ploomby_benches::{order::Order, work};
use tokio::task::JoinSet;

use crate::Options;

/// An awaited ack for each message.
pub(crate) async fn each(options: &Options) -> anyhow::Result<()> {
    let connection = connect(options).await?;
    let mut tasks = JoinSet::new();
    for queue in iter::repeat_n(&options.queue, options.consumers) {
        let (_, deliveries) = open(&connection, options, queue).await?;
        tasks.spawn(each_of(deliveries, work::do_it));
    }
    if let Some(light) = &options.light {
        let (_, deliveries) = open(&connection, options, light).await?;
        tasks.spawn(each_of(deliveries, || {}));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn each_of(mut deliveries: Consumer, work: fn()) -> anyhow::Result<()> {
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        work();
        handle(&delivery)?;
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

/// One ack for all that has come while the last were handled.
pub(crate) async fn at_hand(options: &Options) -> anyhow::Result<()> {
    let connection = connect(options).await?;
    let (_, mut deliveries) = open(&connection, options, &options.queue).await?;
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

/// A task and an awaited ack for each message, as where handlers wait. One that fails is acknowledged once its copy is
/// confirmed, which goes to the queue of this name.
pub(crate) async fn spawned(options: &Options) -> anyhow::Result<()> {
    let connection = connect(options).await?;
    let (channel, mut deliveries) = open(&connection, options, &options.queue).await?;
    let copies = match &options.fails {
        None => None,
        Some(fails) => {
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await?;
            Some(format!("{}.{fails}", options.queue))
        }
    };
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        let (channel, copies) = (channel.clone(), copies.clone());
        tokio::spawn(async move {
            let order: Order = serde_json::from_slice(&delivery.data)?;
            work::do_it();
            work::wait().await;
            order.process();
            if let Some(copies) = copies {
                copy(&channel, &copies, &delivery).await?;
            }
            delivery.ack(BasicAckOptions::default()).await?;
            anyhow::Ok(())
        });
    }
    Ok(())
}

async fn copy(channel: &Channel, queue: &str, delivery: &Delivery) -> anyhow::Result<()> {
    let mut headers = delivery.properties.headers().clone().unwrap_or_default();
    let error = "the other side is gone";
    headers.insert("error".into(), AMQPValue::LongString(error.into()));
    let properties: BasicProperties = delivery.properties.clone().with_headers(headers);
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let published = channel
        .basic_publish("".into(), queue.into(), options, &delivery.data, properties)
        .await?;
    ensure!(published.await?.is_ack(), "the copy is not confirmed");
    Ok(())
}

/// Many queues and their dead letters are declared, and consumed.
pub(crate) async fn queues(options: &Options) -> anyhow::Result<()> {
    let connection = connect(options).await?;
    let names = (0..options.queues).map(|number| match number {
        0 => options.queue.clone(),
        _ => format!("{}{number}", options.queue),
    });
    let each = names.map(|name| declared(&connection, options, name));
    let _consumers = try_join_all(each).await?;
    println!("started {}", options.start.elapsed().as_secs_f64());
    pending().await
}

async fn declared(
    connection: &Connection,
    options: &Options,
    name: String,
) -> anyhow::Result<(Channel, Consumer)> {
    let channel = connection.create_channel().await?;
    for queue in [format!("{name}_dlq"), name.clone()] {
        let mut arguments = FieldTable::default();
        if options.is_quorum {
            arguments.insert(
                "x-queue-type".into(),
                AMQPValue::LongString("quorum".into()),
            );
        }
        let declare = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(queue.as_str().into(), declare, arguments)
            .await?;
    }
    consume(channel, options, &name).await
}

fn handle(delivery: &Delivery) -> anyhow::Result<()> {
    let order: Order = serde_json::from_slice(&delivery.data)?;
    order.process();
    Ok(())
}

async fn connect(options: &Options) -> anyhow::Result<Connection> {
    Connection::connect(&options.url, ConnectionProperties::default())
        .await
        .context("no connection")
}

async fn open(
    connection: &Connection,
    options: &Options,
    queue: &str,
) -> anyhow::Result<(Channel, Consumer)> {
    consume(connection.create_channel().await?, options, queue).await
}

async fn consume(
    channel: Channel,
    options: &Options,
    queue: &str,
) -> anyhow::Result<(Channel, Consumer)> {
    channel
        .basic_qos(options.prefetch, BasicQosOptions::default())
        .await?;
    let deliveries = channel
        .basic_consume(
            queue.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok((channel, deliveries))
}
