use std::{path::PathBuf, time::Duration};

use crate::manner::{MANNERS, Manner, Program};

/// How much is measured.
pub(crate) struct Plan {
    pub(crate) is_quick: bool,
    /// Where the programs of this package are.
    pub(crate) programs: PathBuf,
    pub(crate) peers: Option<PathBuf>,
}

impl Plan {
    pub(crate) fn new(is_quick: bool, programs: PathBuf, peers: Option<PathBuf>) -> Self {
        Self {
            is_quick,
            programs,
            peers,
        }
    }

    /// How often each thing is measured: there is a median and no tie.
    pub(crate) fn rounds(&self) -> usize {
        if self.is_quick { 3 } else { 5 }
    }

    /// The same for those that are so close that their ratio needs more.
    pub(crate) fn rounds_of_close(&self) -> usize {
        if self.is_quick { 3 } else { 11 }
    }

    /// What passes before each measurement.
    pub(crate) fn warmup(&self) -> Duration {
        Duration::from_millis(if self.is_quick { 100 } else { 300 })
    }

    /// How long each measurement on the synthetic broker takes.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_millis(if self.is_quick { 400 } else { 2000 })
    }

    /// How many messages a queue of a RabbitMQ is filled with.
    pub(crate) fn drained(&self) -> usize {
        if self.is_quick { 10_000 } else { 60_000 }
    }

    /// The manners that can be measured here.
    pub(crate) fn manners(&self) -> impl Iterator<Item = &'static Manner> {
        self.of(&MANNERS)
    }

    /// Those of them that can be.
    pub(crate) fn of(&self, manners: &'static [Manner]) -> impl Iterator<Item = &'static Manner> {
        manners
            .iter()
            .filter(|manner| self.program(manner).is_some())
    }

    /// How many queues a service is started with.
    pub(crate) fn queues(&self) -> usize {
        if self.is_quick { 50 } else { 1000 }
    }

    /// How long a service is watched that has nothing to do.
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(if self.is_quick { 2 } else { 60 })
    }

    /// The program that has this manner, where there is one.
    pub(crate) fn program(&self, manner: &Manner) -> Option<PathBuf> {
        match manner.program {
            Program::Consume => Some(self.programs.join("consume")),
            Program::Produce => Some(self.programs.join("produce")),
            Program::Peers => self.peers.clone(),
        }
    }
}
