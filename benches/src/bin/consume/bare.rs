//! amqprs alone, in the three manners that programs acknowledge.

use std::{iter, time::Duration};

use amqprs::{
    channel::{
        BasicAckArguments, BasicConsumeArguments, BasicQosArguments, Channel, ConsumerMessage,
    },
    connection::Connection,
};
use anyhow::Context;
use ploomby_benches::{client, order::Order, work};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::Options;

const LONGEST_HOLD: Duration = Duration::from_millis(1);

/// One consumer on a connection of its own.
pub(crate) struct Bare {
    acks: Acks,
    pub(crate) deliveries: UnboundedReceiver<ConsumerMessage>,
    _connection: Connection,
}

/// Where messages are acknowledged.
#[derive(Clone)]
pub(crate) struct Acks(Channel);

/// An ack for each message.
pub(crate) async fn each(options: &Options) -> anyhow::Result<()> {
    let heavy = iter::repeat_n(&options.queue, options.consumers);
    let mut tasks = JoinSet::new();
    for queue in heavy {
        tasks.spawn(each_of(Bare::open(options, queue).await?, work::do_it));
    }
    if let Some(light) = &options.light {
        tasks.spawn(each_of(Bare::open(options, light).await?, || {}));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn each_of(mut bare: Bare, work: fn()) -> anyhow::Result<()> {
    while let Some(delivery) = bare.deliveries.recv().await {
        work();
        let tag = handle(delivery)?;
        bare.acks.send(tag, false).await?;
    }
    Ok(())
}

/// One ack for all that has come while the last were handled.
pub(crate) async fn at_hand(options: &Options) -> anyhow::Result<()> {
    let mut bare = Bare::open(options, &options.queue).await?;
    while let Some(delivery) = bare.deliveries.recv().await {
        let mut tag = handle(delivery)?;
        while let Ok(delivery) = bare.deliveries.try_recv() {
            tag = handle(delivery)?;
        }
        bare.acks.send(tag, true).await?;
    }
    Ok(())
}

/// Acks held until half the window is handled, or 1 ms after the first of them.
pub(crate) async fn held(options: &Options) -> anyhow::Result<()> {
    let mut bare = Bare::open(options, &options.queue).await?;
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
        bare.acks.send(tag, true).await?;
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
    pub(crate) async fn open(options: &Options, queue: &str) -> anyhow::Result<Self> {
        let connection = Connection::open(&client::arguments(&options.url)?).await?;
        let channel = connection.open_channel(None).await?;
        channel
            .basic_qos(BasicQosArguments::new(0, options.prefetch, false))
            .await?;
        let consume = BasicConsumeArguments::new(queue, "");
        let (_, deliveries) = channel.basic_consume_rx(consume).await?;
        Ok(Self {
            acks: Acks(channel),
            deliveries,
            _connection: connection,
        })
    }

    pub(crate) fn acks(&self) -> Acks {
        self.acks.clone()
    }
}

impl Acks {
    pub(crate) async fn send(&self, tag: u64, is_multiple: bool) -> anyhow::Result<()> {
        let arguments = BasicAckArguments::new(tag, is_multiple);
        Ok(self.0.basic_ack(arguments).await?)
    }
}
