use std::{fmt, time::Duration};

use super::{Draft, PublishError, Publisher, draft_setters};

/// A message that is written and not sent yet; by [`Publisher::to`] or [`Publisher::through`].
///
/// What is wrong with it, such as a header that AMQP cannot carry, shows when it is sent.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// # ploomby::memory::MemoryBroker::named("outgoing").declare_queue("mails", [])?;
/// use std::time::Duration;
/// use ploomby::{Properties, Publisher};
///
/// let publisher = Publisher::connect("memory://outgoing").await?;
/// publisher
///     .to("mails")
///     .key("welcome")
///     .payload(&("ada@example.com", "Ada"))
///     .properties(Properties::new().with_app_id("shop")?)
///     .header("tenant", 7)
///     .priority(5)
///     .expires_after(Duration::from_secs(60))
///     .send()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a message is sent by `send`, or by `Publisher::send_all`"]
pub struct Outgoing<'p> {
    publisher: &'p Publisher,
    draft: Draft,
}

impl<'p> Outgoing<'p> {
    pub(super) fn new(publisher: &'p Publisher, draft: Draft) -> Self {
        Self { publisher, draft }
    }

    draft_setters!(self => self.draft);

    /// How long the message may wait in its queue (default: as long as the queue lets it).
    pub fn expires_after(mut self, after: Duration) -> Self {
        self.draft.set_expiration(after);
        self
    }

    /// Lets the message be lost when the broker restarts, which is faster. Messages are persistent by
    /// default.
    pub fn transient(mut self) -> Self {
        self.draft.set_transient();
        self
    }

    /// Does not mind that no queue takes the message, which is dropped then. A reply is such a
    /// message: whoever asked may be gone, and RabbitMQ takes its address for no queue.
    pub fn allow_unroutable(mut self) -> Self {
        self.draft.allow_unroutable();
        self
    }

    /// Brings the message to its queue after this time, at the earliest.
    ///
    /// It waits in the broker, in a quorum queue `<queue>_delay_<delay>ms`, and RabbitMQ takes it out of there
    /// once the queue that it is for has confirmed it: a crash of either loses nothing, and may bring it
    /// a few minutes late, as `docs/guarantees.md` explains.
    ///
    /// Each delay has a queue of its own, which stays until you delete it: choose from a few, and round what
    /// you compute, such as to minutes. The first message that a publisher sends to a queue with a delay takes a
    /// quarter of a second longer to send. The queue that the message is for has to be there when it is sent.
    ///
    /// The message must neither expire nor go through an exchange.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.draft.set_delay(delay);
        self
    }

    /// Sends the message, and waits until the broker has confirmed that it is in its queue.
    ///
    /// # Errors
    ///
    /// [What an error means](Publisher#what-an-error-means).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the message may be in the queue or not.
    pub fn send(self) -> impl Future<Output = Result<(), PublishError>> + Send + use<'p> {
        self.publisher.deliver(self.draft)
    }

    pub(super) fn into_draft(self) -> Draft {
        self.draft
    }
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.draft, f)
    }
}
