use crate::message::Value;

/// What can be chosen for a queue of the memory broker.
///
/// ```
/// use ploomby::memory::MemoryOptions;
///
/// let options = MemoryOptions::new()
///     .prefetch(16)
///     .queue_argument("x-max-length", 10_000)
///     .dead_letter_queue("parked");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct MemoryOptions {
    pub(super) prefetch: u16,
    pub(super) concurrency: Option<usize>,
    pub(super) arguments: Vec<(String, Value)>,
    pub(super) dead_letter_queue: Option<String>,
}

const DEFAULT_PREFETCH: u16 = 64;

impl MemoryOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            prefetch: DEFAULT_PREFETCH,
            concurrency: None,
            arguments: Vec::new(),
            dead_letter_queue: None,
        }
    }

    /// How many unsettled deliveries a consumer holds at most (default: 64). 0, which is no limit
    /// in AMQP, is refused.
    pub fn prefetch(mut self, messages: u16) -> Self {
        self.prefetch = messages;
        self
    }

    /// How many handlers of the queue may run at the same time, all consumers together (default:
    /// the prefetch of all consumers). 0 is refused.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = Some(handlers);
        self
    }

    /// An argument that the queue is declared with where it does not exist yet.
    pub fn queue_argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.arguments.push((name.into(), value.into()));
        self
    }

    /// The queue that keeps what cannot be handled (default: `<queue>_dlq`).
    pub fn dead_letter_queue(mut self, name: impl Into<String>) -> Self {
        self.dead_letter_queue = Some(name.into());
        self
    }
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self::new()
    }
}
