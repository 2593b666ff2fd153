//! The arguments of a handler, made from the delivery.
//!
//! A handler takes one payload or none, and any number of extractors, in any order. Traits tell
//! them apart, never names: what implements [`FromDelivery`] is an extractor, what implements
//! `serde::Deserialize` is the payload, and so are `Protobuf<T>` and `Valid<T>`, each by a feature.

use std::{future::Future, marker::PhantomData};

use futures_util::TryFutureExt;

pub(crate) use self::extracting::Extracting;
pub use self::parts::{Attempt, Key, RawBody, Redelivered};
#[cfg(feature = "protobuf")]
pub use self::protobuf::Protobuf;
#[cfg(feature = "garde")]
pub use self::valid::Valid;
use crate::{
    delivery::Delivery,
    settle::{Failure, Reason},
};

mod extracting;
pub(crate) mod lent;
mod parts;
mod payload;
#[cfg(feature = "protobuf")]
mod protobuf;
#[cfg(feature = "garde")]
mod valid;

/// An argument that is made from the delivery.
///
/// A type that implements `serde::Deserialize` as well is ambiguous, and no handler can take it.
///
/// ```
/// use std::convert::Infallible;
/// use ploomby::{Delivery, extract::FromDelivery};
///
/// struct BodyLen(usize);
///
/// impl<'d> FromDelivery<'d> for BodyLen {
///     type Rejection = Infallible;
///
///     async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Infallible> {
///         Ok(Self(delivery.body().len()))
///     }
/// }
///
/// #[ploomby::handler("measure")]
/// async fn measure(BodyLen(len): BodyLen) {
///     println!("{len} bytes");
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an extractor",
    note = "implement `ploomby::extract::FromDelivery` for it"
)]
pub trait FromDelivery<'d>: Sized {
    /// Why the argument could not be made. The message is dead-lettered with it.
    type Rejection: Into<anyhow::Error>;

    /// Makes the argument.
    ///
    /// # Errors
    ///
    /// The delivery does not hold what the argument needs.
    fn from_delivery(
        delivery: &'d Delivery,
    ) -> impl Future<Output = Result<Self, Self::Rejection>> + Send;
}

/// An argument of a handler. `Kind` is inferred and keeps the ways apart.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}`",
    label = "neither a payload nor an extractor",
    note = "derive `serde::Deserialize` for it and all that it holds, so that it is decoded from \
            the message's body",
    note = "or implement `ploomby::extract::FromDelivery` for it"
)]
pub trait Argument<'d, Kind>: Sized {
    /// Makes the argument.
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Kind>;
}

/// Arguments that implement `serde::Deserialize`.
#[derive(Debug)]
pub enum Payload {}

/// Arguments that are parts of the delivery, and there at once.
#[derive(Debug)]
pub enum Part {}

/// Arguments that implement [`FromDelivery`].
#[derive(Debug)]
pub enum Extractor {}

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Extractor> for T
where
    T: FromDelivery<'d> + 'd,
{
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Extractor> {
        // a combinator and not an async block, for the reason that `Extracting` gives
        let extracted = T::from_delivery(delivery)
            .map_err(|rejection| Failure::from_error(Reason::Rejected, rejection));
        Extracting::waiting(Box::pin(extracted))
    }
}

/// Counts payloads at compile time: what the arguments so far leave room for.
#[diagnostic::on_unimplemented(
    message = "a handler takes one payload",
    label = "the second payload of this handler",
    note = "a message has one body: take one type that holds both, or implement \
            `ploomby::extract::FromDelivery` for what comes from elsewhere"
)]
pub trait Slot<Kind> {
    /// The room that is left after an argument of this kind.
    type After;

    /// Takes the room that the argument needs.
    fn fill(self, kind: PhantomData<fn() -> Kind>) -> Self::After;
}

/// No payload so far.
#[derive(Debug)]
pub struct Free;

/// There is a payload already.
#[derive(Debug)]
pub struct Taken;

#[diagnostic::do_not_recommend]
impl Slot<Payload> for Free {
    type After = Taken;

    fn fill(self, _: PhantomData<fn() -> Payload>) -> Taken {
        Taken
    }
}

macro_rules! leave_room {
    ($($slot:ident $kind:ident),+) => {$(
        #[diagnostic::do_not_recommend]
        impl Slot<$kind> for $slot {
            type After = $slot;

            fn fill(self, _: PhantomData<fn() -> $kind>) -> $slot {
                self
            }
        }
    )+};
}

leave_room!(Free Part, Free Extractor, Taken Part, Taken Extractor);
