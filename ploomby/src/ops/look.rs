use std::{fmt, sync::Arc};

use super::{Letter, Ops, OpsError, source::Held};

/// A look at the letters of a dead-letter queue, one after another, from the oldest on.
///
/// It ends after the last letter that was there when it began. What it has seen is held, for nobody else to take,
/// until [`end`](Self::end) gives all back. Dropped, or killed, the broker gives them back by itself: a quorum queue
/// counts that, up to a limit of a thousand million in the dead-letter queues that ploomby declares.
///
/// It holds one letter in memory at a time, and what comes next of the broker, some megabytes.
#[must_use = "what it holds goes back by `end`"]
pub struct Look<'o> {
    pub(super) ops: &'o Ops,
    pub(super) held: Held,
    queue: Arc<str>,
    total: usize,
    looked: usize,
    most: usize,
}

impl<'o> Look<'o> {
    pub(super) fn new(ops: &'o Ops, queue: &str, held: Held, total: usize) -> Self {
        Self {
            ops,
            held,
            queue: queue.into(),
            total,
            looked: 0,
            most: usize::MAX,
        }
    }

    /// Ends after so many letters.
    pub fn scan(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// How many letters there were at the beginning.
    pub fn total(&self) -> usize {
        self.total
    }

    /// How many letters were not looked at so far.
    pub fn not_looked_at(&self) -> usize {
        self.total.saturating_sub(self.looked)
    }

    /// The next letter.
    ///
    /// # Errors
    ///
    /// A broker that is lost.
    pub async fn next(&mut self) -> Result<Option<Letter>, OpsError> {
        if self.looked >= self.total.min(self.most) {
            return Ok(None);
        }
        let next = self.held.next(&self.ops.source).await?;
        Ok(next.map(|(tag, message)| {
            self.looked += 1;
            Letter::new(message, &self.queue, tag)
        }))
    }

    /// Gives back all that is held.
    ///
    /// # Errors
    ///
    /// A broker that is lost, which gives it back by itself.
    pub async fn end(self) -> Result<(), OpsError> {
        self.held.give_back(&self.ops.source).await
    }
}

impl fmt::Debug for Look<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look")
            .field("queue", &self.queue)
            .field("total", &self.total)
            .field("looked", &self.looked)
            .finish_non_exhaustive()
    }
}
