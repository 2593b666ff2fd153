//! What a handler does beside decoding, where it is asked to.

use std::{
    hint::black_box,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::arguments::Arguments;

static WORK: OnceLock<Work> = OnceLock::new();

/// The work of a message.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    /// Of [`compute`].
    steps: u64,
    /// What is waited for, if anything.
    wait: Option<Duration>,
    /// Each message waits for another time, the same on average.
    is_uneven: bool,
}

/// From here on each message computes for `work` microseconds, and waits for `wait` microseconds: each for
/// another time if it is `uneven`.
///
/// # Errors
///
/// One of them cannot be read.
pub fn set(arguments: &mut Arguments) -> anyhow::Result<()> {
    let work = Work {
        steps: arguments.get("work")?.map_or(0, steps),
        wait: arguments.get("wait")?.map(Duration::from_micros),
        is_uneven: arguments.get("uneven")?.unwrap_or(false),
    };
    WORK.get_or_init(|| work);
    Ok(())
}

/// Whether a handler has to be one that can wait.
#[must_use]
pub fn waits() -> bool {
    work().wait.is_some()
}

/// Computes what a message computes.
pub fn do_it() {
    let Work { steps, .. } = work();
    if steps > 0 {
        compute(steps);
    }
}

/// Waits for as long as the next message waits.
pub async fn wait() {
    static MESSAGES: AtomicU64 = AtomicU64::new(0);

    let Work {
        wait, is_uneven, ..
    } = work();
    let Some(wait) = wait else { return };
    let wait = if is_uneven {
        // as good as random, and the same for everybody
        let number = MESSAGES.fetch_add(1, Ordering::Relaxed);
        let share = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        wait.mul_f64(2.0 * share as f64 / f64::from(u32::MAX))
    } else {
        wait
    };
    tokio::time::sleep(wait).await;
}

fn work() -> Work {
    WORK.get().copied().unwrap_or_default()
}

/// How many steps take so many microseconds.
///
/// They are counted once, so that a handler which has to share its core does the same work.
fn steps(micros: u64) -> u64 {
    const PROBE: u64 = 1_000_000;
    const TRIES: usize = 20;

    let probes = (0..TRIES).map(|_| {
        let start = Instant::now();
        compute(PROBE);
        start.elapsed()
    });
    let fastest = probes.min().unwrap_or_default().as_secs_f64();
    let share = Duration::from_micros(micros).as_secs_f64() / fastest;
    (PROBE as f64 * share) as u64
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
