use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::FutureExt;

use super::{Place, rejected};
use crate::{delivery::Delivery, outcome::Failure};

/// An argument in the making, on its way to its [`Place`].
///
/// It is a type with a name, not an `impl Future` of the trait: the compiler cannot yet prove that
/// such a one, made for one lifetime, can be sent to another thread (rust-lang/rust#100013).
pub struct Extracting<'a>(State<'a>);

enum State<'a> {
    /// There is nothing to wait for.
    Ready(Option<Result<(), Failure>>),
    /// The user's own extractor.
    Waiting(Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>),
}

impl<'a> Extracting<'a> {
    /// An argument that there is no waiting for.
    #[inline]
    pub(super) fn ready<T>(argument: Result<T, Failure>, place: &mut Place<T>) -> Self {
        Self::done(place.fill(argument))
    }

    /// What became of an argument that there is no waiting for.
    pub(super) fn at_once(self) -> Result<(), Failure> {
        match self.0 {
            State::Ready(result) => result.expect("not polled yet"),
            State::Waiting(_) => unreachable!("there is no waiting for a payload"),
        }
    }

    #[inline]
    pub(super) fn done(result: Result<(), Failure>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// What an extractor makes, or its rejection.
    pub(super) fn extractor<T, R>(
        extracted: impl Future<Output = Result<T, R>> + Send + 'a,
        place: &'a mut Place<T>,
    ) -> Self
    where
        T: Send,
        R: Into<anyhow::Error>,
    {
        // a combinator and not an async block, for the reason that the type has a name
        Self::waiting(extracted.map(|result| place.fill(result.map_err(rejected))))
    }

    pub(super) fn waiting(filling: impl Future<Output = Result<(), Failure>> + Send + 'a) -> Self {
        Self(State::Waiting(Box::pin(filling)))
    }
}

impl Future for Extracting<'_> {
    type Output = Result<(), Failure>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().expect("polled once")),
            State::Waiting(filling) => filling.as_mut().poll(cx),
        }
    }
}

/// All arguments of a handler, one after another; the first that cannot be made ends it.
pub struct AllExtracted<'a, const N: usize> {
    arguments: [Extracting<'a>; N],
    made: usize,
    trial: Option<&'a Delivery>,
}

impl<'a, const N: usize> AllExtracted<'a, N> {
    /// Of these.
    #[inline]
    pub fn of(arguments: [Extracting<'a>; N]) -> Self {
        Self {
            arguments,
            made: 0,
            trial: None,
        }
    }

    /// Of these, and a trial ends with them.
    #[inline]
    pub fn or_tried(arguments: [Extracting<'a>; N], delivery: &'a Delivery) -> Self {
        Self {
            trial: Some(delivery),
            ..Self::of(arguments)
        }
    }
}

impl<const N: usize> Future for AllExtracted<'_, N> {
    type Output = Result<(), Failure>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        for argument in &mut this.arguments[this.made..] {
            match Pin::new(argument).poll(cx) {
                Poll::Ready(Ok(())) => this.made += 1,
                other => return other,
            }
        }
        Poll::Ready(this.trial.map_or(Ok(()), Delivery::end_trial))
    }
}

impl<const N: usize> fmt::Debug for AllExtracted<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllExtracted").finish_non_exhaustive()
    }
}

impl fmt::Debug for Extracting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extracting").finish_non_exhaustive()
    }
}
