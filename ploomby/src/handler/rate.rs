use std::time::Duration;

/// How many messages a handler begins within a time, at an even pace: for those that call what has a limit.
///
/// `Rate::per_second(100)` is one message each 10 ms, give or take 10 ms. With a [`burst`](Self::burst), so many may
/// begin at once after a while with fewer messages. Each attempt counts, and for a handler of a
/// [`Batch`](crate::extract::Batch), each batch.
///
/// What is above the rate waits. A few messages wait in the program, within the prefetch. If the queue has other
/// handlers, no more than half of the prefetch is taken by messages that wait for their rate, and the rest wait in retry
/// queues, for no attempt, and come back before it is their turn: the other handlers are not held up. So long as the
/// messages of half a prefetch begin within 150 ms, none is away: they pass quickly. If the order is kept (`ordered_by`, a
/// `concurrency` of 1), or no copy can be made, all stay here, take places of the prefetch, and hold up the others.
///
/// RabbitMQ takes back what is unsettled for half an hour. Where messages may be away, none waits here for more than 10
/// minutes; where the order is kept, choose a prefetch that the rate works off in less. The default prefetch does, if all
/// handlers of the queue share a rate.
///
/// A rate is that of one program: two instances begin twice as many. It begins anew with the program.
///
/// ```
/// use ploomby::{Queue, Rate};
///
/// // all handlers of the queue together, but those with a rate of their own
/// let queue = Queue::new("billing").rate(Rate::per_second(100).burst(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    messages: u32,
    per: Duration,
    burst: u32,
}

impl Rate {
    /// So many messages a second.
    #[must_use]
    pub const fn per_second(messages: u32) -> Self {
        Self::per(messages, Duration::from_secs(1))
    }

    /// So many messages a minute.
    #[must_use]
    pub const fn per_minute(messages: u32) -> Self {
        Self::per(messages, Duration::from_secs(60))
    }

    /// So many messages an hour.
    #[must_use]
    pub const fn per_hour(messages: u32) -> Self {
        Self::per(messages, Duration::from_secs(60 * 60))
    }

    const fn per(messages: u32, per: Duration) -> Self {
        Self {
            messages,
            per,
            burst: 1,
        }
    }

    /// So many messages may begin at once, after as many were not there (default: 1; zero means 1).
    #[must_use]
    pub const fn burst(mut self, messages: u32) -> Self {
        self.burst = messages;
        self
    }

    /// As people write it, such as `100/s`.
    pub(crate) fn told(self) -> String {
        let unit = match self.per.as_secs() {
            1 => "s",
            60 => "min",
            _ => "h",
        };
        let burst = match self.burst {
            0 | 1 => String::new(),
            burst => format!(", {burst} at once"),
        };
        format!("{}/{unit}{burst}", self.messages)
    }

    /// Whether no message would ever begin.
    pub(crate) fn is_zero(self) -> bool {
        self.messages == 0
    }

    /// The time from one message to the next.
    pub(super) fn period(self) -> Duration {
        self.per / self.messages.max(1)
    }

    /// How many messages may begin at once.
    pub(super) fn at_once(self) -> u32 {
        self.burst.max(1)
    }
}
