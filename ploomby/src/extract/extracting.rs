use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use crate::settle::Failure;

/// An argument in the making.
///
/// It is a type with a name, not an `impl Future` of the trait: the compiler cannot yet prove that
/// such a one, made for one lifetime, can be sent to another thread (rust-lang/rust#100013).
pub struct Extracting<'d, T, Kind> {
    state: State<'d, T>,
    kind: PhantomData<fn() -> Kind>,
}

enum State<'d, T> {
    /// There is nothing to wait for.
    Ready(Option<Result<T, Failure>>),
    /// The user's own extractor.
    Waiting(Waiting<'d, T>),
}

type Waiting<'d, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'd>>;

impl<'d, T, Kind> Extracting<'d, T, Kind> {
    pub(super) fn ready(result: Result<T, Failure>) -> Self {
        Self {
            state: State::Ready(Some(result)),
            kind: PhantomData,
        }
    }

    pub(super) fn waiting(future: Waiting<'d, T>) -> Self {
        Self {
            state: State::Waiting(future),
            kind: PhantomData,
        }
    }

    /// Goes on with a payload, which there is no waiting for.
    #[cfg(feature = "garde")]
    pub(super) fn and_then<U>(
        self,
        next: impl FnOnce(T) -> Result<U, Failure> + Send + 'd,
    ) -> Extracting<'d, U, Kind>
    where
        T: 'd,
    {
        match self.state {
            State::Ready(result) => {
                Extracting::ready(result.expect("not polled yet").and_then(next))
            }
            State::Waiting(future) => {
                Extracting::waiting(Box::pin(async move { next(future.await?) }))
            }
        }
    }

    /// Tells the compiler which kind of argument it is.
    pub fn kind(&self) -> PhantomData<fn() -> Kind> {
        self.kind
    }
}

/// What is ready is only ever moved out.
impl<T, Kind> Unpin for Extracting<'_, T, Kind> {}

impl<T, Kind> Future for Extracting<'_, T, Kind> {
    type Output = Result<T, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().state {
            State::Ready(result) => Poll::Ready(result.take().expect("polled once")),
            State::Waiting(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T, Kind> fmt::Debug for Extracting<'_, T, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extracting").finish_non_exhaustive()
    }
}
