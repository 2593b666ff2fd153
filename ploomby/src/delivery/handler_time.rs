use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// The time that a handler may take. What is not the handler's own work, such as the wait for a store of message
/// ids, is not counted.
#[derive(Debug)]
pub(crate) struct HandlerTime {
    state: Mutex<State>,
    resumed: Notify,
}

#[derive(Debug)]
struct State {
    due: Instant,
    /// How many pauses there are, and since when.
    pauses: usize,
    since: Instant,
}

/// Time that does not count, until this is dropped.
pub(crate) struct Paused(Arc<HandlerTime>);

impl HandlerTime {
    pub(crate) fn until(due: Instant) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                due,
                pauses: 0,
                since: due,
            }),
            resumed: Notify::new(),
        })
    }

    /// Lets no time count until the pause is dropped.
    pub(crate) fn pause(self: &Arc<Self>) -> Paused {
        let mut state = self.lock();
        if state.pauses == 0 {
            state.since = Instant::now();
        }
        state.pauses += 1;
        drop(state);
        Paused(self.clone())
    }

    /// Resolves when the time is over.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub(crate) async fn over(&self) {
        loop {
            match self.due() {
                // cancel safety: a resume that comes in between leaves its notice
                None => self.resumed.notified().await,
                Some(due) if due <= Instant::now() => return,
                // it may be over earlier
                Some(due) => {
                    let _ = timeout_at(due, self.resumed.notified()).await;
                }
            }
        }
    }

    /// Lets it be over now, paused or not.
    #[cfg(feature = "testing")]
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.due = Instant::now();
        state.since = state.due;
        self.resumed.notify_one();
    }

    /// When the time is over, unless it is paused.
    fn due(&self) -> Option<Instant> {
        let state = self.lock();
        (state.pauses == 0).then_some(state.due)
    }

    fn resume(&self) {
        let mut state = self.lock();
        state.pauses -= 1;
        if state.pauses == 0 {
            let paused = state.since.elapsed();
            // one that the clock cannot count to never comes
            let due = state.due.checked_add(paused);
            state.due = due.unwrap_or(state.due + Duration::from_secs(1));
            self.resumed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.resume();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_paused_does_not_count() {
        const SECOND: Duration = Duration::from_secs(1);

        let time = HandlerTime::until(Instant::now() + 3 * SECOND);
        sleep(SECOND).await;
        let (first, second) = (time.pause(), time.pause());
        sleep(10 * SECOND).await;
        drop(first);
        assert!(time.over().now_or_never().is_none());
        let start = Instant::now();
        let resume = async {
            sleep(5 * SECOND).await;
            drop(second);
        };
        futures_util::future::join(time.over(), resume).await;
        assert_eq!(start.elapsed(), 7 * SECOND);
    }
}
