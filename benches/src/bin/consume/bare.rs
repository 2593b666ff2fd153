//! amqprs alone, in the three manners that programs acknowledge.

use std::time::Duration;

use amqprs::{
    channel::{
        BasicAckArguments, BasicConsumeArguments, BasicQosArguments, Channel, ConsumerMessage,
    },
    connection::Connection,
};
use anyhow::Context;
use ploomby_benches::{client, order::Order};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, timeout_at},
};

use crate::Options;

const LONGEST_HOLD: Duration = Duration::from_millis(1);

struct Bare {
    channel: Channel,
    deliveries: UnboundedReceiver<ConsumerMessage>,
    _connection: Connection,
}

/// An ack for each message.
pub(crate) async fn each(options: &Options) -> anyhow::Result<()> {
    let mut bare = Bare::open(options).await?;
    while let Some(delivery) = bare.deliveries.recv().await {
        let tag = handle(delivery)?;
        bare.ack(tag, false).await?;
    }
    Ok(())
}

/// One ack for all that has come while the last were handled.
pub(crate) async fn at_hand(options: &Options) -> anyhow::Result<()> {
    let mut bare = Bare::open(options).await?;
    while let Some(delivery) = bare.deliveries.recv().await {
        let mut tag = handle(delivery)?;
        while let Ok(delivery) = bare.deliveries.try_recv() {
            tag = handle(delivery)?;
        }
        bare.ack(tag, true).await?;
    }
    Ok(())
}

/// Acks held until half the window is handled, or 1 ms after the first of them.
pub(crate) async fn held(options: &Options) -> anyhow::Result<()> {
    let mut bare = Bare::open(options).await?;
    let half = usize::from(options.prefetch).div_ceil(2);
    while let Some(delivery) = bare.deliveries.recv().await {
        let mut tag = handle(delivery)?;
        let mut held = 1;
        // asked for only where there is nothing at hand: a clock costs time
        let mut until = None;
        while held < half {
            let delivery = match bare.deliveries.try_recv() {
                Ok(delivery) => delivery,
                Err(_) => {
                    let until = *until.get_or_insert_with(|| Instant::now() + LONGEST_HOLD);
                    match timeout_at(until, bare.deliveries.recv()).await {
                        Ok(Some(delivery)) => delivery,
                        Ok(None) | Err(_) => break,
                    }
                }
            };
            tag = handle(delivery)?;
            held += 1;
        }
        bare.ack(tag, true).await?;
    }
    Ok(())
}

fn handle(delivery: ConsumerMessage) -> anyhow::Result<u64> {
    let body = delivery.content.context("a delivery has a body")?;
    let order: Order = serde_json::from_slice(&body)?;
    order.process();
    let deliver = delivery.deliver.context("a delivery has a tag")?;
    Ok(deliver.delivery_tag())
}

impl Bare {
    async fn open(options: &Options) -> anyhow::Result<Self> {
        let connection = Connection::open(&client::arguments(&options.url)?).await?;
        let channel = connection.open_channel(None).await?;
        channel
            .basic_qos(BasicQosArguments::new(0, options.prefetch, false))
            .await?;
        let consume = BasicConsumeArguments::new(&options.queue, "");
        let (_, deliveries) = channel.basic_consume_rx(consume).await?;
        Ok(Self {
            channel,
            deliveries,
            _connection: connection,
        })
    }

    async fn ack(&self, tag: u64, is_multiple: bool) -> anyhow::Result<()> {
        let arguments = BasicAckArguments::new(tag, is_multiple);
        Ok(self.channel.basic_ack(arguments).await?)
    }
}
