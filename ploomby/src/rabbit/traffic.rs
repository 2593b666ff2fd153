use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

/// What goes over a connection and those that take its place, for whoever waits for an answer.
///
/// A slow line is no reason to give up: what is given up arrives all the same, and is sent again. So the time for an
/// answer counts from the moment when the line last took something that had had to wait, and grows with what is on its
/// way.
#[derive(Debug)]
pub(super) struct Traffic {
    start: Instant,
    /// When something last left that had had to wait, in milliseconds since the start.
    left: AtomicU64,
    /// When something last came, but for signs of life.
    came: AtomicU64,
    /// How many bytes of messages were sent that the broker has not confirmed.
    on_its_way: AtomicU64,
}

/// What leaves in a second on the slowest line that is waited for, in bytes. The operating system holds what the broker
/// has not got yet, and does not say how much.
const SLOWEST: u64 = 8 << 10;

/// The operating system and the network hold no more than about this, in bytes.
const MOST_HELD: u64 = 1 << 20;

/// Nothing has left for so long that an answer is not waited for any more.
#[derive(Debug)]
pub(super) struct Idle;

impl Default for Traffic {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            left: AtomicU64::new(0),
            came: AtomicU64::new(0),
            on_its_way: AtomicU64::new(0),
        }
    }
}

impl Traffic {
    /// Notes that something left which had had to wait.
    pub(super) fn note_left(&self) {
        self.left.store(self.now(), Relaxed);
    }

    /// Notes that something came, other than a sign of life.
    pub(super) fn note_came(&self) {
        self.came.store(self.now(), Relaxed);
    }

    /// Whether something has come since then, other than a sign of life.
    pub(super) fn has_come_since(&self, moment: Instant) -> bool {
        self.at(&self.came) > moment
    }

    /// Whether something that had to wait has left within this time.
    pub(super) fn is_leaving(&self, within: Duration) -> bool {
        self.left.load(Relaxed) > 0 && self.at(&self.left).elapsed() < within
    }

    /// Whether so long, and as long as the line may need, has gone by since then and since something last left.
    pub(super) fn is_idle(&self, since: Instant, patience: Duration) -> bool {
        self.due(since, patience) <= Instant::now()
    }

    /// Waits for an answer that was asked for now, for as long, and as the line may need beyond that.
    ///
    /// # Errors
    ///
    /// It has not come by then.
    ///
    /// # Cancel safety
    ///
    /// That of `answer`.
    pub(super) async fn wait<T>(
        &self,
        patience: Duration,
        answer: impl Future<Output = T>,
    ) -> Result<T, Idle> {
        let begin = Instant::now();
        let mut answer = pin!(answer);
        loop {
            let due = self.due(begin, patience);
            if let Ok(answer) = timeout_at(due, &mut answer).await {
                return Ok(answer);
            }
            if self.is_idle(begin, patience) {
                return Err(Idle);
            }
        }
    }

    /// Counts a message of so many bytes as on its way, until what is returned is dropped.
    pub(super) fn send(self: &Arc<Self>, bytes: usize) -> OnItsWay {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.on_its_way.fetch_add(bytes, Relaxed);
        OnItsWay {
            traffic: self.clone(),
            bytes,
        }
    }

    fn due(&self, since: Instant, patience: Duration) -> Instant {
        let held = self.on_its_way.load(Relaxed).min(MOST_HELD);
        let needed = Duration::from_millis(held * 1_000 / SLOWEST);
        let since = since.max(self.at(&self.left));
        since
            .checked_add(patience.saturating_add(needed))
            // so far off that it never comes
            .unwrap_or_else(|| since + Duration::from_secs(60 * 60 * 24 * 365))
    }

    fn at(&self, moment: &AtomicU64) -> Instant {
        self.start + Duration::from_millis(moment.load(Relaxed))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Part of what is on its way.
#[derive(Debug)]
pub(super) struct OnItsWay {
    traffic: Arc<Traffic>,
    bytes: u64,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.traffic.on_its_way.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn waits(traffic: &Traffic) -> Duration {
        let begin = Instant::now();
        traffic.wait(PATIENCE, pending::<()>()).await.unwrap_err();
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_for_an_answer_counts_from_when_something_last_left() {
        let traffic = Arc::new(Traffic::default());
        assert_eq!(waits(&traffic).await.as_secs(), 30);
        let leaving = traffic.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                sleep(Duration::from_secs(20)).await;
                leaving.note_left();
            }
        });
        assert_eq!(waits(&traffic).await.as_secs(), 230);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_for_an_answer_grows_with_what_is_on_its_way_up_to_what_may_be_held() {
        let traffic = Arc::new(Traffic::default());
        let message = traffic.send(250_000);
        assert_eq!(waits(&traffic).await.as_secs(), 60);
        let more = traffic.send(100 << 20);
        assert_eq!(waits(&traffic).await.as_secs(), 30 + 128);
        drop((message, more));
        assert_eq!(waits(&traffic).await.as_secs(), 30);
    }
}
