use crate::consumer::options::{QueueOptions, queue_option_setters};

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
#[derive(Clone, Debug, Default)]
pub struct MemoryOptions {
    pub(super) options: QueueOptions,
}

impl MemoryOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    queue_option_setters!();
}

impl From<QueueOptions> for MemoryOptions {
    fn from(options: QueueOptions) -> Self {
        Self { options }
    }
}
