use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use tracing::warn;

/// The queues for messages that wait which were declared, each once for all who come at the same time.
#[derive(Debug, Default)]
pub(crate) struct Declarations {
    /// From when on each takes messages.
    ready: Mutex<HashMap<String, Instant>>,
    declaring: AsyncMutex<()>,
}

/// How long a queue is left alone that was just declared: another program may be declaring it at the same time,
/// which is what [`topology`](super::topology) keeps from happening within this one. Where it was seen, the first
/// declaration was done some milliseconds after the second was answered.
const SETTLING: Duration = Duration::from_millis(250);

/// How many queues are remembered. To declare one again does no harm.
const MOST: usize = 1024;

impl Declarations {
    /// Declares the queue, unless that was done before. Says from when on it takes messages.
    ///
    /// # Errors
    ///
    /// That of `declare`.
    pub(crate) async fn once<E>(
        &self,
        queue: &str,
        declare: impl Future<Output = Result<(), E>>,
    ) -> Result<Instant, E> {
        if let Some(ready) = self.ready(queue) {
            return Ok(ready);
        }
        // many may come at once: one of them declares for all
        let _alone = self.declaring.lock().await;
        match self.ready(queue) {
            Some(ready) => Ok(ready),
            None => {
                declare.await?;
                Ok(self.note(queue))
            }
        }
    }

    /// Notes that the queue was just declared. Says from when on it takes messages.
    pub(crate) fn note(&self, queue: &str) -> Instant {
        let mut queues = self.lock();
        if queues.len() == MOST && !queues.contains_key(queue) {
            warn!(
                queue,
                "delays of {MOST} lengths each have a queue in the broker: round them"
            );
            queues.clear();
        }
        let ready = Instant::now() + SETTLING;
        queues.insert(queue.to_owned(), ready);
        ready
    }

    /// The queue was deleted.
    pub(crate) fn forget(&self, queue: &str) {
        self.lock().remove(queue);
    }

    /// From when on the queue takes messages, if it was declared.
    pub(crate) fn ready(&self, queue: &str) -> Option<Instant> {
        self.lock().get(queue).copied()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_declares_for_all_and_nothing_is_published_at_once() {
        let declarations = Declarations::default();
        let declared = AtomicUsize::new(0);
        let once = async || {
            let declare = async {
                sleep(SETTLING).await;
                declared.fetch_add(1, Relaxed);
                Ok::<_, Infallible>(())
            };
            declarations.once("q", declare).await.unwrap()
        };
        let start = Instant::now();
        for ready in join_all((0..3).map(|_| once())).await {
            assert!(ready >= start + 2 * SETTLING);
        }
        assert_eq!(declared.load(Relaxed), 1);
        declarations.forget("q");
        assert!(once().await >= start + 3 * SETTLING);
        assert_eq!(declared.load(Relaxed), 2);
    }
}
