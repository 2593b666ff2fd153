//! Arguments that a handler takes by reference.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    marker::PhantomData,
    path::Path,
};

use serde::Deserialize;

use super::{
    Argument, Borrowed, Extracting, OwnedKind, Payload, Place, Requirements, payload::decode,
};
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

    /// The same, for an argument whose kind is known already.
    fn make<'a>(
        delivery: &'d Delivery,
        place: &'a mut LentPlace<Self, Self::Holder>,
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
impl<'d, T, Kind: OwnedKind> LentArgument<'d, Kind> for T
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
        requirements.payload::<Self>();
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
        requirements.payload::<Self>();
    }
}

/// A path is sent as text.
#[diagnostic::do_not_recommend]
impl<'d> LentArgument<'d, Payload> for Path {
    type Holder = Text<'d>;

    fn extract<'a>(
        delivery: &'d Delivery,
        place: &'a mut LentPlace<Path, Text<'d>>,
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
        requirements.payload::<Self>();
    }
}

/// What cannot be owned by a variable and is borrowed where it lies in the message, such as
/// `serde_json::value::RawValue`.
#[diagnostic::do_not_recommend]
impl<'d, T: ?Sized + 'd> LentArgument<'d, Borrowed> for T
where
    &'d T: Deserialize<'d>,
{
    type Holder = &'d T;

    fn extract<'a>(delivery: &'d Delivery, place: &'a mut LentPlace<T, &'d T>) -> Extracting<'a>
    where
        'd: 'a,
    {
        Extracting::ready(decode(delivery), &mut place.holder)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Borrowed>,
        requirements: &mut Requirements,
    ) {
        requirements.payload::<Self>();
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

impl Borrow<Path> for Text<'_> {
    fn borrow(&self) -> &Path {
        Path::new(&*self.0)
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

#[cfg(all(test, feature = "gzip"))]
mod tests {
    use super::*;

    struct Known;

    impl<'de> Deserialize<'de> for &'de Known {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            <()>::deserialize(deserializer).map(|()| &Known)
        }
    }

    fn takes_payload<'d, T: LentArgument<'d, Kind> + ?Sized, Kind>() -> bool {
        let mut requirements = Requirements::default();
        T::require(PhantomData, PhantomData, &mut requirements);
        requirements.takes_payload()
    }

    /// So its body is decompressed where that holds up nobody.
    #[test]
    fn whatever_is_lent_from_the_body_is_a_payload() {
        assert!(takes_payload::<String, Payload>());
        assert!(takes_payload::<str, Payload>());
        assert!(takes_payload::<[u8], Payload>());
        assert!(takes_payload::<Path, Payload>());
        assert!(takes_payload::<Known, Borrowed>());
        assert!(!takes_payload::<Delivery, super::super::Part>());
    }
}
