//! The bank, as far as a shop needs one to try. It knows each charge by the number of its order, and makes it once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use ploomby::{Permanent, Unavailable};
use thiserror::Error;

/// More than this no card pays.
const LIMIT: u32 = 100_000;

/// Takes money. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Bank {
    charges: Arc<Mutex<HashMap<u32, u32>>>,
    /// How many charges fail before one is made, and how.
    failures: Arc<AtomicU32>,
    is_away: bool,
}

#[derive(Clone, Copy, Debug, Error)]
pub(crate) enum Refusal {
    #[error("the card does not pay {0} cents")]
    Declined(u32),
    #[error("the bank has too much to do")]
    Busy,
    #[error("the bank does not answer")]
    Away,
}

impl Bank {
    /// Has too much to do, so often.
    pub fn busy(times: u32) -> Self {
        Self {
            failures: Arc::new(times.into()),
            ..Self::default()
        }
    }

    /// Does not answer, so often.
    pub fn away(times: u32) -> Self {
        Self {
            is_away: true,
            ..Self::busy(times)
        }
    }

    /// What was paid.
    pub fn paid(&self) -> u32 {
        self.charges().values().sum()
    }

    pub(crate) async fn charge(&self, order: u32, cents: u32) -> Result<(), Refusal> {
        if cents > LIMIT {
            return Err(Refusal::Declined(cents));
        }
        let one_less = |left: u32| left.checked_sub(1);
        if self
            .failures
            .fetch_update(Relaxed, Relaxed, one_less)
            .is_ok()
        {
            return Err(if self.is_away {
                Refusal::Away
            } else {
                Refusal::Busy
            });
        }
        self.charges().insert(order, cents);
        Ok(())
    }

    fn charges(&self) -> std::sync::MutexGuard<'_, HashMap<u32, u32>> {
        self.charges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusal {
    /// What becomes of the message: given up at once, tried again, or kept until the bank is back.
    pub(crate) fn into_error(self) -> anyhow::Error {
        match self {
            Self::Declined(_) => Permanent::new(self).into(),
            Self::Busy => self.into(),
            Self::Away => Unavailable::new(self).into(),
        }
    }
}
