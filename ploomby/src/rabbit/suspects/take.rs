use std::time::Duration;

use amqprs::channel::{
    BasicCancelArguments, BasicConsumeArguments, BasicQosArguments, Channel, ConsumerMessage,
};
use tokio::time::timeout;

use crate::rabbit::{connection::Link, traffic::Idle};

/// Takes one message out of a queue, and no other after it: what else would be delivered has not begun, and would count
/// all the same. None where nothing comes in that time.
///
/// `basic.get` would do, but amqprs loses the channel where the answer comes before amqprs expects it.
pub(super) async fn take_one(
    (channel, link): (&Channel, &Link),
    queue: &str,
    wait: Duration,
) -> Result<Option<ConsumerMessage>, String> {
    let taking = async {
        channel
            .basic_qos(BasicQosArguments::new(0, 1, false))
            .await?;
        let consume = BasicConsumeArguments::new(queue, "");
        let (consumer_tag, mut deliveries) = channel.basic_consume_rx(consume).await?;
        let message = timeout(wait, deliveries.recv()).await.ok().flatten();
        let cancel = BasicCancelArguments::new(&consumer_tag);
        channel.basic_cancel(cancel).await?;
        // it may have come meanwhile
        Ok::<_, amqprs::error::Error>(message.or_else(|| deliveries.try_recv().ok()))
    };
    match link.answer_behind_others(taking).await {
        Ok(taken) => taken.map_err(|error| error.to_string()),
        Err(Idle) => Err("no answer".to_owned()),
    }
}
