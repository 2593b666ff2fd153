//! Arguments that a handler takes by reference.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    marker::PhantomData,
};

use serde::Deserialize;

use super::{Argument, Extracting, Payload, Place, Requirements, payload::decode};
use crate::delivery::Delivery;

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
    fn extract<'a>(
        delivery: &'d Delivery,
        place: &'a mut LentPlace<Self, Self::Holder>,
    ) -> Extracting<'a>
    where
        'd: 'a;

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
impl<'d, T, Kind> LentArgument<'d, Kind> for T
where
    T: Argument<'d, Kind>,
{
    type Holder = T;

    fn extract<'a>(delivery: &'d Delivery, place: &'a mut LentPlace<T, T>) -> Extracting<'a>
    where
        'd: 'a,
    {
        T::extract(delivery, &mut place.holder)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Kind>,
        requirements: &mut Requirements,
    ) {
        T::require(PhantomData, PhantomData, requirements);
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> LentArgument<'d, Payload> for [T]
where
    T: Deserialize<'d>,
{
    type Holder = Vec<T>;

    fn extract<'a>(delivery: &'d Delivery, place: &'a mut LentPlace<[T], Vec<T>>) -> Extracting<'a>
    where
        'd: 'a,
    {
        Extracting::ready(decode(delivery), &mut place.holder)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Payload>,
        requirements: &mut Requirements,
    ) {
        requirements.payload();
    }
}

#[diagnostic::do_not_recommend]
impl<'d> LentArgument<'d, Payload> for str {
    type Holder = Text<'d>;

    fn extract<'a>(
        delivery: &'d Delivery,
        place: &'a mut LentPlace<str, Text<'d>>,
    ) -> Extracting<'a>
    where
        'd: 'a,
    {
        Extracting::ready(decode(delivery), &mut place.holder)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Payload>,
        requirements: &mut Requirements,
    ) {
        requirements.payload();
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

/// Where a holder is put once it is made.
pub struct LentPlace<T: ?Sized, Holder> {
    holder: Place<Holder>,
    lent: PhantomData<fn(&T)>,
}

impl<T: ?Sized, Holder> LentPlace<T, Holder> {
    /// A place for a holder that is not made yet.
    pub const fn empty() -> Self {
        Self {
            holder: Place::empty(),
            lent: PhantomData,
        }
    }
}

#[cfg(feature = "garde")]
impl<T: ?Sized, Holder> LentPlace<T, Holder> {
    /// The holder, to be checked.
    ///
    /// # Panics
    ///
    /// Where it was not made.
    pub fn made(&mut self) -> &mut Holder {
        self.holder.made()
    }
}

impl<T: ?Sized, Holder: Borrow<T>> LentPlace<T, Holder> {
    /// The handler's argument.
    ///
    /// # Panics
    ///
    /// Where it was not made.
    pub fn lend(&self) -> &T {
        self.holder.get().borrow()
    }
}

impl<T: ?Sized, Holder> fmt::Debug for LentPlace<T, Holder> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentPlace").finish_non_exhaustive()
    }
}
