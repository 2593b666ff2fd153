//! How often a handler tries a message that failed, and after which pauses.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Duration,
};

use tracing::error;

use crate::outcome::Failure;

/// A delay in whole milliseconds, as the broker counts: it is the least time that a message waits.
pub(crate) fn whole_milliseconds(delay: Duration) -> Duration {
    let milliseconds = delay.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX))
}

/// How often a handler tries a message, and how long the message waits between two attempts.
///
/// It waits in the broker, in a queue of its own for each delay, so that neither a restart nor a
/// longer delay before it holds it up. The number of the attempt travels with the message: three
/// programs on one queue make as many attempts together as one would. What still fails goes to the
/// dead-letter queue, with the last error.
///
/// An attempt fails by the handler's error, its panic, its timeout or
/// [`Outcome::Retry`](crate::Outcome::Retry). What will fail the same way again is not retried: a
/// message without a handler, a body that cannot be decoded, an error marked as [`Permanent`](crate::Permanent).
///
/// The default is [`none`](Self::none): only the author knows whether a handler may run twice.
///
/// ```
/// use std::time::Duration;
/// use ploomby::Retry;
///
/// // at once, then after about 1, 2, 4 and 8 seconds
/// let retry = Retry::exponential(5);
/// // three attempts, ten seconds apart, if another attempt may help
/// let retry = Retry::fixed(3, Duration::from_secs(10))
///     .retry_if(|error| error.is::<std::io::Error>());
/// ```
#[derive(Clone)]
pub struct Retry {
    attempts: u32,
    backoff: Backoff,
    retry_if: Option<Arc<Predicate>>,
}

type Predicate = dyn Fn(&anyhow::Error) -> bool + Send + Sync;

#[derive(Clone, Debug)]
enum Backoff {
    Fixed(Duration),
    Exponential {
        first: Duration,
        longest: Duration,
        has_jitter: bool,
    },
    Delays(Arc<[Duration]>),
}

/// The first delay of [`Retry::exponential`].
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// No delay of [`Retry::exponential`] is longer, unless told otherwise.
const LONGEST_DELAY: Duration = Duration::from_secs(60 * 60);

/// By how many percent chance may shorten an exponential delay. They are two, since each delay is a
/// queue of its own: 13 doublings up to an hour are 26 queues.
const JITTER: [u32; 2] = [0, 25];

impl Retry {
    /// One attempt, and no more.
    #[must_use]
    pub fn none() -> Self {
        Self::fixed(1, Duration::ZERO)
    }

    /// So many attempts in all, each this long after the one before.
    #[must_use]
    pub fn fixed(attempts: u32, delay: Duration) -> Self {
        Self::new(attempts, Backoff::Fixed(delay))
    }

    /// So many attempts in all. The second follows after a second, and each delay is twice the one
    /// before, up to an hour.
    ///
    /// Chance shortens every other delay by a quarter, so that messages which failed together do not all come
    /// back together. So each doubling has two queues, [`without_jitter`](Self::without_jitter) one.
    #[must_use]
    pub fn exponential(attempts: u32) -> Self {
        Self::new(
            attempts,
            Backoff::Exponential {
                first: FIRST_DELAY,
                longest: LONGEST_DELAY,
                has_jitter: true,
            },
        )
    }

    /// One attempt, and one more after each of these delays.
    #[must_use]
    pub fn delays(delays: impl IntoIterator<Item = Duration>) -> Self {
        let delays: Arc<[Duration]> = delays.into_iter().collect();
        let retries = u32::try_from(delays.len()).unwrap_or(u32::MAX);
        Self::new(retries.saturating_add(1), Backoff::Delays(delays))
    }

    fn new(attempts: u32, backoff: Backoff) -> Self {
        Self {
            attempts,
            backoff,
            retry_if: None,
        }
    }

    /// The first delay of an [`exponential`](Self::exponential) retry (default: one second).
    #[must_use]
    pub fn starting_at(mut self, delay: Duration) -> Self {
        if let Backoff::Exponential { first, .. } = &mut self.backoff {
            *first = delay;
        }
        self
    }

    /// The longest delay of an [`exponential`](Self::exponential) retry (default: one hour).
    #[must_use]
    pub fn up_to(mut self, delay: Duration) -> Self {
        if let Backoff::Exponential { longest, .. } = &mut self.backoff {
            *longest = delay;
        }
        self
    }

    /// Leaves the delays of an [`exponential`](Self::exponential) retry as they are, which halves the number of
    /// queues that messages wait in.
    #[must_use]
    pub fn without_jitter(mut self) -> Self {
        if let Backoff::Exponential { has_jitter, .. } = &mut self.backoff {
            *has_jitter = false;
        }
        self
    }

    /// Retries only the handler's errors that the function says yes to. Panics, timeouts and
    /// [`Outcome::Retry`](crate::Outcome::Retry) carry no error, and are retried.
    #[must_use]
    pub fn retry_if(
        mut self,
        is_retried: impl Fn(&anyhow::Error) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.retry_if = Some(Arc::new(is_retried));
        self
    }

    /// How long the message waits for its next attempt; `None` if no attempt is left.
    pub(crate) fn next(&self, attempt: u32, failure: &Failure) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        // both ask code of the user's, whose panic must not leave the message unsettled
        let is_retried = panic::catch_unwind(AssertUnwindSafe(|| {
            let by_predicate = match (&self.retry_if, failure.error()) {
                (Some(is_retried), Some(error)) => is_retried(error),
                _ => true,
            };
            by_predicate && failure.is_retriable()
        }));
        match is_retried {
            Ok(true) => Some(self.delay(attempt, fastrand::usize(..JITTER.len()))),
            Ok(false) => None,
            Err(_) => {
                error!("`retry_if` panicked: the message is not tried again");
                None
            }
        }
    }

    /// How many attempts there are in all.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// All delays that there can be, each once.
    pub(crate) fn all_delays(&self) -> Vec<Duration> {
        let mut delays = Vec::new();
        for attempt in 1..self.attempts {
            let of_attempt = (0..JITTER.len()).map(|step| self.delay(attempt, step));
            let known = delays.len();
            delays.extend(of_attempt);
            delays.sort_unstable();
            delays.dedup();
            let repeats = !matches!(self.backoff, Backoff::Delays(_));
            // the longest one comes again from here on
            if repeats && delays.len() == known {
                break;
            }
        }
        delays
    }

    /// The delay after an attempt, in whole milliseconds, as the broker counts.
    fn delay(&self, attempt: u32, jitter: usize) -> Duration {
        let delay = match &self.backoff {
            Backoff::Fixed(delay) => *delay,
            Backoff::Exponential {
                first,
                longest,
                has_jitter,
            } => {
                let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
                let delay = first.saturating_mul(doubled).min(*longest);
                match has_jitter {
                    true => delay - delay / 100 * JITTER[jitter],
                    false => delay,
                }
            }
            Backoff::Delays(delays) => usize::try_from(attempt - 1)
                .ok()
                .and_then(|index| delays.get(index))
                .copied()
                .unwrap_or_default(),
        };
        whole_milliseconds(delay)
    }
}

/// None.
impl Default for Retry {
    fn default() -> Self {
        Self::none()
    }
}

/// So many attempts in all, with exponential delays.
impl From<u32> for Retry {
    fn from(attempts: u32) -> Self {
        Self::exponential(attempts)
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("attempts", &self.attempts)
            .field("backoff", &self.backoff)
            .field("conditional", &self.retry_if.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Permanent, Reason};

    fn error() -> Failure {
        Failure::handler(anyhow::anyhow!("no"))
    }

    fn seconds(retry: &Retry) -> Vec<Option<u64>> {
        (1..6)
            .map(|attempt| retry.next(attempt, &error()).map(|delay| delay.as_secs()))
            .collect()
    }

    #[test]
    fn attempts_are_counted_with_the_first() {
        assert_eq!(seconds(&Retry::none()), [None; 5]);
        let fixed = Retry::fixed(3, Duration::from_secs(7));
        assert_eq!(seconds(&fixed), [Some(7), Some(7), None, None, None]);
        let listed = Retry::delays([1, 60].map(Duration::from_secs));
        assert_eq!(seconds(&listed), [Some(1), Some(60), None, None, None]);
    }

    #[test]
    fn exponential_delays_double_and_chance_shortens_them_by_a_quarter() {
        let retry = Retry::exponential(4).up_to(Duration::from_secs(2));
        let all: Vec<_> = retry.all_delays().iter().map(Duration::as_millis).collect();
        assert_eq!(all, [750, 1000, 1500, 2000]);
        let without = retry.clone().without_jitter();
        let all: Vec<_> = without
            .all_delays()
            .iter()
            .map(Duration::as_millis)
            .collect();
        assert_eq!(all, [1000, 2000]);
        assert_eq!(Retry::exponential(100).all_delays().len(), 26);
        for attempt in 1..4 {
            let delay = retry.next(attempt, &error()).expect("attempts are left");
            assert!(retry.all_delays().contains(&delay), "{delay:?}");
        }
    }

    #[test]
    fn what_will_fail_again_is_not_retried() {
        let retry = Retry::exponential(5).retry_if(|error| error.to_string() != "no");
        assert_eq!(retry.next(1, &error()), None);
        assert!(
            retry
                .next(1, &Failure::handler(anyhow::anyhow!("yes")))
                .is_some()
        );
        let permanent = anyhow::Error::new(Permanent::msg("gone")).context("cannot charge");
        assert_eq!(retry.next(1, &Failure::handler(permanent)), None);
        let undecodable = Failure::new(Reason::Undecodable, String::new());
        assert_eq!(retry.next(1, &undecodable), None);
        let panic = Failure::new(Reason::Panic, String::new());
        assert!(retry.next(1, &panic).is_some());
    }

    #[test]
    fn a_list_of_delays_is_told_whole() {
        let retry = Retry::delays([1, 1, 60].map(Duration::from_secs));
        assert_eq!(retry.all_delays(), [1, 60].map(Duration::from_secs));
    }

    #[test]
    fn a_predicate_that_panics_says_no() {
        let retry = Retry::exponential(5).retry_if(|_| panic!("in retry_if"));
        assert_eq!(retry.next(1, &error()), None);
    }

    #[test]
    fn a_delay_below_a_millisecond_is_one() {
        let retry = Retry::fixed(2, Duration::from_nanos(1));
        assert_eq!(retry.all_delays(), [Duration::from_millis(1)]);
    }

    #[test]
    fn a_permanent_error_reads_like_the_one_it_marks() {
        let error = anyhow::anyhow!("no such card").context("cannot charge");
        let failure = Failure::handler(Permanent::new(error).into());
        assert_eq!(failure.text, "cannot charge: no such card");
    }
}
