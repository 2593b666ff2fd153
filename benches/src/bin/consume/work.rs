//! What a handler computes, where it is asked to.

use std::{
    hint::black_box,
    sync::OnceLock,
    time::{Duration, Instant},
};

static STEPS: OnceLock<u64> = OnceLock::new();

/// From here on each message computes for so many microseconds.
///
/// The steps are counted once, so that a handler which has to share its core does the same work.
pub(crate) fn set(micros: Option<u64>) {
    const PROBE: u64 = 1_000_000;
    const TRIES: usize = 20;

    let Some(micros) = micros else { return };
    let probes = (0..TRIES).map(|_| {
        let start = Instant::now();
        compute(PROBE);
        start.elapsed()
    });
    let fastest = probes.min().unwrap_or_default().as_secs_f64();
    let share = Duration::from_micros(micros).as_secs_f64() / fastest;
    STEPS.get_or_init(|| (PROBE as f64 * share) as u64);
}

/// Does the work of one message.
pub(crate) fn work() {
    if let Some(steps) = STEPS.get() {
        compute(*steps);
    }
}

fn compute(steps: u64) {
    let mut value = 1_u64;
    for step in 0..steps {
        value = black_box(
            value
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(step),
        );
    }
}
