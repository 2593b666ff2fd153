use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::FutureExt;
use pin_project_lite::pin_project;

use super::panics;
use crate::{
    delivery::Delivery,
    outcome::{Failure, Reason},
    reply::Answer,
};

/// A handler at work. Its panic is one failed message.
///
/// It shares the delivery, so that the message is still there when the handler failed, panicked or was
/// dropped. Once it is done, it can begin with the next message, in the same memory.
pub struct HandlerFuture(Pin<Box<dyn Work + Send>>);

/// What a handler does with a message.
trait Work {
    fn begin(self: Pin<&mut Self>, delivery: Delivery);

    fn go_on(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>>;
}

pin_project! {
    struct Calls<F, W> {
        call: F,
        // a handler is put into its place as it is made, not copied there
        #[pin]
        work: Option<W>,
    }
}

impl<F, W> Work for Calls<F, W>
where
    F: Fn(Delivery) -> W,
    W: Future<Output = Result<Answer, Failure>>,
{
    #[inline]
    fn begin(self: Pin<&mut Self>, delivery: Delivery) {
        let mut this = self.project();
        this.work.set(Some((this.call)(delivery)));
    }

    #[inline]
    fn go_on(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        let work = self.project().work.as_pin_mut();
        work.expect("it begins before it goes on").poll(cx)
    }
}

/// Calls a handler.
pub(crate) fn start<W>(
    delivery: Delivery,
    call: impl Fn(Delivery) -> W + Send + 'static,
) -> HandlerFuture
where
    W: Future<Output = Result<Answer, Failure>> + Send + 'static,
{
    if size_of::<W>() > LARGE {
        return HandlerFuture::begun(move |delivery| Box::pin(call(delivery)), delivery);
    }
    HandlerFuture::begun(call, delivery)
}

/// Where a future is so large that it is put on the heap before it is moved any further: without optimization
/// each move is a copy on the stack.
const LARGE: usize = 16 * 1024;

impl HandlerFuture {
    fn begun<W>(call: impl Fn(Delivery) -> W + Send + 'static, delivery: Delivery) -> Self
    where
        W: Future<Output = Result<Answer, Failure>> + Send + 'static,
    {
        let mut work = Self(Box::pin(Calls { call, work: None }));
        work.begin(delivery);
        work
    }

    /// Calls the same handler once more. What is left of the last call is dropped.
    #[inline]
    pub(crate) fn begin(&mut self, delivery: Delivery) {
        self.0.as_mut().begin(delivery);
    }

    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().go_on(cx))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(Err(panicked(panic.as_ref()))),
        }
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

/// Does what may panic for one message beside others.
pub(crate) fn guard_one<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let result = catch_unwind(AssertUnwindSafe(work));
    result.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
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
    let words = panics::words(panic);
    let text = words.unwrap_or("the handler panicked with a value that is not text");
    let location = panics::location(words.unwrap_or_default());
    Failure::new(Reason::Panic, text.to_owned()).at(location)
}

impl fmt::Debug for HandlerFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerFuture").finish_non_exhaustive()
    }
}
