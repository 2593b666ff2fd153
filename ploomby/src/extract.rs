//! The arguments of a handler, made from the delivery.
//!
//! A handler takes one payload or none, and any number of extractors, in any order. Traits tell
//! them apart, never names: what implements [`FromDelivery`] is an extractor, what implements
//! `serde::Deserialize` is the payload, and so are [`Batch<T>`](Batch), and by features `Protobuf<T>`,
//! `Valid<T>` and `Unvalidated<T>`.
//!
//! | extractor | what it is |
//! |---|---|
//! | [`State<T>`](State) | what the program gave to all handlers |
//! | [`Publisher`](crate::Publisher) | sends messages: see [there](crate::Publisher#as-an-argument-of-a-handler) |
//! | [`Header<T>`](Header) | headers by name and type |
//! | [`Headers`](crate::Headers) | all headers, where they lie |
//! | [`Properties`](crate::Properties) | the properties, and the headers |
//! | [`Key`] | the key |
//! | [`Words`] | what stands in the key for the wildcards of a pattern |
//! | [`RawBody`] | the body, as it was sent |
//! | [`Attempt`] | which attempt this is |
//! | [`Redelivered`] | whether the message came back without having been settled |
//! | [`TraceId`] | the trace in which the message is handled: see [`trace`](crate::trace) |
//! | [`Extension<T>`](Extension) | what a layer left with the message |
//! | [`Delivery`] | all of it, shared and not copied |
//!
//! Each may be taken by reference, and as `Option` or `Result`.

use std::{future::Future, marker::PhantomData};

use futures_util::FutureExt;

pub(crate) use self::batch::Collected;
#[cfg(feature = "protobuf")]
pub use self::protobuf::Protobuf;
pub use self::{
    batch::{Batch, BatchItem},
    extension::{Extension, MissingExtension},
    header::Header,
    parts::{Attempt, Key, MissingKey, RawBody, Redelivered},
    requirements::Requirements,
    state::{MissingState, State},
    trace_id::MissingTrace,
    words::Words,
};
pub(crate) use self::{
    extracting::Extracting, part::DeliveryPart, place::Place, requirements::Given,
};
#[cfg(feature = "garde")]
pub use self::{unvalidated::Unvalidated, valid::Valid};
use crate::{
    delivery::Delivery,
    outcome::{Failure, Reason},
};
pub use crate::{
    message::{HeaderRejection, TraceId},
    outcome::Rejection,
};
// how the compiler tells arguments apart: nothing that a program names
#[doc(hidden)]
pub use self::kind::{
    Borrowed, Extractor, Free, Optional, OwnedKind, Part, Payload, Slot, Taken, Tried,
};

mod batch;
mod extension;
pub(crate) mod extracting;
mod header;
mod kind;
pub(crate) mod lent;
mod optional;
mod part;
mod parts;
mod payload;
pub(crate) mod place;
#[cfg(feature = "protobuf")]
mod protobuf;
mod requirements;
#[cfg(feature = "garde")]
pub(crate) mod rules;
#[cfg(feature = "asyncapi")]
pub(crate) mod schemas;
pub(crate) mod sort;
mod state;
mod trace_id;
#[cfg(feature = "garde")]
mod unvalidated;
#[cfg(feature = "garde")]
mod valid;
mod words;

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
pub trait FromDelivery<'d>: Sized + Send {
    /// Why the argument could not be made. The message is dead-lettered with it, unless it is or
    /// holds a [`Rejection`], which says what else is done.
    type Rejection: Into<anyhow::Error> + Send;

    /// Makes the argument.
    ///
    /// # Errors
    ///
    /// The delivery does not hold what the argument needs.
    fn from_delivery(
        delivery: &'d Delivery,
    ) -> impl Future<Output = Result<Self, Self::Rejection>> + Send;

    /// Makes the argument of a handler that takes `Option<Self>`: none where
    /// [`from_delivery`](Self::from_delivery) fails. An extractor that can tell what is not there
    /// from what is wrong fails with the latter.
    ///
    /// # Errors
    ///
    /// What is there is wrong.
    fn optional(
        delivery: &'d Delivery,
    ) -> impl Future<Output = Result<Option<Self>, Self::Rejection>> + Send {
        Self::from_delivery(delivery).map(|result| Ok(result.ok()))
    }

    /// Says what the program has to give for it, so that a program that does not does not start, and
    /// whether it is made of [one message](Requirements::message), of which a handler of a
    /// [`Batch`] has none.
    fn require(requirements: &mut Requirements) {
        let _ = requirements;
    }
}

/// An argument of a handler. `Kind` is inferred and keeps the ways apart.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}`",
    label = "neither a payload nor an extractor",
    note = "derive `serde::Deserialize` for it and all that it holds, so that it is decoded from \
            the message's body",
    note = "or implement `ploomby::extract::FromDelivery` for it",
    note = "or mind what it holds: `State<T>` and `Extension<T>` take a `T` that is `Clone + Send + \
            Sync + 'static`, `Header<T>` one that is `Deserialize`, `Valid<T>` one that is \
            `garde::Validate`, `Option<T>` and `Result<T, T::Rejection>` an extractor",
    note = "or write the `&` in the signature, where an alias stands for a reference"
)]
pub trait Argument<'d, Kind>: Sized {
    /// Makes the argument.
    fn extract<'a>(delivery: &'d Delivery, place: &'a mut Place<Self>) -> Extracting<'a>
    where
        'd: 'a;

    /// The same, for an argument whose kind is known already.
    fn make<'a>(
        delivery: &'d Delivery,
        place: &'a mut Place<Self>,
        kind: PhantomData<fn() -> Kind>,
    ) -> Extracting<'a>
    where
        'd: 'a,
    {
        let _ = kind;
        Self::extract(delivery, place)
    }

    /// What the program has to give for it.
    fn require(
        argument: PhantomData<*const Self>,
        kind: PhantomData<fn() -> Kind>,
        requirements: &mut Requirements,
    ) {
        let _ = (argument, kind, requirements);
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Extractor> for T
where
    T: FromDelivery<'d> + 'd,
{
    fn extract<'a>(delivery: &'d Delivery, place: &'a mut Place<Self>) -> Extracting<'a>
    where
        'd: 'a,
    {
        if let Err(trial) = delivery.end_trial() {
            return Extracting::done(Err(trial));
        }
        Extracting::extractor(T::from_delivery(delivery), place)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Extractor>,
        requirements: &mut Requirements,
    ) {
        T::require(requirements);
    }
}

fn rejected(rejection: impl Into<anyhow::Error>) -> Failure {
    let error = rejection.into();
    // whoever counts messages without a key counts these, too
    let reason = match error.is::<MissingKey>() {
        true => Reason::MissingKey,
        false => Reason::Rejected,
    };
    Failure::from_error(reason, error)
}
