use std::panic::Location;
use std::time::Duration;

use tokio::time;

const INTERVAL: Duration = Duration::from_millis(20);

/// Polls `condition` until it holds.
///
/// # Panics
///
/// Where it does not hold within `deadline`, at the line of the caller.
///
/// ```
/// # use std::time::{Duration, Instant};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let start = Instant::now();
/// ploomby_tests::eventually(Duration::from_secs(5), async || start.elapsed().as_millis() > 30).await;
/// # }
/// ```
#[track_caller]
pub fn eventually(
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) -> impl Future<Output = ()> {
    eventually_some(deadline, async move || condition().await.then_some(()))
}

/// Polls `condition` until it gives a value, and returns the value.
///
/// # Panics
///
/// Where it gives none within `deadline`, at the line of the caller.
#[track_caller]
pub fn eventually_some<T>(
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let poll = async {
            loop {
                if let Some(value) = condition().await {
                    return value;
                }
                time::sleep(INTERVAL).await;
            }
        };
        match time::timeout(deadline, poll).await {
            Ok(value) => value,
            Err(_) => panic!("the condition at {caller} did not hold within {deadline:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_to_hold_ends_the_wait() {
        let mut polls = 0;
        let value = eventually_some(Duration::from_secs(10), async || {
            polls += 1;
            (polls == 3).then_some("held")
        })
        .await;
        assert_eq!(value, "held");
    }

    #[tokio::test]
    #[should_panic(expected = "wait.rs")]
    async fn a_condition_that_never_holds_fails_the_test_and_names_its_line() {
        eventually(Duration::from_millis(50), async || false).await;
    }

    #[tokio::test]
    #[should_panic(expected = "did not hold within 50ms")]
    async fn a_condition_that_hangs_fails_the_test() {
        eventually(Duration::from_millis(50), std::future::pending::<bool>).await;
    }
}
