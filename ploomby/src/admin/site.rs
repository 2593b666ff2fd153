use std::{fmt, sync::Arc};

use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::{acts::Acts, depths::Depths, door::Door, rates::Rates, tokens::Tokens, walk::Turns};
use crate::{
    app::Life,
    ops::{HealthInfo, Ops, OpsError, Status},
};

/// All that the routes share.
pub(super) struct Site {
    pub(super) ops: Ops,
    pub(super) life: watch::Receiver<Life>,
    pub(super) door: Door,
    pub(super) tokens: Tokens,
    pub(super) depths: Depths,
    pub(super) rates: Rates,
    pub(super) turns: Turns,
    pub(super) acts: Acts,
    /// What is being done with letters.
    pub(super) tasks: TaskTracker,
    /// Pages that have news.
    pub(super) watchers: Arc<Semaphore>,
}

/// So many pages have news at the same time.
const MOST_WATCHERS: usize = 100;

impl Site {
    pub(super) fn new(ops: Ops, life: watch::Receiver<Life>, door: Door) -> Self {
        Self {
            ops,
            life,
            door,
            tokens: Tokens::default(),
            depths: Depths::default(),
            rates: Rates::new(),
            turns: Turns::default(),
            acts: Acts::default(),
            tasks: TaskTracker::new(),
            watchers: Arc::new(Semaphore::new(MOST_WATCHERS)),
        }
    }

    /// How far the program is. One that was dropped has ended.
    pub(super) fn life(&self) -> Life {
        match self.life.has_changed() {
            Ok(_) => self.life.borrow().clone(),
            Err(_) => Life::Ended,
        }
    }

    /// Whether the program does its work.
    pub(super) fn health(&self) -> HealthInfo {
        match self.life() {
            Life::Starting => HealthInfo::without_queues(Status::Starting),
            Life::Running(controls) => HealthInfo::of(&controls.health),
            Life::Draining(controls) => HealthInfo {
                status: Status::Draining,
                ..HealthInfo::of(&controls.health)
            },
            Life::Ended => HealthInfo::without_queues(Status::Ended),
        }
    }

    /// Whether the program has a queue.
    ///
    /// # Errors
    ///
    /// [`OpsError::NoQueue`].
    pub(super) fn known(&self, queue: &str) -> Result<(), OpsError> {
        self.ops.program().queue(queue).map(|_| ())
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("program", self.ops.program())
            .field("door", &self.door)
            .finish_non_exhaustive()
    }
}
