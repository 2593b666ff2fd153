use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::FutureExt;
use tokio_util::sync::ReusableBoxFuture;

use crate::{
    outcome::Answer,
    settle::{Failure, Reason},
};

/// A handler at work. Its panic is one failed message.
///
/// It shares the delivery, so that the message is still there when the handler failed, panicked or was
/// dropped. Its allocation serves one message after the other, where handlers are done without
/// waiting.
pub struct HandlerFuture(ReusableBoxFuture<'static, Result<Answer, Failure>>);

impl HandlerFuture {
    pub(crate) fn new(
        handler: impl Future<Output = Result<Answer, Failure>> + Send + 'static,
    ) -> Self {
        Self(ReusableBoxFuture::new(handler))
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        match catch_unwind(AssertUnwindSafe(|| self.0.poll(cx))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(Err(panicked(panic.as_ref()))),
        }
    }
}

/// Starts a handler, in the allocation of one that is done where there is such.
#[inline]
pub fn start(
    spare: Option<HandlerFuture>,
    handler: impl Future<Output = Result<Answer, Failure>> + Send + 'static,
) -> HandlerFuture {
    match spare {
        Some(mut spare) => {
            spare.0.set(handler);
            spare
        }
        None => HandlerFuture::new(handler),
    }
}

/// Nothing of ploomby's is shared with the handler, so a panic can leave nothing half changed; what the
/// program shares between its handlers is guarded by its own locks.
impl Future for HandlerFuture {
    type Output = Result<Answer, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll(cx)
    }
}

/// Runs what may panic beside a handler, such as the end of one that is dropped.
pub(crate) async fn guard(
    work: impl Future<Output = Result<Answer, Failure>>,
) -> Result<Answer, Failure> {
    let result = AssertUnwindSafe(work).catch_unwind().await;
    result.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

#[cold]
fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the handler panicked with a value that is not text".to_owned());
    Failure::new(Reason::Panic, text)
}

impl fmt::Debug for HandlerFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerFuture").finish_non_exhaustive()
    }
}
