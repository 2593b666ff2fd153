//! Arguments that a handler takes by reference.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use serde::Deserialize;

use super::{Argument, Extracting, Payload, Requirements, payload::decode};
use crate::{delivery::Delivery, settle::Failure};

/// What a handler can take as `&Self`: any argument, and what cannot be owned by a variable, such
/// as `str`, lent by a `Holder` that can.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `&{Self}`",
    label = "neither a payload nor an extractor",
    note = "derive `serde::Deserialize` for `{Self}` and all that it holds, so that it is decoded \
            from the message's body",
    note = "or implement `ploomby::extract::FromDelivery` for it",
    note = "or mind what it holds: `State<T>` and `Extension<T>` take a `T` that is `Clone + Send + \
            Sync + 'static`, `Header<T>` one that is `Deserialize`, `Valid<T>` one that is \
            `garde::Validate`, `Option<T>` and `Result<T, T::Rejection>` an extractor"
)]
pub trait LentArgument<'d, Kind> {
    /// What lives while the handler runs.
    type Holder: Borrow<Self>;

    /// Makes the holder.
    fn extract(delivery: &'d Delivery) -> Lending<'d, Self, Self::Holder, Kind>;

    /// What the program has to give for it.
    fn require(argument: PhantomData<*const Self>, requirements: &mut Requirements) {
        let _ = (argument, requirements);
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T, Kind> LentArgument<'d, Kind> for T
where
    T: Argument<'d, Kind>,
{
    type Holder = T;

    fn extract(delivery: &'d Delivery) -> Lending<'d, T, T, Kind> {
        Lending::new(T::extract(delivery))
    }

    fn require(_: PhantomData<*const Self>, requirements: &mut Requirements) {
        T::require(PhantomData, requirements);
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> LentArgument<'d, Payload> for [T]
where
    T: Deserialize<'d>,
{
    type Holder = Vec<T>;

    fn extract(delivery: &'d Delivery) -> Lending<'d, [T], Vec<T>, Payload> {
        Lending::new(Extracting::ready(decode(delivery)))
    }
}

#[diagnostic::do_not_recommend]
impl<'d> LentArgument<'d, Payload> for str {
    type Holder = Text<'d>;

    fn extract(delivery: &'d Delivery) -> Lending<'d, str, Text<'d>, Payload> {
        Lending::new(Extracting::ready(decode(delivery)))
    }
}

/// Text that is borrowed from the message, unless it has escapes there.
#[derive(Deserialize)]
pub struct Text<'d>(#[serde(borrow)] Cow<'d, str>);

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").finish_non_exhaustive()
    }
}

/// A holder in the making.
pub struct Lending<'d, T: ?Sized, Holder, Kind> {
    holder: Extracting<'d, Holder, Kind>,
    lent: PhantomData<fn(&T)>,
}

impl<'d, T: ?Sized, Holder, Kind> Lending<'d, T, Holder, Kind> {
    fn new(holder: Extracting<'d, Holder, Kind>) -> Self {
        Self {
            holder,
            lent: PhantomData,
        }
    }

    /// Tells the compiler which kind of argument it is.
    pub fn kind(&self) -> PhantomData<fn() -> Kind> {
        self.holder.kind()
    }
}

impl<T: ?Sized, Holder, Kind> Future for Lending<'_, T, Holder, Kind> {
    type Output = Result<Lent<T, Holder>, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let holder = ready!(Pin::new(&mut self.holder).poll(cx))?;
        Poll::Ready(Ok(Lent {
            holder,
            lent: PhantomData,
        }))
    }
}

impl<T: ?Sized, Holder, Kind> fmt::Debug for Lending<'_, T, Holder, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lending").finish_non_exhaustive()
    }
}

/// A holder that is there.
pub struct Lent<T: ?Sized, Holder> {
    holder: Holder,
    lent: PhantomData<fn(&T)>,
}

impl<T: ?Sized, Holder: Borrow<T>> Lent<T, Holder> {
    /// The handler's argument.
    pub fn lend(&self) -> &T {
        self.holder.borrow()
    }
}

impl<T: ?Sized, Holder> fmt::Debug for Lent<T, Holder> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").finish_non_exhaustive()
    }
}
