use amqprs::{
    FieldTable, FieldValue,
    channel::{BasicConsumeArguments, BasicQosArguments, Channel, ConsumerMessage},
};
use tokio::sync::mpsc::UnboundedReceiver;

use super::events::ChannelEvents;
use crate::rabbit::{
    connection::OpenChannel,
    topology::{Asked, Asker, TopologyError},
};

/// What a session needs to know of its queue.
#[derive(Clone, Debug)]
pub(in crate::rabbit) struct Subscription {
    pub(in crate::rabbit) queue: String,
    pub(in crate::rabbit) prefetch: u16,
    /// Messages are handled in an order.
    pub(in crate::rabbit) is_ordered: bool,
    /// The broker says in any case when the queue is deleted.
    pub(in crate::rabbit) is_told: bool,
    /// Among all consumers of the queue.
    pub(in crate::rabbit) priority: Option<i32>,
}

/// With this argument RabbitMQ 3 cancels the consumers of a deleted queue in any case. Else it moves a consumer in
/// silence to another queue that has the name by then, and drops what that one delivers. It refuses the
/// argument for quorum queues. RabbitMQ 4 always cancels, and ignores it.
///
/// Source: `queue_down_consumer_action` in [rabbit_channel].
///
/// [rabbit_channel]: https://github.com/rabbitmq/rabbitmq-server/blob/v3.10.8/deps/rabbit/src/rabbit_channel.erl
const ALWAYS_CANCEL: &str = "x-cancel-on-ha-failover";

/// Source: [consumer priorities](https://www.rabbitmq.com/docs/consumer-priority).
const PRIORITY: &str = "x-priority";

/// What deliveries come over.
pub(super) struct Subscribed {
    pub(super) open: OpenChannel,
    pub(super) events: ChannelEvents,
    pub(super) consumer_tag: String,
    pub(super) deliveries: UnboundedReceiver<ConsumerMessage>,
}

/// Subscribes over the channel that questions went over, or a new one. A broker that does not do its part is passed
/// over for a while.
pub(super) async fn subscribe(
    asker: Asker<'_>,
    subscription: &Subscription,
) -> Result<Subscribed, TopologyError> {
    let shared = asker.connection();
    let (open, events) = asker.into_channel().await?;
    let link = &open.connection;
    match link.answer(consume(&open.channel, subscription)).await {
        Ok(Ok((consumer_tag, deliveries))) => Ok(Subscribed {
            open,
            events,
            consumer_tag,
            deliveries,
        }),
        Ok(Err(error)) => {
            let closed = events.closed();
            shared.pass_over_if_ill(link, closed.as_ref()).await;
            Err(match closed {
                Some(closed) => TopologyError::refused(&subscription.queue, Asked::Consume, closed),
                None => TopologyError::lost(link, &error),
            })
        }
        Err(_) => {
            shared.pass_over(link).await;
            Err(TopologyError::NoAnswer(link.patience()))
        }
    }
}

/// Asks for deliveries, and returns the consumer tag with what they come by.
pub(super) async fn consume(
    channel: &Channel,
    subscription: &Subscription,
) -> Result<(String, UnboundedReceiver<ConsumerMessage>), amqprs::error::Error> {
    let qos = BasicQosArguments::new(0, subscription.prefetch, false);
    channel.basic_qos(qos).await?;
    // the broker chooses the consumer tag
    let mut consume = BasicConsumeArguments::new(&subscription.queue, "");
    let is_told = subscription.is_told.then(|| (ALWAYS_CANCEL, true.into()));
    let priority = subscription
        .priority
        .map(|priority| (PRIORITY, FieldValue::I(priority)));
    let mut arguments = FieldTable::new();
    for (name, value) in is_told.into_iter().chain(priority) {
        arguments.insert(name.try_into().expect("it is short"), value);
    }
    consume.arguments(arguments);
    channel.basic_consume_rx(consume).await
}

/// Whether the broker did not subscribe, since it does not say when this queue is deleted.
pub(in crate::rabbit) fn is_refusal_to_tell(error: &TopologyError) -> bool {
    matches!(error, TopologyError::Refused { closed, .. } if closed.text.contains(ALWAYS_CANCEL))
}
