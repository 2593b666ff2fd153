use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::PublishError;
use crate::{
    consumer::companions::{Declared, delay_queue},
    message::{Addressed, properties::check_short},
    rabbit::{Declarations, Line, RabbitPublishError},
};

/// How long a connection that is lost is left alone before the next try.
const PAUSE: Duration = Duration::from_millis(200);

/// Declares the queue that a message for `queue` waits in, once. Says from when on it takes messages.
pub(super) async fn declare(
    declarations: &Declarations,
    line: &Line,
    queue: &str,
    waiting: &Declared,
    within: Duration,
) -> Result<Instant, PublishError> {
    let declare = async {
        loop {
            match try_to_declare(line, queue, waiting).await {
                Err(error) if error.is_out_of_reach() => sleep(PAUSE).await,
                declared => break declared,
            }
        }
    };
    let declared = timeout(within, declarations.once(&waiting.name, declare)).await;
    Ok(declared
        .map_err(RabbitPublishError::from)
        .and_then(|declared| declared)?)
}

async fn try_to_declare(
    line: &Line,
    queue: &str,
    waiting: &Declared,
) -> Result<(), RabbitPublishError> {
    // what waits for a queue that is not there would wait for ever
    if !line.has_queue(queue).await? {
        return Err(RabbitPublishError::Unroutable(queue.to_owned()));
    }
    if let Some(watch) = line.stage().watch() {
        watch.waits(&waiting.name, queue);
    }
    line.declare(waiting).await
}

/// The queue that a delayed message waits in.
pub(super) fn waiting_queue(
    message: &Addressed,
    delay: Duration,
) -> Result<Declared, PublishError> {
    let waiting = delay_queue(&message.routing_key, delay);
    check_short("the name of the queue of delayed messages", &waiting.name)?;
    Ok(waiting)
}
