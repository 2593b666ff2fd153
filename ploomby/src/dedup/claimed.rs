use std::{fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Claim, ClaimToken, DedupStore, outage::Outage};
use crate::delivery::Delivery;

/// How long a message is held for the store, or for its twin, before it goes back to its queue. RabbitMQ takes the
/// channel from a consumer that holds a message for [30
/// minutes](https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout).
const HOLD: Duration = Duration::from_secs(25 * 60);

/// How long the store is told of a handler that was dropped, where nothing waits for that.
const TELL_LATER: Duration = Duration::from_secs(60);

/// How often a message looks whether its twin is done: soon at first, then less often.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// A store, and how it is asked.
pub(super) struct Asked<S> {
    pub(super) store: S,
    pub(super) answers_within: Duration,
    pub(super) outage: Outage,
}

/// What a message is known by: its id, in its queue.
pub(super) struct Id {
    queue: String,
    id: String,
}

/// What came of a claim.
pub(super) enum Claiming<S: DedupStore> {
    Claimed(Claimed<S>),
    /// The message was handled before.
    Done,
    /// It cannot be told for now: the message goes back to its queue.
    Unknown,
}

/// An id that is the handler's. Dropped with it, as at its timeout, it is released; dropped while the store is
/// told that it is done, the store is told again.
pub(super) struct Claimed<S: DedupStore> {
    asked: Arc<Asked<S>>,
    id: Option<Id>,
    token: ClaimToken,
    is_done: bool,
}

/// Why the store did not answer.
#[derive(Debug, Error)]
enum Trouble<E> {
    #[error("{0}")]
    Failed(E),
    #[error("it did not answer within {0:?}")]
    Slow(Duration),
    #[error("it panicked")]
    Panicked,
}

impl Id {
    /// None where a message is to be handled each time.
    pub(super) fn of(delivery: &Delivery) -> Option<Self> {
        let properties = delivery.properties();
        // who asked needs the reply
        if properties.reply_to().is_some() {
            return None;
        }
        let id = properties.message_id().filter(|id| !id.is_empty())?;
        Some(Self {
            queue: storable(delivery.queue()),
            id: storable(id),
        })
    }
}

/// The text without a NUL, which some databases refuse. Two texts that differ do so still.
fn storable(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\0', "\\0")
}

impl<S: DedupStore> Asked<S> {
    /// Claims an id, however long the store needs for an answer.
    ///
    /// # Cancel safety
    ///
    /// Dropped while the store is asked, it releases what it may have claimed.
    pub(super) async fn claim(
        self: &Arc<Self>,
        id: Id,
        stop: Option<CancellationToken>,
    ) -> Claiming<S> {
        let claiming = self.claim_in_time(id);
        match stop {
            None => claiming.await,
            // what has not begun when shutdown does goes back
            Some(stop) => {
                let claimed = stop.run_until_cancelled(claiming).await;
                claimed.unwrap_or(Claiming::Unknown)
            }
        }
    }

    async fn claim_in_time(self: &Arc<Self>, id: Id) -> Claiming<S> {
        let begun = Instant::now();
        let mut look = FIRST_LOOK;
        let mut claimed = Claimed {
            asked: self.clone(),
            id: None,
            token: ClaimToken::random(),
            is_done: false,
        };
        loop {
            // from here on it may be claimed, whatever the store says
            let Id { queue, id } = claimed.id.insert(Id {
                queue: id.queue.clone(),
                id: id.id.clone(),
            });
            let pause = match self.ask(self.store.claim(queue, id, claimed.token)).await {
                Ok(Claim::New) => return Claiming::Claimed(claimed),
                Ok(Claim::Done) => {
                    claimed.id = None;
                    return Claiming::Done;
                }
                Ok(Claim::InProgress) => {
                    claimed.id = None;
                    look = (look * 2).min(LAST_LOOK);
                    look / 2
                }
                Err(trouble) => self.outage.pause(queue, &trouble),
            };
            if begun.elapsed() + pause > HOLD {
                return Claiming::Unknown;
            }
            sleep(pause).await;
        }
    }

    async fn ask<T>(
        &self,
        answer: impl Future<Output = Result<T, S::Error>>,
    ) -> Result<T, Trouble<S::Error>> {
        let answer = AssertUnwindSafe(answer).catch_unwind();
        match timeout(self.answers_within, answer).await {
            Ok(Ok(Ok(answer))) => {
                self.outage.over();
                Ok(answer)
            }
            Ok(Ok(Err(error))) => Err(Trouble::Failed(error)),
            Ok(Err(_)) => Err(Trouble::Panicked),
            Err(_) => Err(Trouble::Slow(self.answers_within)),
        }
    }

    /// Says what became of an id, again and again until the store has noted it, shutdown begins or it takes too long.
    async fn tell(
        &self,
        Id { queue, id }: &Id,
        token: ClaimToken,
        is_done: bool,
        within: Duration,
        stop: Option<CancellationToken>,
    ) {
        let begun = Instant::now();
        loop {
            let told = match is_done {
                true => self.ask(self.store.complete(queue, id, token)).await,
                false => self.ask(self.store.release(queue, id, token)).await,
            };
            let Err(trouble) = told else { return };
            let pause = self.outage.pause(queue, &trouble);
            let is_over = begun.elapsed() + pause > within;
            let stopped = match &stop {
                Some(stop) => stop.run_until_cancelled(sleep(pause)).await.is_none(),
                None => {
                    sleep(pause).await;
                    false
                }
            };
            if is_over || stopped {
                warn!(
                    queue, error = %trouble,
                    "the store did not note what became of a message: another one with its id waits for the claim to \
                     end, and is handled then"
                );
                return;
            }
        }
    }
}

impl<S: DedupStore> Claimed<S> {
    /// Tells the store what came of the handler.
    pub(super) async fn finish(mut self, is_done: bool, stop: Option<CancellationToken>) {
        self.is_done = is_done;
        if let Some(id) = &self.id {
            let asked = &self.asked;
            asked.tell(id, self.token, is_done, HOLD, stop).await;
        }
        self.id = None;
    }
}

impl<S: DedupStore> Drop for Claimed<S> {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let (asked, token, is_done) = (self.asked.clone(), self.token, self.is_done);
        // without a runtime the process ends, and the claim with its window
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                asked.tell(&id, token, is_done, TELL_LATER, None).await;
            });
        }
    }
}

impl<S> fmt::Debug for Asked<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("answers_within", &self.answers_within)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_database_refuses_is_written_otherwise_and_stays_apart() {
        let texts = ["a", "a\0b", "a\\0b", "a\\\\0b", "\\", "\0", "\\\0"];
        let stored = texts.map(storable);
        assert!(stored.iter().all(|text| !text.contains('\0')));
        let all: std::collections::HashSet<_> = stored.iter().collect();
        assert_eq!(all.len(), texts.len());
        assert_eq!(stored[0], "a");
    }
}
