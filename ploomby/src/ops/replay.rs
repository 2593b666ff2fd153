use std::{collections::HashSet, fmt, time::Duration};

use tokio::time::{Instant, sleep_until};

pub(super) use self::message::{PAUSE, message_of};
use super::{Done, Edit, Filter, Fit, Letter, Look, Ops, OpsError};
use crate::{consumer::Declare, delivery::KeySource, message::Message};

mod canary;
mod message;

/// Which letters are replayed, and how.
///
/// ```
/// use std::time::Duration;
/// use ploomby::ops::{Filter, Replay};
///
/// // five first, and the others if none of these has come back after ten seconds; then twenty a second
/// let replay = Replay::new(Filter::all().key("charge"))
///     .canary(5, Duration::from_secs(10))
///     .every(Duration::from_millis(50));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Replay {
    filter: Filter,
    limit: usize,
    scan: usize,
    every: Duration,
    canary: Option<(usize, Duration)>,
    to: Option<String>,
    edit: Option<Edit>,
    is_dry: bool,
    by: Option<String>,
}

/// A letter that was replayed, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// The letter.
    pub id: String,
    /// The queue that has the message now.
    pub queue: String,
}

/// Letters that are replayed one after another, in their order.
///
/// It ends with the last letter that was there when it began: what fails again meanwhile is not replayed again.
/// Between two letters it can be ended at any time, by [`end`](Self::end).
#[must_use = "what it holds goes back by `end`"]
pub struct Replaying<'o> {
    look: Look<'o>,
    queue: String,
    replay: Replay,
    done: Done,
    next_at: Instant,
    /// The letters that were replayed first, by what they hold.
    canaries: HashSet<u64>,
    is_waiting_declared: bool,
}

impl Replay {
    /// These letters, as fast as the broker takes them.
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            limit: usize::MAX,
            scan: usize::MAX,
            every: Duration::ZERO,
            canary: None,
            to: None,
            edit: None,
            is_dry: false,
            by: None,
        }
    }

    /// So many at most.
    pub fn limit(mut self, letters: usize) -> Self {
        self.limit = letters;
        self
    }

    /// Looks at so many letters at most.
    pub fn scan(mut self, letters: usize) -> Self {
        self.scan = letters;
        self
    }

    /// Leaves this time between two letters.
    pub fn every(mut self, time: Duration) -> Self {
        self.every = time;
        self
    }

    /// Replays so many at first, and waits for so long. If one of them fails again meanwhile, no other is replayed.
    pub fn canary(mut self, letters: usize, wait: Duration) -> Self {
        self.canary = Some((letters, wait));
        self
    }

    /// To this queue, in place of the one where they failed.
    pub fn to(mut self, queue: impl Into<String>) -> Self {
        self.to = Some(queue.into());
        self
    }

    /// Changed so. A letter that the program would not take then stays where it is: [`OpsError::Unfit`]. What is sent
    /// says in its header `ploomby-edited-from` which letter it was.
    pub fn edited(mut self, edit: Edit) -> Self {
        self.edit = Some(edit);
        self
    }

    /// For whom: their name stands in the event that it leaves, in place of the user of the process.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.by = Some(who.into());
        self
    }

    /// Moves nothing, and says what would be.
    pub fn dry_run(mut self) -> Self {
        self.is_dry = true;
        self
    }
}

impl Ops {
    /// Begins to send the letters of a queue back to where they failed. They start anew: neither attempts nor what the
    /// broker counted are left. How often a letter was replayed stands in its header `ploomby-replayed`, and when in
    /// `ploomby-replayed-at`.
    ///
    /// A message that came by an exchange has its own address again, as in a retry: it waits for a second in the retry
    /// queue of that delay. All others go straight to their queue.
    ///
    /// # Errors
    ///
    /// As those of [`look`](Self::look).
    pub async fn replay(&self, queue: &str, replay: Replay) -> Result<Replaying<'_>, OpsError> {
        Ok(Replaying {
            look: self.look(queue).await?.scan(replay.scan),
            queue: queue.to_owned(),
            replay,
            done: Done::default(),
            next_at: Instant::now(),
            canaries: HashSet::new(),
            is_waiting_declared: false,
        })
    }
}

impl Replaying<'_> {
    /// Replays the next letter. None after the last.
    ///
    /// # Errors
    ///
    /// A letter that its queue does not take stays where it is, and so do those after it. [`OpsError::CameBack`] where a
    /// canary failed again. End it then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, a letter may be in both queues.
    pub async fn next(&mut self) -> Result<Option<Replayed>, OpsError> {
        match self.find().await? {
            Some(letter) => self.take(&letter).await.map(Some),
            None => Ok(None),
        }
    }

    /// The next letter that is to be replayed, once it is its turn. Dropped before it is done, nothing has happened to any.
    pub(crate) async fn find(&mut self) -> Result<Option<Letter>, OpsError> {
        let most = self.replay.filter.most().unwrap_or(usize::MAX);
        while self.done.done < self.replay.limit.min(most) {
            self.watch_canaries().await?;
            let Some(letter) = self.look.next().await? else {
                return Ok(None);
            };
            if self.replay.filter.matches(&letter) {
                if !self.replay.is_dry {
                    sleep_until(self.next_at).await;
                }
                return Ok(Some(letter));
            }
        }
        Ok(None)
    }

    /// Gives back what was not replayed, and says what was done.
    ///
    /// # Errors
    ///
    /// A broker that is lost, which gives it back by itself.
    pub async fn end(self) -> Result<Done, OpsError> {
        let (ops, is_dry) = (self.look.ops, self.replay.is_dry);
        let done = Done {
            total: self.look.total(),
            not_looked_at: self.look.not_looked_at(),
            ..self.done
        };
        if !is_dry && done.done > 0 {
            let act = match self.replay.edit {
                Some(_) => "edit",
                None => "replay",
            };
            ops.tell_of(self.replay.by.as_deref(), act, &self.queue, &done);
        }
        self.look.end().await?;
        Ok(done)
    }

    /// How many letters there were at the beginning.
    pub fn total(&self) -> usize {
        self.look.total()
    }

    /// Replays a letter that was found.
    pub(crate) async fn take(&mut self, letter: &Letter) -> Result<Replayed, OpsError> {
        let id = letter.id();
        let to = self.replay.to.clone().unwrap_or_else(|| self.queue.clone());
        self.check_edit(letter)?;
        if !self.replay.is_dry {
            self.next_at = self.next_at.max(Instant::now() - self.replay.every) + self.replay.every;
            if let Err(error) = self.send(letter, &to).await {
                return match error {
                    OpsError::Publish { error, .. } => Err(OpsError::Publish { id, error }),
                    error => Err(error),
                };
            }
            // only now: it is in its queue
            self.look.held.ack(letter.tag).await?;
            if self.replay.canary.is_some() {
                self.canaries.insert(letter.fingerprint());
            }
        }
        self.done.note(id.clone());
        Ok(Replayed { id, queue: to })
    }

    async fn send(&mut self, letter: &Letter, to: &str) -> Result<(), OpsError> {
        let ops = self.look.ops;
        let failed = |error| OpsError::Publish {
            id: letter.id(),
            error,
        };
        let written = |message: Result<Message, _>| {
            message.map_err(|error: crate::PropertyError| failed(error.into()))
        };
        let user = ops.source.user();
        let message = written(message_of(letter, letter.replayed() + 1, user))?;
        let message = written(self.edited(letter, message))?;
        let has_address = self.replay.to.is_none() && message::address(&message).is_some();
        let waiting = ops.program.waiting_queue(to, PAUSE);
        let (target, message) = match waiting.filter(|_| has_address) {
            Some(waiting) => {
                self.declare_waiting(&waiting).await?;
                (waiting.name, written(message::with_address(message))?)
            }
            None => (to.to_owned(), written(message::without_address(message))?),
        };
        let publisher = ops.publisher().await.map_err(failed)?;
        let sent = publisher.to(&target).verbatim(message).send().await;
        sent.map_err(failed)
    }

    /// Whether a letter that is edited is one that the program takes.
    fn check_edit(&self, letter: &Letter) -> Result<(), OpsError> {
        let Some(edit) = &self.replay.edit else {
            return Ok(());
        };
        let ops = self.look.ops;
        let goes_straight =
            self.replay.to.is_some() || ops.program.waiting_queue(&self.queue, PAUSE).is_none();
        if goes_straight && edit.changes_routing_key(&self.key_source()) {
            return Err(OpsError::Unfit {
                id: letter.id(),
                reason: "its key is the routing key".to_owned(),
                error: "the routing key of what goes straight to a queue is the queue's name: publish a message of \
                        that key, and discard the letter"
                    .to_owned(),
            });
        }
        if edit.cannot_write_key(&self.key_source()) {
            return Err(OpsError::Unfit {
                id: letter.id(),
                reason: format!("its key is in {}", self.key_source()),
                error: "nothing else is where the key could be written: change the body".to_owned(),
            });
        }
        let message = message_of(letter, 0, ops.source.user());
        let message = message.and_then(|message| self.edited(letter, message));
        let message = message.map_err(|error| OpsError::Publish {
            id: letter.id(),
            error: error.into(),
        })?;
        let address = message::address(&message);
        let address = address.unwrap_or_else(|| (String::new(), self.queue.clone()));
        match ops.fit(&self.queue, (&address.0, &address.1), message) {
            Fit::Fits | Fit::NotKnown => Ok(()),
            Fit::Unfit { reason, error } => Err(OpsError::Unfit {
                id: letter.id(),
                reason,
                error,
            }),
        }
    }

    fn edited(&self, letter: &Letter, message: Message) -> Result<Message, crate::PropertyError> {
        let Some(edit) = &self.replay.edit else {
            return Ok(message);
        };
        edit.apply(letter, &message, &self.key_source())
    }

    fn key_source(&self) -> KeySource {
        let set_up = self.look.ops.program.set_up(&self.queue);
        set_up.map_or(KeySource::MessageType, |queue| queue.key.clone())
    }

    async fn declare_waiting(
        &mut self,
        waiting: &crate::consumer::companions::Declared,
    ) -> Result<(), OpsError> {
        let ops = self.look.ops;
        let set_up = ops.program.set_up(&self.queue);
        let is_declared = set_up.is_some_and(|queue| queue.options.declare == Some(Declare::Never));
        if !is_declared && !self.is_waiting_declared {
            ops.source.declare(&self.queue, waiting).await?;
            self.is_waiting_declared = true;
        }
        Ok(())
    }
}

impl fmt::Debug for Replaying<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replaying")
            .field("queue", &self.queue)
            .field("done", &self.done.done)
            .finish_non_exhaustive()
    }
}
