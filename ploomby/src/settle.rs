//! From what a handler decided to what the source is told. Nothing else acknowledges.
//!
//! A message that cannot be handled is copied to the dead-letter queue first and acknowledged once
//! the copy is safe, so that a crash between the two duplicates and never loses.

use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

pub(crate) use self::{
    copy::{headers, unix_seconds},
    pause::RequeuePause,
};
pub use self::{failure::Failure, reason::Reason};
use crate::{
    consumer::{Acknowledger, ConsumerError},
    delivery::Delivery,
    handler::Completed,
    outcome::Outcome,
};

mod copy;
mod failure;
mod pause;
mod reason;

/// Tells the source what came of a delivery. `stop` cuts the pause short.
pub(crate) async fn settle<A: Acknowledger>(
    completed: Completed,
    acknowledger: &A,
    pause: &RequeuePause,
    stop: &CancellationToken,
) {
    let Completed { delivery, result } = completed;
    match result {
        Ok(Outcome::Ack | Outcome::Discard) => acknowledger.ack(delivery.tag).await,
        Ok(Outcome::Requeue) => acknowledger.requeue(delivery.tag).await,
        Ok(Outcome::DeadLetter) => {
            let failure = Failure::new(Reason::Rejected, "the handler asked for it".to_owned());
            dead_letter(delivery, &failure, acknowledger, pause, stop).await;
        }
        Err(failure) => dead_letter(delivery, &failure, acknowledger, pause, stop).await,
    }
}

async fn dead_letter<A: Acknowledger>(
    delivery: Delivery,
    failure: &Failure,
    acknowledger: &A,
    pause: &RequeuePause,
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
            pause.reset();
            acknowledger.ack(delivery.tag).await;
        }
        Err(error) => {
            let pause = pause.next();
            error!(
                queue, key, reason = %failure.reason, %error,
                "the dead-letter copy was not kept, requeueing the message in {pause:?}"
            );
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            acknowledger.requeue(delivery.tag).await;
        }
    }
}
