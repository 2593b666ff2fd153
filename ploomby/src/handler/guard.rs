use std::{any::Any, future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;

use crate::{
    outcome::Answer,
    settle::{Failure, Reason},
};

/// Runs a handler so that its panic is one failed message.
///
/// Nothing of ploomby's is shared with the handler, so nothing can be left half changed; what the
/// program shares between its handlers is guarded by its own locks.
pub async fn guard(
    handler: impl Future<Output = Result<Answer, Failure>>,
) -> Result<Answer, Failure> {
    match AssertUnwindSafe(handler).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(Failure::new(Reason::Panic, panic_text(panic.as_ref()))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the handler panicked with a value that is not text".to_owned())
}
