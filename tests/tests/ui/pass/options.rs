//! Options say how a handler is run.

#[path = "../deliver.rs"]
mod deliver;

use std::{future::pending, io, time::Duration};

use deliver::{
    Settled::{self, Acked, DeadLettered, Retried},
    deliver,
};
use ploomby::extract::Batch;
use ploomby::{Brake, OrderBy, Outcome, Permanent, Rate, Retry, Unavailable, handler};

const DELAY: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;

mod settings {
    use std::time::Duration;

    pub(super) const LIMIT: usize = 2;
    pub(super) const BURST: u32 = 2;

    pub(super) fn timeout() -> Duration {
        Duration::from_millis(20)
    }
}

fn quick() -> Retry {
    Retry::fixed(2, Duration::from_millis(5))
}

/// Without a key beside the option, the function's name is the key.
#[handler(retry = 5)]
async fn a_number() -> Result<(), std::fmt::Error> {
    Err(std::fmt::Error)
}

#[handler(retry = ATTEMPTS, "a constant")]
async fn a_constant() -> Outcome {
    Outcome::Retry
}

#[handler("a call", retry = quick(),)]
async fn a_call() -> anyhow::Result<()> {
    Err(Permanent::msg("gone"))?
}

#[handler("a panic", retry = self::quick())]
async fn a_panic() {
    panic!("on purpose");
}

#[handler(
    "a condition", "the other way",
    retry = Retry::fixed(3, DELAY).retry_if(|error| error.is::<io::Error>())
)]
async fn a_condition(is_io: bool) -> anyhow::Result<()> {
    if is_io {
        Err(io::Error::other("no"))?;
    }
    anyhow::bail!("no")
}

#[handler(timeout = "20ms", concurrency = 1)]
async fn text() {
    pending().await
}

#[handler(timeout = settings::timeout(), retry = { Retry::fixed(2, DELAY) })]
async fn a_path() {
    pending().await
}

#[handler(timeout = Duration::MAX)]
async fn for_ever() {
    tokio::task::yield_now().await;
}

#[handler(concurrency = settings::LIMIT)]
async fn limited() {}

#[handler(ordered_by = OrderBy::field("customer.id"), concurrency = 2)]
async fn in_order() {}

#[handler(batch_size = ATTEMPTS as usize, batch_wait = "5ms", timeout = "1s")]
async fn several(numbers: Batch<u32>) -> anyhow::Result<()> {
    anyhow::ensure!(numbers.into_payloads() == [7]);
    Ok(())
}

#[handler(unavailable_if = Unavailable::is_io, brake = 50)]
async fn braked() -> std::io::Result<()> {
    Ok(())
}

#[handler(
    unavailable_if = |error: &anyhow::Error| error.is::<io::Error>(),
    brake = Brake::none(),
)]
async fn not_braked() {}

#[handler(rate = "30/m", concurrency = 2)]
async fn paced() {}

#[handler("another pace", rate = Rate::per_hour(10).burst(settings::BURST))]
async fn with_a_burst() {}

#[handler("shared")]
async fn of_all_queues() -> Outcome {
    Outcome::DeadLetter
}

#[handler("shared", queue = "queue")]
async fn of_one_queue() {}

#[handler(default, queue = String::from("queue"), retry = 2_u32)]
async fn the_rest() -> Outcome {
    Outcome::Retry
}

macro_rules! handlers {
    ($($name:ident: $retry:expr, $timeout:literal;)+) => {$(
        #[handler(retry = $retry, timeout = $timeout)]
        async fn $name() {
            pending().await
        }
    )+};
}

handlers! {
    by_macro: Retry::fixed(1 + 1, DELAY), "5ms";
}

fn within(settled: &Settled, least: u64, most: u64) {
    let Retried(delay) = settled else {
        panic!("{settled:?}");
    };
    let allowed = Duration::from_millis(least)..=Duration::from_millis(most);
    assert!(allowed.contains(delay), "{delay:?}");
}

fn is_dead(settled: &Settled, reason: &str) {
    match settled {
        DeadLettered(why) if why.starts_with(reason) => {}
        other => panic!("{other:?} because of {reason}"),
    }
}

fn main() {
    within(&deliver("a_number", ""), 700, 1000);
    within(&deliver("a constant", ""), 700, 1000);
    is_dead(&deliver("a call", ""), "handler-error: gone");
    assert_eq!(deliver("a panic", ""), Retried(Duration::from_millis(5)));
    assert_eq!(deliver("a condition", "true"), Retried(DELAY));
    is_dead(&deliver("the other way", "false"), "handler-error: no");
    is_dead(&deliver("text", ""), "timeout: the handler was not done within 20ms");
    assert_eq!(deliver("a_path", ""), Retried(DELAY));
    assert_eq!(deliver("for_ever", ""), Acked);
    assert_eq!(deliver("limited", ""), Acked);
    assert_eq!(deliver("in_order", ""), Acked);
    assert_eq!(deliver("several", "7"), Acked);
    is_dead(&deliver("several", "8"), "handler-error: ");
    is_dead(&deliver("several", "{}"), "undecodable: ");
    assert_eq!(deliver("braked", ""), Acked);
    assert_eq!(deliver("not_braked", ""), Acked);
    assert_eq!(deliver("paced", ""), Acked);
    assert_eq!(deliver("another pace", ""), Acked);
    assert_eq!(deliver("shared", ""), Acked);
    within(&deliver("something else", ""), 700, 1000);
    assert_eq!(deliver("by_macro", ""), Retried(DELAY));
}
