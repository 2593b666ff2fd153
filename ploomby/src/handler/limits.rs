//! What a message of a handler waits for beside a place of its queue: a slot, where the handler has a concurrency of its
//! own, and its turn, where it has a rate.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::overflow::{LONGEST_HERE, Overflow, Queued};
pub(super) use self::pace::Pace;
use super::Rate;

mod overflow;
mod pace;

/// The limits of a handler on one queue.
pub(crate) struct Limits {
    slots: Option<Arc<Semaphore>>,
    /// Absent for a handler of batches: the batcher has the pace then.
    pace: Option<Arc<Pace>>,
    /// Where there is a rate.
    overflow: Option<Arc<Overflow>>,
}

/// A handler that has a rate.
pub(super) struct Paced {
    pub(super) pace: Arc<Pace>,
    /// Whether the queue has handlers that it must not hold up.
    pub(super) has_others: bool,
    /// How many of its messages may wait here then.
    pub(super) most_waiting: usize,
    /// How many messages of the queue can be with handlers in the same moment.
    pub(super) places: usize,
}

impl Limits {
    /// The limits of a handler that takes one message at a time.
    pub(super) fn new(slots: Option<Arc<Semaphore>>, paced: Option<&Paced>) -> Option<Box<Self>> {
        if slots.is_none() && paced.is_none() {
            return None;
        }
        Some(Box::new(Self {
            slots,
            pace: paced.map(|paced| paced.pace.clone()),
            overflow: paced.map(|paced| paced.overflow(1)),
        }))
    }

    /// The limits of a handler of batches with a rate, beside others: its batches take no more messages than wait for it,
    /// and leave a place of the queue to the others.
    pub(super) fn of_batches(size: usize, paced: Option<&Paced>) -> Option<Box<Self>> {
        let paced = paced.filter(|paced| paced.has_others)?;
        let most = paced.most_waiting.min(2 * size).max(size);
        let most = most.min(paced.places - 1).max(1);
        Some(Box::new(Self {
            slots: Some(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))),
            pace: None,
            overflow: Some(paced.overflow(size)),
        }))
    }

    /// Takes a slot and the turn, if there are both at once.
    pub(crate) fn try_enter(&self) -> Result<Option<OwnedSemaphorePermit>, MustWait> {
        let slot = match &self.slots {
            Some(slots) => Some(slots.clone().try_acquire_owned().map_err(|_| MustWait)?),
            None => None,
        };
        match &self.pace {
            Some(pace) if !pace.try_begin() => Err(MustWait),
            _ => Ok(slot),
        }
    }

    /// Waits for a slot, then for the turn, and then for what `enter` takes.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it takes nothing.
    pub(crate) async fn enter<T>(
        &self,
        enter: impl Future<Output = T>,
    ) -> (Option<OwnedSemaphorePermit>, T) {
        let slot = self.slot().await;
        let entered = match &self.pace {
            Some(pace) => pace.begin(enter).await,
            None => enter.await,
        };
        (slot, entered)
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        let slots = self.slots.clone()?;
        slots.acquire_owned().await.ok()
    }

    /// Waits for the turn of a message that has its slot, and had a turn before.
    pub(crate) async fn next_turn(&self) {
        if let Some(pace) = &self.pace {
            pace.begin_in_place().await;
        }
    }

    /// Gives back the turn of a message that did not come to its handler.
    pub(crate) fn undo_turn(&self) {
        if let Some(pace) = &self.pace {
            pace.undo();
        }
    }

    /// For how long a message is better away, that would have to wait here; `None` if it waits here.
    pub(crate) fn better_away(&self) -> Option<Duration> {
        let first = self
            .pace
            .as_ref()
            .map_or(Duration::ZERO, |pace| pace.wait());
        self.overflow.as_ref()?.delay(first)
    }

    /// A message is away for as long.
    pub(crate) fn sent_away(&self, delay: Duration) {
        if let Some(overflow) = &self.overflow {
            overflow.sent_away(delay);
        }
    }

    /// Has one more message wait here.
    pub(crate) fn queue_up(&self) -> Option<Queued> {
        self.overflow.as_ref().map(Overflow::enter)
    }
}

/// A slot or the turn is not there at once.
pub(crate) struct MustWait;

impl Paced {
    fn overflow(&self, messages: usize) -> Arc<Overflow> {
        let most = self.has_others.then_some(self.most_waiting);
        Overflow::new(messages, self.pace.period(), most, self.pace.stage())
    }
}

/// How many messages begin at a rate before one has waited here for too long.
pub(super) fn most_here(rate: Rate) -> usize {
    let even = LONGEST_HERE.as_nanos() / rate.period().as_nanos().max(1);
    usize::try_from(even).map_or(usize::MAX, |even| {
        even.saturating_add(rate.at_once() as usize)
    })
}
