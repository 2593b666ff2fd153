use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::settle::Failure;

/// An argument in the making.
///
/// It is a type with a name, not an `impl Future` of the trait: the compiler cannot yet prove that
/// such a one, made for one lifetime, can be sent to another thread (rust-lang/rust#100013).
pub enum Extracting<'d, T> {
    /// There is nothing to wait for.
    Ready(Option<Result<T, Failure>>),
    /// The user's own extractor.
    Waiting(Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'd>>),
}

impl<T> Extracting<'_, T> {
    pub(super) fn ready(result: Result<T, Failure>) -> Self {
        Self::Ready(Some(result))
    }
}

/// What is ready is only ever moved out.
impl<T> Unpin for Extracting<'_, T> {}

impl<T> Future for Extracting<'_, T> {
    type Output = Result<T, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(result) => Poll::Ready(result.take().expect("polled once")),
            Self::Waiting(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> std::fmt::Debug for Extracting<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extracting").finish_non_exhaustive()
    }
}
