//! Looks at the letters of a queue, from the oldest on.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use thiserror::Error;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::{Instant, timeout},
};

use super::site::Site;
use crate::ops::{Letter, Ops, OpsError};

/// One look at a queue at a time: another one would not see what this one holds.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<AsyncMutex<()>>>>);

/// How long a page waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far a look goes.
#[derive(Clone, Copy)]
pub(super) struct Far {
    pub(super) letters: usize,
    pub(super) time: Duration,
}

/// How far a look went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Went {
    pub(super) total: usize,
    pub(super) not_looked_at: usize,
}

/// Why letters cannot be looked at.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Ops(#[from] OpsError),
    #[error(
        "something is being done with letters of this queue: they can be seen again once it is done"
    )]
    Busy(u64),
    #[error("somebody else looks at the letters of this queue: try again in a moment")]
    NoTurn,
    #[error("`{0}` takes a whole number in digits alone, such as 500, or nothing, and not `{1}`")]
    NoNumber(&'static str, String),
    #[error(
        "letters have no groups by `{0}`: take `error`, `key`, `reason`, `handler` or `build` as `group_by`"
    )]
    NoGroups(String),
    #[error("the text of errors may hold parts of bodies: only operators filter by it")]
    NotForReaders,
    #[error("the look at the letters ended with a panic, which is a defect")]
    Panicked,
}

impl Turns {
    /// Waits for the turn to look at a queue of the program, and to move its letters.
    pub(super) async fn take(&self, queue: &str) -> Result<OwnedMutexGuard<()>, Trouble> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(queue.to_owned()).or_default().clone()
        };
        let taken = timeout(PATIENCE, turn.lock_owned()).await;
        taken.map_err(|_| Trouble::NoTurn)
    }
}

/// Does something with each letter until it says that this is enough.
pub(super) async fn walk<T: Send + 'static>(
    site: &Arc<Site>,
    queue: &str,
    far: Far,
    mut into: T,
    mut with: impl FnMut(&mut T, &Ops, &Letter) -> ControlFlow<()> + Send + 'static,
) -> Result<(T, Went), Trouble> {
    site.known(queue)?;
    if let Some(act) = site.acts.at_work_in(queue) {
        return Err(Trouble::Busy(act));
    }
    let turn = site.turns.take(queue).await?;
    let (tasks, site, queue) = (site.tasks.clone(), site.clone(), queue.to_owned());
    // a browser that goes away drops what waits for this, and what is held has to go back in order
    let walking = tasks.spawn(async move {
        let _turn = turn;
        let mut look = site.ops.look(&queue).await?.scan(far.letters);
        let begun = Instant::now();
        let looked = async {
            while let Some(letter) = look.next().await? {
                if with(&mut into, &site.ops, &letter).is_break() || begun.elapsed() > far.time {
                    break;
                }
            }
            Ok(())
        };
        let looked: Result<(), OpsError> = looked.await;
        let went = Went {
            total: look.total(),
            not_looked_at: look.not_looked_at(),
        };
        look.end().await?;
        looked?;
        Ok((into, went))
    });
    walking.await.unwrap_or(Err(Trouble::Panicked))
}

/// One letter by its name.
pub(super) async fn letter(site: &Arc<Site>, queue: &str, id: &str) -> Result<Letter, Trouble> {
    const FAR: Far = Far {
        letters: 20_000,
        time: Duration::from_secs(8),
    };

    let filter = super::which::Which::one(queue, id).filter();
    let found = walk(
        site,
        queue,
        FAR,
        None,
        move |found, _, letter| match filter.matches(letter) {
            true => {
                *found = Some(letter.clone());
                ControlFlow::Break(())
            }
            false => ControlFlow::Continue(()),
        },
    );
    let (found, _) = found.await?;
    found.ok_or_else(|| OpsError::NoLetter(id.to_owned()).into())
}

impl Trouble {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Ops(OpsError::NoQueue(..) | OpsError::NoLetter(_)) => StatusCode::NOT_FOUND,
            // there are no letters
            Self::Ops(OpsError::NotThere(_) | OpsError::NoDeadLetterQueue(_)) => StatusCode::OK,
            Self::Ops(OpsError::Broker(_)) | Self::NoTurn => StatusCode::SERVICE_UNAVAILABLE,
            Self::Ops(OpsError::Unfit { .. } | OpsError::Publish { .. })
            | Self::NoNumber(..)
            | Self::NoGroups(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotForReaders => StatusCode::FORBIDDEN,
            Self::Busy(_) => StatusCode::CONFLICT,
            Self::Ops(_) | Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
