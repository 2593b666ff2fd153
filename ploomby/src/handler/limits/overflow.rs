use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::stage::Stage;

/// The messages of a handler that are above its rate: which of them wait here, and which are better away.
///
/// What is away must be back before the handler has nothing to do. So it is known when messages come back, and none is
/// away for longer than those that wait here, and come back before it, keep the handler busy.
#[derive(Debug)]
pub(crate) struct Overflow {
    period: Duration,
    /// How many messages begin at once, in each period.
    messages: usize,
    /// How many may wait here, so that others come through.
    most: usize,
    /// The shortest delay.
    least: Duration,
    waiting: AtomicUsize,
    since: Instant,
    stage: Stage,
    /// Those that come back, by the time from which they do.
    returns: Mutex<BTreeMap<Duration, Return>>,
}

/// Messages that come back at about the same time.
#[derive(Debug, Default)]
struct Return {
    count: usize,
    last: Duration,
}

/// A message that waits here, until this is dropped.
pub(crate) struct Queued(Arc<Overflow>);

/// RabbitMQ takes back what was not settled within half an hour. What would wait for longer than this is better away.
pub(super) const LONGEST_HERE: Duration = Duration::from_secs(10 * 60);

/// How long messages wait in a retry queue.
const DELAYS: [Duration; 6] = [
    Duration::from_secs(300),
    Duration::from_secs(30),
    Duration::from_secs(5),
    Duration::from_secs(1),
    Duration::from_millis(300),
    SHORTEST_DELAY,
];

/// Messages that begin faster than they could be away and back hold up nobody for long.
const SHORTEST_DELAY: Duration = Duration::from_millis(100);

/// Returns within as long are counted together, and with longer delays, those within a second.
const TICK: Duration = Duration::from_millis(100);

impl Overflow {
    /// So many `messages` begin in each `period`. If others are to come through, no more than `most` wait here.
    pub(super) fn new(
        messages: usize,
        period: Duration,
        most: Option<usize>,
        stage: &Stage,
    ) -> Arc<Self> {
        let messages = messages.max(1);
        let all_here = time_of(most.unwrap_or(usize::MAX), messages, period);
        let least = DELAYS[3..]
            .iter()
            .find(|delay| with_margin(**delay) <= all_here);
        Arc::new(Self {
            period,
            messages,
            most: most.filter(|_| least.is_some()).unwrap_or(usize::MAX),
            least: *least.unwrap_or(&SHORTEST_DELAY),
            waiting: AtomicUsize::new(0),
            since: stage.now(),
            stage: stage.clone(),
            returns: Mutex::default(),
        })
    }

    /// Has one more message wait here.
    pub(super) fn enter(self: &Arc<Self>) -> Queued {
        self.waiting.fetch_add(1, Relaxed);
        Queued(self.clone())
    }

    /// For how long a message is better away, where the first turn is after `wait`; `None` if it waits here.
    pub(super) fn delay(&self, wait: Duration) -> Option<Duration> {
        let waiting = self.waiting.load(Relaxed);
        let here = wait.saturating_add(self.time_of(waiting));
        if waiting < self.most && here <= LONGEST_HERE {
            return None;
        }
        let busy = self.busy_for(here);
        let delay = DELAYS.into_iter().find(|delay| with_margin(*delay) <= busy);
        Some(delay.map_or(self.least, |delay| delay.max(self.least)))
    }

    /// A message is away for as long.
    pub(super) fn sent_away(&self, delay: Duration) {
        let tick = if delay > Duration::from_secs(1) {
            10 * TICK
        } else {
            TICK
        };
        let last = self.elapsed() + delay;
        // rather too early: what is here and counts as away, too, would be twice as much to do
        let ticks = last.as_millis() / tick.as_millis();
        let first = tick.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX));
        let mut returns = self.lock();
        let at_about = returns.entry(first).or_default();
        at_about.count += 1;
        at_about.last = last.max(at_about.last);
    }

    /// How long the handler has something to do, whose messages here keep it busy for as long as `here`.
    fn busy_for(&self, here: Duration) -> Duration {
        let now = self.elapsed();
        let mut returns = self.lock();
        while returns
            .first_key_value()
            .is_some_and(|(first, _)| *first <= now)
        {
            returns.pop_first();
        }
        let mut busy = here;
        for Return { count, last } in returns.values() {
            let wait = *last - now;
            // it is on its way for a moment, too
            if wait + wait / 8 > busy {
                break;
            }
            busy = busy.saturating_add(self.time_of(*count));
        }
        busy
    }

    /// How long it takes until so many have begun.
    fn time_of(&self, count: usize) -> Duration {
        time_of(count, self.messages, self.period)
    }

    fn elapsed(&self) -> Duration {
        self.stage.now() - self.since
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Duration, Return>> {
        self.returns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn time_of(count: usize, messages: usize, period: Duration) -> Duration {
    let nanos = period.as_nanos().saturating_mul(count as u128) / messages as u128;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A message that is away for as long has to come here again.
fn with_margin(delay: Duration) -> Duration {
    delay + delay / 2
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Messages that come all at once, and a handler that takes one in each period: how long it takes, and how often
    /// messages were away.
    async fn work_off(overflow: &Arc<Overflow>, messages: usize) -> (Duration, usize) {
        let begun = Instant::now();
        let (mut here, mut away) = (Vec::new(), BTreeMap::<Instant, usize>::new());
        let (mut arrived, mut left, mut copies) = (messages, messages, 0);
        while left > 0 {
            for _ in 0..std::mem::take(&mut arrived) {
                match overflow.delay(Duration::ZERO) {
                    None => here.push(overflow.enter()),
                    Some(delay) => {
                        overflow.sent_away(delay);
                        copies += 1;
                        *away.entry(Instant::now() + delay).or_default() += 1;
                    }
                }
            }
            let pause = match (here.pop(), away.first_key_value()) {
                (None, Some((next, _))) => next.saturating_duration_since(Instant::now()),
                _ => {
                    left -= 1;
                    overflow.period
                }
            };
            tokio::time::advance(pause).await;
            let later = away.split_off(&(Instant::now() + Duration::from_nanos(1)));
            arrived = std::mem::replace(&mut away, later).into_values().sum();
        }
        (begun.elapsed(), copies)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_away_comes_back_before_there_is_nothing_to_do() {
        for (period, most) in [(10, 32), (20, 32), (200, 4), (1_000, 32), (30_000, 8)] {
            const MESSAGES: usize = 1_000;

            let period = Duration::from_millis(period);
            let overflow = Overflow::new(1, period, Some(most), &Stage::default());
            let (took, copies) = work_off(&overflow, MESSAGES).await;
            let even = period * MESSAGES as u32;
            assert!(
                took <= even + even / 20,
                "{period:?}: {took:?}, not {even:?}"
            );
            println!("{period:?}: {} copies of each", copies / MESSAGES);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_would_wait_for_too_long_is_away_whoever_else_is_there() {
        let overflow = Overflow::new(1, SECOND * 360, None, &Stage::default());
        let mut waiting = Vec::new();
        while overflow.delay(SECOND).is_none() {
            waiting.push(overflow.enter());
        }
        assert_eq!(waiting.len(), 2);
        assert_eq!(overflow.delay(SECOND), Some(SECOND * 300));
    }

    #[tokio::test(start_paused = true)]
    async fn what_begins_faster_than_it_could_be_away_stays_here() {
        let overflow = Overflow::new(1, Duration::from_millis(1), Some(32), &Stage::default());
        let waiting: Vec<_> = (0..1_000).map(|_| overflow.enter()).collect();
        assert_eq!(overflow.delay(SECOND), None);
        drop(waiting);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_one_turn() {
        let overflow = Overflow::new(100, SECOND, Some(200), &Stage::default());
        let _waiting: Vec<_> = (0..200).map(|_| overflow.enter()).collect();
        assert_eq!(overflow.delay(Duration::ZERO), Some(SECOND));
    }
}
