use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};

use super::refusal::ConnectError;
use crate::rabbit::options::Reconnect;

/// What all connections of a program to one broker know together of the time without it: one of them tries at a time,
/// for all, and there is one line in the log at the beginning, one at the end, and few in between.
#[derive(Debug, Default)]
pub(in crate::rabbit) struct Outage {
    state: Mutex<State>,
    /// Whoever tries.
    turn: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// There was a connection before.
    has_connected: bool,
    /// Whoever starts waits for the first connection, instead of ending with what keeps it from being there.
    is_waited_for: bool,
    now: Option<Now>,
}

/// The outage that there is.
#[derive(Debug)]
struct Now {
    since: Instant,
    tries: u32,
    /// How many of the last tries ended with something that does not get better by itself.
    hopeless: u32,
    /// What the last try ended with, and when.
    failed: (Instant, ConnectError),
    next_try: Instant,
    next_line: Instant,
}

/// How long after the beginning the log has the second line. The next ones come after twice the time each.
const SECOND_LINE: Duration = Duration::from_secs(10);

/// No two lines are further apart.
const LONGEST_SILENCE: Duration = Duration::from_secs(10 * 60);

/// What does not get better by itself is tried again after about this time, once it has been so a few times.
const HOPELESS_PAUSE: Duration = Duration::from_secs(30);

/// The pause before the next try, when so many have ended with what does not get better by itself.
fn hopeless_pause(times: u32) -> Duration {
    let doubled = Duration::from_secs(1 << times.min(5));
    doubled.min(HOPELESS_PAUSE).mul_f64(0.5 + fastrand::f64())
}

impl Outage {
    /// Connects. The first connection of all is tried for as long as `limit` says, unless what keeps it from being there
    /// does not get better by itself.
    ///
    /// # Errors
    ///
    /// Those of `connect`.
    pub(in crate::rabbit) async fn attempt<T, Fut>(
        &self,
        asked: Instant,
        limit: Option<Duration>,
        connect: impl Fn() -> Fut,
    ) -> Result<T, ConnectError>
    where
        Fut: Future<Output = Result<T, ConnectError>>,
    {
        let Some(limit) = limit.filter(|_| self.begin_waiting()) else {
            return self.attempt_once(asked, &connect).await;
        };
        let mut asked = asked;
        let mut last = None;
        let trying = async {
            loop {
                match self.attempt_once(asked, &connect).await {
                    Err(error) if !error.is_hopeless() => last = Some(error),
                    tried => break tried,
                }
                asked = Instant::now();
            }
        };
        match timeout(limit, trying).await {
            Ok(tried) => tried,
            Err(_) => match last {
                Some(error) => Err(error),
                // it has taken all the time to fail, and says why
                None => self.attempt_once(asked, &connect).await,
            },
        }
    }

    /// Whether there was no connection yet, so that the first one is waited for.
    fn begin_waiting(&self) -> bool {
        let mut state = self.state();
        if state.has_connected {
            return false;
        }
        state.is_waited_for = true;
        true
    }

    /// Connects: at once, while nothing speaks against it, else when it is time to, for all who have `asked` meanwhile.
    async fn attempt_once<T, Fut>(
        &self,
        asked: Instant,
        connect: &impl Fn() -> Fut,
    ) -> Result<T, ConnectError>
    where
        Fut: Future<Output = Result<T, ConnectError>>,
    {
        let mut turn = None;
        if self.state().now.is_some() {
            turn = Some(self.turn.lock().await);
            let next_try = match &self.state().now {
                Some(now) if now.failed.0 > asked => return Err(now.failed.1.clone()),
                Some(now) => now.next_try,
                None => asked,
            };
            sleep_until(next_try).await;
        }
        let connected = connect().await;
        match &connected {
            Ok(_) => self.over(),
            Err(error) => self.failed(error),
        }
        drop(turn);
        connected
    }

    fn failed(&self, error: &ConnectError) {
        let mut state = self.state();
        let at = Instant::now();
        let is_told = state.has_connected || state.is_waited_for;
        let is_first = state.now.is_none();
        let now = state.now.get_or_insert_with(|| Now {
            since: at,
            tries: 0,
            hopeless: 0,
            failed: (at, error.clone()),
            next_try: at,
            next_line: at,
        });
        now.tries += 1;
        now.failed = (at, error.clone());
        now.hopeless = match error.is_hopeless() {
            true => now.hopeless + 1,
            false => 0,
        };
        now.next_try = at
            + match now.hopeless {
                0 => Reconnect::forever().pause(now.tries),
                times => hopeless_pause(times),
            };
        let lasted = at - now.since;
        if at < now.next_line || !is_told {
            return;
        }
        now.next_line = at + lasted.clamp(SECOND_LINE, LONGEST_SILENCE);
        let (tries, seconds) = (now.tries, lasted.as_secs());
        match is_first {
            true => warn!(%error, "no connection to the broker, trying again"),
            false => warn!(%error, tries, seconds, "still no connection to the broker"),
        }
    }

    fn over(&self) {
        let mut state = self.state();
        let is_first = !std::mem::replace(&mut state.has_connected, true);
        if let Some(now) = state.now.take() {
            let (tries, seconds) = (now.tries, now.since.elapsed().as_secs());
            match is_first {
                true => info!(
                    tries,
                    seconds, "connected to the broker, which was waited for"
                ),
                false => info!(tries, seconds, "connected to the broker again"),
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::future::join_all;
    use tokio::time::{advance, sleep};

    use super::*;

    fn away() -> ConnectError {
        ConnectError::Ended("away".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn one_tries_for_all_with_pauses_in_between() {
        let (outage, tries) = (Outage::default(), Cell::new(0));
        let begin = Instant::now();
        let consumer = async || {
            while begin.elapsed() < Duration::from_secs(60) {
                let tried = outage.attempt(Instant::now(), None, || async {
                    sleep(Duration::from_millis(1)).await;
                    tries.set(tries.get() + 1);
                    Err::<(), _>(away())
                });
                assert!(tried.await.is_err());
            }
        };
        join_all((0..20).map(|_| consumer())).await;
        // 20 at first, then one each second, on the average
        assert!((60..180).contains(&tries.get()), "{}", tries.get());
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_get_better_is_tried_at_long_intervals() {
        let (outage, tries) = (Outage::default(), Cell::new(0));
        let refused = || {
            let text = "NOT_ALLOWED - number of channels".to_owned();
            ConnectError::ended(530, text)
        };
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(10 * 60) {
            let tried = outage.attempt(Instant::now(), None, || async {
                tries.set(tries.get() + 1);
                Err::<(), _>(refused())
            });
            assert!(tried.await.is_err());
            advance(Duration::from_millis(1)).await;
        }
        // every half a minute on the average, and a few more at first
        assert!((10..50).contains(&tries.get()), "{}", tries.get());
        advance(Duration::from_secs(1)).await;
        assert!(
            outage
                .attempt(Instant::now(), None, || async { Ok(()) })
                .await
                .is_ok()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_connection_is_waited_for_as_long_as_the_program_says() {
        let (outage, begin) = (Outage::default(), Instant::now());
        let comes_up = Duration::from_secs(20);
        let connect = || async {
            match begin.elapsed() < comes_up {
                true => Err(away()),
                false => Ok(()),
            }
        };
        let limit = |seconds| Some(Duration::from_secs(seconds));
        let tried = outage.attempt(begin, limit(5), connect).await;
        assert!(tried.is_err());
        assert_eq!(begin.elapsed(), Duration::from_secs(5));
        let tried = outage.attempt(Instant::now(), limit(60), connect).await;
        assert!(tried.is_ok());
        assert!((20..24).contains(&begin.elapsed().as_secs()));
        // it was there: how long a lost one is tried is for others to say
        let lost = Instant::now();
        let tried = outage.attempt(lost, limit(60), || async { Err::<(), _>(away()) });
        assert!(tried.await.is_err());
        assert_eq!(lost.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_get_better_is_not_waited_for() {
        let (outage, begin) = (Outage::default(), Instant::now());
        let refused = || async {
            let text = "NOT_ALLOWED - number of channels".to_owned();
            Err::<(), _>(ConnectError::ended(530, text))
        };
        let limit = Some(Duration::from_secs(60));
        assert!(outage.attempt(begin, limit, refused).await.is_err());
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
