//! A run on RabbitMQ, where time is real.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::{TestRunning, Until};
use crate::testing::{clock::Time, director::Now, ground::Ground};

/// How often the broker is asked what is left.
const LOOK: Duration = Duration::from_millis(10);

/// How often in a row nothing has to be left: a message between the broker and the program is not ready, and not here.
const LOOKS: u32 = 3;

impl TestRunning {
    /// Waits until all that goes on is at its end.
    pub(super) async fn wait_it_off(&self, until: Until, ground: &Ground) {
        let director = &self.settings.director;
        let start = Instant::now();
        let mut limit = start + self.settings.limit;
        if let Until::Time(end) = until {
            limit = end + self.settings.limit;
        }
        let mut quiet_looks = 0;
        loop {
            if let Some(refusal) = director.refusal() {
                panic!("{refusal}\n{}", self.what_happened());
            }
            let (now, version) = director.look_at_owed();
            let next = match now {
                Now::Quiet { next, .. } => next,
                Now::Busy => {
                    quiet_looks = 0;
                    self.wait_for_more(limit).await;
                    continue;
                }
            };
            let due = match until {
                Until::Horizon(end) => next.filter(|next| *next <= end),
                Until::Time(end) if Instant::now() < end => {
                    Some(next.map_or(end, |due| due.min(end)))
                }
                Until::Time(_) => None,
            };
            if let Some(due) = due {
                if due > limit {
                    self.refuse_to_wait(due - start);
                }
                quiet_looks = 0;
                // what is due goes on by itself
                let _ = timeout_at(due, director.something_happens()).await;
                continue;
            }
            match ground.ready(self.consumed()).await {
                Err(error) => panic!(
                    "RabbitMQ cannot be asked: {error}\n{}",
                    self.what_happened()
                ),
                Ok(ready) if ready.iter().flatten().any(|ready| *ready > 0) => {
                    quiet_looks = 0;
                    self.wait_for_more(limit).await;
                }
                Ok(_) if director.look_at_owed().1 != version => {
                    quiet_looks = 0;
                    self.wait_for_more(limit).await;
                }
                Ok(_) => {
                    quiet_looks += 1;
                    if quiet_looks == LOOKS {
                        return;
                    }
                    sleep(LOOK).await;
                }
            }
        }
    }

    /// Waits until something happens, or for a moment.
    async fn wait_for_more(&self, limit: Instant) {
        let director = &self.settings.director;
        let soon = Instant::now() + LOOK;
        let _ = timeout_at(soon, director.something_happens()).await;
        if Instant::now() >= limit {
            self.is_over("the run does not end", &director.on_their_way());
        }
    }

    fn refuse_to_wait(&self, time: Duration) -> ! {
        panic!(
            "something waits for {}, which takes real time on RabbitMQ, and a run may take {:?}: let retries, delays and \
             the waits of batches be shorter, leave what waits where it is by `TestApp::horizon`, raise `TestApp::limit`, \
             or keep the test on the embedded broker by `TestApp::embedded`\n{}",
            Time(time),
            self.settings.limit,
            self.what_happened()
        );
    }

    fn consumed(&self) -> Vec<String> {
        let queues = self.settings.queues.iter();
        queues.map(|queue| queue.name.clone()).collect()
    }
}
