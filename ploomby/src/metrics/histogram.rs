use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The upper bounds of the buckets, in nanoseconds: from a millisecond, below which a handler as a rule waits for
/// nothing, to the hour that a message may wait in its queue.
const BOUNDS: [u64; 16] = [
    1_000_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    300_000_000_000,
    3_600_000_000_000,
];

/// How long things took, counted by ranges.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// One more than there are bounds.
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    #[inline]
    pub(super) fn note(&self, nanos: u64) {
        // from below: nearly all are in the first ones
        let bucket = BOUNDS.iter().position(|bound| nanos <= *bound);
        self.counts[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
    }

    pub(super) fn now(&self) -> Distribution {
        Distribution {
            counts: std::array::from_fn(|bucket| self.counts[bucket].load(Relaxed)),
            nanos: self.nanos.load(Relaxed),
        }
    }
}

/// How long things took: a histogram with fixed buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    counts: [u64; BOUNDS.len() + 1],
    nanos: u64,
}

impl Distribution {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all of them took together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// How many took no longer than each of these bounds: 1, 5, 10, 25, 50, 100, 250 and 500 ms, 1, 2.5, 5, 10, 30 and
    /// 60 s, 5 minutes, an hour.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let mut so_far = 0;
        BOUNDS.iter().zip(self.counts).map(move |(bound, count)| {
            so_far += count;
            (Duration::from_nanos(*bound), so_far)
        })
    }

    /// Adds another one to it.
    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.nanos += other.nanos;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_exactly_a_bound_is_within_it() {
        let histogram = Histogram::default();
        for nanos in [0, 1_000_000, 1_000_001, u64::from(u32::MAX), u64::MAX / 2] {
            histogram.note(nanos);
        }
        let now = histogram.now();
        let buckets: Vec<_> = now.buckets().collect();
        let within = |bound: Duration| buckets.iter().find(|(other, _)| *other == bound).unwrap().1;
        assert_eq!(within(Duration::from_millis(1)), 2);
        assert_eq!(within(Duration::from_millis(5)), 3);
        assert_eq!(within(Duration::from_secs(5)), 4);
        assert_eq!(within(Duration::from_secs(3_600)), 4);
        assert_eq!(now.count(), 5);
    }

    #[test]
    fn the_bounds_grow() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
    }
}
