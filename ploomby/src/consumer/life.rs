use std::{any::Any, panic::AssertUnwindSafe, sync::OnceLock, time::Duration};

use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, error, warn};

use super::{MessageConsumer, RunError};
use crate::{dispatcher::Dispatcher, layer::panic_words};

/// The life of one consumer, from the first delivery to the last acknowledgement. Whatever panics, it is disconnected once.
pub(super) async fn run(
    mut consumer: impl MessageConsumer,
    dispatcher: Dispatcher,
    deadline: Duration,
) -> Result<(), RunError> {
    let queue = dispatcher.listen_for();
    let ended = Ended(dispatcher.clone());
    let begun = OnceLock::new();
    let broken = || {
        let handler = dispatcher.cannot_settle()?;
        let what = format!("it could not settle a message of {handler}");
        Some(RunError::Panicked(what))
    };
    // what ended the consumer, and where it was the shutdown, how its handlers ended
    let over = async {
        dispatcher.over().await;
        if let Some(broken) = broken() {
            return (Err(broken), None);
        }
        let shut_down = begun.get_or_init(|| ShutDown::begins(deadline));
        let drained = drain(&dispatcher, shut_down).await;
        (broken().map_or(Ok(()), Err), Some(drained))
    };
    let consuming = dispatcher.taking_turns(consumer.consume(dispatcher.clone()));
    // cancel safety: `consume` is dropped once nothing that it started is in flight, or when it cannot go on
    let (consumed, drained) = tokio::select! {
        consumed = AssertUnwindSafe(consuming).catch_unwind() => {
            let consumed = consumed.map_err(|panic| RunError::panicked(&*panic));
            (consumed.and_then(|consumed| consumed.map_err(|error| RunError::Consumer {
                queue: queue.to_owned(),
                error,
            })), None)
        }
        over = over => over,
    };
    let result = match consumed {
        // what it ends with once it is told to stop is no failure
        Err(RunError::Consumer { .. }) if dispatcher.is_stopped() => Ok(()),
        Err(error) => {
            match &error {
                RunError::Consumer { error, .. } => dispatcher.not_consuming(error),
                error => dispatcher.not_consuming(error),
            }
            error!(queue, %error, "the consumer failed");
            Err(error)
        }
        Ok(()) => {
            debug!(queue, "the consumer came to its end");
            Ok(())
        }
    };
    drop(ended);
    let shut_down = begun.into_inner();
    let shut_down = shut_down.unwrap_or_else(|| ShutDown::begins(deadline));
    let drained = match drained {
        Some(drained) => drained,
        None => drain(&dispatcher, &shut_down).await,
    };
    let disconnecting = AssertUnwindSafe(consumer.disconnect()).catch_unwind();
    let disconnected = match timeout_at(shut_down.end, disconnecting).await {
        Ok(disconnected) => disconnected.map_err(|panic| RunError::panicked(&*panic)),
        Err(_) => {
            warn!(
                queue,
                "the consumer did not disconnect within the deadline of the shutdown"
            );
            Ok(())
        }
    };
    result.and(drained).and(disconnected)
}

/// A consumer that is over does not consume, also when it has panicked.
struct Ended(Dispatcher);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// When what belongs to a shutdown is over.
#[derive(Clone, Copy)]
pub(super) struct ShutDown {
    /// Handlers that still run are cut off.
    handlers: Instant,
    pub(super) end: Instant,
}

impl ShutDown {
    pub(super) fn begins(deadline: Duration) -> Self {
        // so that the sum does not overflow
        let deadline = deadline.min(Duration::from_secs(365 * 24 * 60 * 60));
        let closing = (deadline / 4).min(CLOSING);
        let now = Instant::now();
        Self {
            handlers: now + (deadline - closing),
            end: now + deadline.max(LEAST),
        }
    }
}

/// How much of the deadline is for closing, at most.
const CLOSING: Duration = Duration::from_secs(3);

/// What messages that go back need on their way, also where handlers are not waited for.
const LEAST: Duration = Duration::from_secs(2);

async fn drain(dispatcher: &Dispatcher, shut_down: &ShutDown) -> Result<(), RunError> {
    match dispatcher.drain(shut_down.handlers).await {
        handlers if handlers.is_empty() => Ok(()),
        handlers => Err(RunError::DeadlineExceeded { handlers }),
    }
}

impl RunError {
    fn panicked(panic: &(dyn Any + Send)) -> Self {
        Self::Panicked(panic_words(panic).unwrap_or("without a word").to_owned())
    }
}
