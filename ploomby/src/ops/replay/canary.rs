use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Replaying;
use crate::ops::{Letter, OpsError};

/// How often it is looked whether one came back.
const LOOKS: Duration = Duration::from_millis(200);

impl Replaying<'_> {
    /// Once all canaries are on their way, waits for what becomes of them.
    pub(super) async fn watch_canaries(&mut self) -> Result<(), OpsError> {
        let Some((letters, wait)) = self.replay.canary else {
            return Ok(());
        };
        if self.done.done < letters || self.replay.is_dry {
            return Ok(());
        }
        self.replay.canary = None;
        let deadline = Instant::now() + wait;
        // of those that came since, one may be there already
        let mut known = 0;
        while Instant::now() < deadline {
            let ready = self.ready().await?;
            if ready > known {
                if let Some(letter) = self.one_that_came_back().await? {
                    let error = letter.error().unwrap_or("it does not say why");
                    return Err(OpsError::CameBack(error.to_owned()));
                }
            }
            known = ready;
            sleep(LOOKS).await;
        }
        Ok(())
    }

    /// How many letters are there that this does not hold.
    async fn ready(&self) -> Result<usize, OpsError> {
        let ops = self.look.ops;
        let queue = ops.dead_letters(&self.queue)?;
        let depth = ops.source.depths(&[queue]).await?.into_iter().next();
        Ok(depth.flatten().map_or(0, |depth| depth.ready))
    }

    async fn one_that_came_back(&self) -> Result<Option<Letter>, OpsError> {
        let mut look = self.look.ops.look(&self.queue).await?;
        let mut found = None;
        while let Some(letter) = look.next().await? {
            if letter.replayed() > 0 && self.canaries.contains(&letter.fingerprint()) {
                found = Some(letter);
                break;
            }
        }
        look.end().await?;
        Ok(found)
    }
}
