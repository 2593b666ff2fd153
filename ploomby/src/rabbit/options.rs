use crate::message::Value;

/// How many unsettled messages the broker may send ahead where nothing else is said.
const DEFAULT_PREFETCH: u16 = 64;

/// What can be chosen for each queue on RabbitMQ.
///
/// ```
/// use ploomby::rabbit::RabbitOptions;
///
/// let options = RabbitOptions::new()
///     .prefetch(16)
///     .queue_argument("x-queue-type", "quorum")
///     .dead_letter_queue("users_failed");
/// ```
#[derive(Clone, Debug)]
pub struct RabbitOptions {
    pub(super) prefetch: u16,
    pub(super) concurrency: Option<usize>,
    pub(super) queue_arguments: Vec<(String, Value)>,
    pub(super) dead_letter_queue: Option<String>,
}

impl Default for RabbitOptions {
    fn default() -> Self {
        Self {
            prefetch: DEFAULT_PREFETCH,
            concurrency: None,
            queue_arguments: Vec::new(),
            dead_letter_queue: None,
        }
    }
}

impl RabbitOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many unsettled messages the broker may send ahead to each consumer (default: 64). This
    /// bounds the memory that a queue takes. Zero, which means no limit to RabbitMQ, is refused.
    ///
    /// Source: [consumer prefetch](https://www.rabbitmq.com/docs/consumer-prefetch).
    #[must_use]
    pub fn prefetch(mut self, messages: u16) -> Self {
        self.prefetch = messages;
        self
    }

    /// How many handlers of the queue may run at the same time in this program (default: as many
    /// as messages can be there, prefetch times consumers). With one consumer, 1 keeps the order
    /// of the queue.
    #[must_use]
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = Some(handlers);
        self
    }

    /// An argument for declaring the queue, such as `x-queue-type`. A queue that exists is used as
    /// it is.
    ///
    /// Source: [optional queue arguments](https://www.rabbitmq.com/docs/queues#optional-arguments).
    #[must_use]
    pub fn queue_argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.queue_arguments.push((name.into(), value.into()));
        self
    }

    /// Where messages go that cannot be handled (default: the queue's name with `_dlq`).
    #[must_use]
    pub fn dead_letter_queue(mut self, name: impl Into<String>) -> Self {
        self.dead_letter_queue = Some(name.into());
        self
    }
}

/// How often a lost connection is opened again before the program ends.
///
/// The pauses between two tries grow from a fifth of a second to three seconds, each shortened by
/// chance, so that many programs do not come back in the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect(Option<u32>);

impl Reconnect {
    /// Tries until the broker is back.
    #[must_use]
    pub fn forever() -> Self {
        Self(None)
    }

    /// Ends the program when the connection is lost.
    #[must_use]
    pub fn never() -> Self {
        Self(Some(0))
    }

    /// Ends the program after this many tries in a row.
    #[must_use]
    pub fn attempts(attempts: u32) -> Self {
        Self(Some(attempts))
    }

    pub(super) fn allows(self, attempt: u32) -> bool {
        self.0.is_none_or(|most| attempt <= most)
    }
}
