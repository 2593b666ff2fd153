//! A test hears of what it makes, and touches nothing that it has not made.

use super::{Asker, TopologyError, exists_by, wire::has_exchange};
use crate::stage::Made;

/// Has the test know of what is about to be declared, or refuses it if it is there and the test has not made it.
pub(super) async fn makes(asker: &mut Asker<'_>, what: Made<'_>) -> Result<(), TopologyError> {
    let Some(watch) = asker.connection().url().stage.watch() else {
        return Ok(());
    };
    if watch.has_made(what) {
        return Ok(());
    }
    let is_there = match what {
        Made::Queue(queue) => exists_by(asker, queue).await?,
        Made::Exchange(exchange) => has_exchange(asker, exchange).await?,
    };
    if is_there {
        return Err(TopologyError::OfNoTest(watch.refuses(what)));
    }
    watch.makes(what);
    Ok(())
}
