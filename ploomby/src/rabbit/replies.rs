use std::sync::Arc;

pub(super) use self::sender::{ReplyError, ReplySender};

use amqprs::channel::{BasicConsumeArguments, ConsumerMessage};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{
    connection::ANSWER_TIMEOUT,
    publisher::{ConfirmChannel, RabbitPublishError},
};
use crate::{
    message::{Message, Properties},
    reply::Calls,
};

mod sender;

/// The queue that is none: the broker sends replies to requests of a channel over that channel.
///
/// Source: [direct reply-to](https://www.rabbitmq.com/docs/direct-reply-to).
const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Brings the replies that come over a channel to their calls, on a task that ends with the channel.
pub(super) async fn consume(
    channel: &ConfirmChannel,
    number: u64,
    calls: Arc<Calls>,
    task: &TaskTracker,
) -> Result<(), RabbitPublishError> {
    // the broker chooses the consumer tag; nothing can be acknowledged here
    let consume = BasicConsumeArguments::new(REPLY_TO, "")
        .manual_ack(false)
        .finish();
    let consuming = channel.channel().basic_consume_rx(consume);
    let (_, mut replies) = timeout(ANSWER_TIMEOUT, consuming)
        .await?
        .map_err(|error| RabbitPublishError::Lost(error.to_string()))?;
    let confirms = channel.confirms().clone();
    task.spawn(async move {
        while let Some(reply) = replies.recv().await {
            // given up: what comes now belongs to nobody, and may not say so
            if confirms.is_closed() {
                break;
            }
            if let Some(reply) = message(reply) {
                calls.answer(reply, number);
            }
        }
        confirms.close("no replies come any more");
    });
    Ok(())
}

fn message(reply: ConsumerMessage) -> Option<Message> {
    Some(Message {
        properties: Properties::from_wire(reply.basic_properties?),
        body: reply.content?.into(),
    })
}
