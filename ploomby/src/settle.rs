//! From what a handler decided to what the source is told. Nothing else acknowledges.
//!
//! A message that cannot be handled is copied to the dead-letter queue first and acknowledged once
//! the copy is safe, so that a crash between the two duplicates and never loses.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

pub use self::{failure::Failure, reason::Reason};
use crate::{
    consumer::{Acknowledger, ConsumerError},
    delivery::Delivery,
    handler::Completed,
    outcome::Outcome,
};

mod copy;
mod failure;
mod reason;

/// How long a message whose copy could not be kept is held before it is requeued: without a pause
/// it would come back at once, as often as the broker can deliver.
const REQUEUE_PAUSE: Duration = Duration::from_secs(1);

/// Tells the source what came of a delivery. `stop` cuts the pause short.
pub(crate) async fn settle<A: Acknowledger>(
    completed: Completed,
    acknowledger: &A,
    stop: &CancellationToken,
) {
    let Completed { delivery, result } = completed;
    match result {
        Ok(Outcome::Ack | Outcome::Discard) => acknowledger.ack(delivery.tag).await,
        Ok(Outcome::Requeue) => acknowledger.requeue(delivery.tag).await,
        Ok(Outcome::DeadLetter) => {
            let failure = Failure::new(Reason::Rejected, "the handler asked for it".to_owned());
            dead_letter(delivery, &failure, acknowledger, stop).await;
        }
        Err(failure) => dead_letter(delivery, &failure, acknowledger, stop).await,
    }
}

async fn dead_letter<A: Acknowledger>(
    delivery: Delivery,
    failure: &Failure,
    acknowledger: &A,
    stop: &CancellationToken,
) {
    let queue = delivery.queue().to_owned();
    let key = delivery
        .key()
        .map(|key| failure::cut(key.into_owned(), copy::MAX_KEY));
    let copied = match copy::dead_letter(&delivery, failure) {
        Ok(copy) => acknowledger.dead_letter(copy).await,
        Err(error) => Err(ConsumerError::new(error)),
    };
    match copied {
        Ok(()) => {
            warn!(queue, key, reason = %failure.reason, error = failure.log_text(), "dead-lettered");
            acknowledger.ack(delivery.tag).await;
        }
        Err(error) => {
            error!(
                queue, key, reason = %failure.reason, %error,
                "the dead-letter copy was not kept, requeueing the message in {REQUEUE_PAUSE:?}"
            );
            stop.run_until_cancelled(tokio::time::sleep(REQUEUE_PAUSE))
                .await;
            acknowledger.requeue(delivery.tag).await;
        }
    }
}
