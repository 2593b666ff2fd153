//! How many messages a second.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The rate is of so much time, or of what there is.
const WINDOW: Duration = Duration::from_secs(10);

/// Counts are not noted more often.
const PAUSE: Duration = Duration::from_millis(900);

/// What was counted at some moments, as somebody looked.
#[derive(Debug)]
pub(super) struct Rates(Mutex<VecDeque<(Instant, Counts)>>);

/// By queue.
pub(super) type Counts = BTreeMap<String, u64>;

impl Rates {
    /// Nothing was counted yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new([(Instant::now(), Counts::new())].into()))
    }

    /// How many a second there were of each queue, with the counts of this moment.
    pub(super) fn of(&self, counts: &Counts) -> BTreeMap<String, f64> {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if samples.back().is_none_or(|(at, _)| now - *at >= PAUSE) {
            samples.push_back((now, counts.clone()));
        }
        // the one before the window stays, so that there is one from which on to count
        while samples.get(1).is_some_and(|(at, _)| now - *at >= WINDOW) {
            samples.pop_front();
        }
        let Some((at, before)) = samples.front() else {
            return BTreeMap::new();
        };
        let seconds = (now - *at).as_secs_f64().max(0.1);
        let rates = counts.iter().map(|(queue, count)| {
            let before = before.get(queue).copied().unwrap_or_default();
            (queue.clone(), count.saturating_sub(before) as f64 / seconds)
        });
        rates.collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_of_the_last_seconds() {
        let rates = Rates::new();
        let of = |count| rates.of(&[("q".to_owned(), count)].into())["q"];
        advance(Duration::from_secs(4)).await;
        assert_eq!(of(40), 10.0);
        // nobody looked for an hour
        advance(Duration::from_secs(3_600)).await;
        assert!(of(40) < 0.1);
        for second in 1..=20 {
            advance(Duration::from_secs(1)).await;
            of(40 + second * 100);
        }
        assert_eq!(of(2_040), 100.0);
        assert!(rates.0.lock().unwrap().len() < 15);
    }
}
