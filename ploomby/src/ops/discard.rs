use std::{fmt, io::Write};

use super::{Done, Filter, Letter, Look, Ops, OpsError, transfer};

/// Letters that are taken out of their queue for good, one after another.
#[must_use = "what it holds goes back by `end`"]
pub struct Discarding<'o> {
    look: Look<'o>,
    queue: String,
    filter: Filter,
    limit: usize,
    by: Option<String>,
    done: Done,
}

impl Ops {
    /// Begins to discard letters of a queue, so many at most.
    ///
    /// # Errors
    ///
    /// As those of [`look`](Self::look).
    pub async fn discard(
        &self,
        queue: &str,
        filter: Filter,
        limit: usize,
    ) -> Result<Discarding<'_>, OpsError> {
        Ok(Discarding {
            look: self.look(queue).await?,
            queue: queue.to_owned(),
            filter,
            limit,
            by: None,
            done: Done::default(),
        })
    }
}

impl Discarding<'_> {
    /// For whom: their name stands in the event that it leaves, in place of the user of the process.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.by = Some(who.into());
        self
    }

    /// Discards the next letter. It is written to `sink` first, in the form of [`Ops::export`]: what cannot be written is
    /// not discarded. None after the last.
    ///
    /// # Errors
    ///
    /// A broker that is lost, or a sink that does not take it.
    pub async fn next(
        &mut self,
        sink: Option<&mut (dyn Write + Send)>,
    ) -> Result<Option<Letter>, OpsError> {
        let Some(letter) = self.find().await? else {
            return Ok(None);
        };
        if let Some(sink) = sink {
            transfer::write(&letter, sink)?;
            sink.flush()?;
        }
        self.take(&letter).await?;
        Ok(Some(letter))
    }

    /// The next letter that is to be discarded. Dropped before it is done, nothing has happened to any.
    pub(crate) async fn find(&mut self) -> Result<Option<Letter>, OpsError> {
        let most = self.filter.most().unwrap_or(usize::MAX);
        while self.done.done < self.limit.min(most) {
            let Some(letter) = self.look.next().await? else {
                return Ok(None);
            };
            if self.filter.matches(&letter) {
                return Ok(Some(letter));
            }
        }
        Ok(None)
    }

    /// Discards a letter that was found.
    pub(crate) async fn take(&mut self, letter: &Letter) -> Result<(), OpsError> {
        // before it is gone: the event misses none, even if the answer is never seen
        self.done.note(letter.id());
        self.look.held.ack(letter.tag).await
    }

    /// Gives back what was not discarded, and says what was done.
    ///
    /// # Errors
    ///
    /// A broker that is lost, which gives it back by itself.
    pub async fn end(self) -> Result<Done, OpsError> {
        let done = Done {
            total: self.look.total(),
            not_looked_at: self.look.not_looked_at(),
            ..self.done
        };
        if done.done > 0 {
            let (ops, by) = (self.look.ops, self.by.as_deref());
            ops.tell_of(by, "discard", &self.queue, &done);
        }
        self.look.end().await?;
        Ok(done)
    }
}

impl fmt::Debug for Discarding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discarding")
            .field("queue", &self.queue)
            .field("done", &self.done.done)
            .finish_non_exhaustive()
    }
}
