use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Mutex as AsyncMutex,
    time::{sleep, timeout},
};
use tracing::warn;

use super::{Addressed, PublishError};
use crate::{
    consumer::companions::{Declared, delay_queue},
    message::properties::check_short,
    rabbit::{Line, RabbitPublishError},
};

/// The queues of delayed messages that were declared.
#[derive(Debug, Default)]
pub(super) struct Delays {
    declared: Mutex<HashSet<String>>,
    declaring: AsyncMutex<()>,
}

impl Delays {
    /// Declares the queue that a message for `queue` waits in, once.
    pub(super) async fn declare(
        &self,
        line: &Line,
        queue: &str,
        waiting: &Declared,
        within: Duration,
    ) -> Result<(), PublishError> {
        if self.lock().contains(&waiting.name) {
            return Ok(());
        }
        let declaring = async {
            // many may come at once: one of them declares for all
            let _alone = self.declaring.lock().await;
            if self.lock().contains(&waiting.name) {
                return Ok(());
            }
            loop {
                match declare(line, queue, waiting).await {
                    Err(error) if error.is_out_of_reach() => sleep(PAUSE).await,
                    declared => break declared?,
                }
            }
            self.note(&waiting.name);
            Ok(())
        };
        let declared = timeout(within, declaring).await;
        Ok(declared
            .map_err(RabbitPublishError::from)
            .and_then(|declared| declared)?)
    }

    fn note(&self, waiting: &str) {
        let mut declared = self.lock();
        if declared.len() == MOST {
            warn!(
                queue = waiting,
                "delays of {MOST} lengths each have a queue in the broker: round them"
            );
            declared.clear();
        }
        declared.insert(waiting.to_owned());
    }

    /// It was deleted.
    pub(super) fn forget(&self, waiting: &str) {
        self.lock().remove(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many queues are remembered. To declare one again does no harm.
const MOST: usize = 1024;

/// How long a connection that is lost is left alone before the next try.
const PAUSE: Duration = Duration::from_millis(200);

async fn declare(line: &Line, queue: &str, waiting: &Declared) -> Result<(), RabbitPublishError> {
    // what waits for a queue that is not there would wait for ever
    if !line.has_queue(queue).await? {
        return Err(RabbitPublishError::Unroutable(queue.to_owned()));
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
