use std::time::Duration;

use crate::consumer::options::{QueueOptions, queue_option_setters};

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
///
/// A quorum queue that is declared with neither a dead-letter exchange nor a delivery limit gets
/// its dead-letter queue for the messages that the broker itself gives up: from RabbitMQ 4.0 on it
/// drops a message that came back 20 times otherwise. Where its length is not limited either, it keeps them until
/// the dead-letter queue has them (`x-dead-letter-strategy: at-least-once`). A quorum queue that exists is used as
/// it is, so give it both by a policy.
///
/// Source: [poison message
/// handling](https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling).
#[derive(Clone, Debug, Default)]
pub struct RabbitOptions {
    pub(super) options: QueueOptions,
}

impl RabbitOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    queue_option_setters!();
}

impl From<QueueOptions> for RabbitOptions {
    fn from(options: QueueOptions) -> Self {
        Self { options }
    }
}

/// How often a lost connection is opened again before the program ends.
///
/// The pauses between two tries grow from a fifth of a second to two seconds, each shortened by
/// chance, so that many programs do not come back in the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    attempts: Option<u32>,
    longest_pause: Duration,
}

/// The first pause is this long, at most.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// No pause is longer, so that a broker that is back is found soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Reconnect {
    /// Tries until the broker is back.
    #[must_use]
    pub fn forever() -> Self {
        Self {
            attempts: None,
            longest_pause: LONGEST_PAUSE,
        }
    }

    /// Ends the program when the connection is lost.
    #[must_use]
    pub fn never() -> Self {
        Self::attempts(0)
    }

    /// Ends the program after this many tries in a row.
    #[must_use]
    pub fn attempts(attempts: u32) -> Self {
        Self {
            attempts: Some(attempts),
            ..Self::forever()
        }
    }

    /// No pause between two tries is longer (default: 2 s).
    #[must_use]
    pub fn longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    pub(super) fn allows(self, attempt: u32) -> bool {
        self.attempts.is_none_or(|most| attempt <= most)
    }

    /// The pause before this try, by chance between none and one that doubles each time.
    pub(super) fn pause(self, attempt: u32) -> Duration {
        let doubled = FIRST_PAUSE * 2_u32.saturating_pow((attempt - 1).min(8));
        doubled.min(self.longest_pause).mul_f64(fastrand::f64())
    }
}
