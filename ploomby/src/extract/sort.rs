//! A type that is a payload and an extractor as well, which no handler can take: the choice between
//! methods that [returned values](crate::handler::returned) are told apart by finds it, so that the
//! compiler says what is wrong. Left alone it would ask for type annotations.

use std::{fmt, marker::PhantomData, path::Path};

use serde::Deserialize;

use super::{FromDelivery, Payload};

/// An argument of a handler, by the type that it is given or lent as.
pub struct Sort<T: ?Sized>(PhantomData<fn(*const T)>);

impl<T: ?Sized> Sort<T> {
    /// The sort of a type.
    pub const fn of() -> Self {
        Self(PhantomData)
    }
}

/// Which of its ways an argument is made, where only one is open: inferred.
pub trait AnyKind {
    /// Its kind.
    fn __ploomby_kind<Kind>(&self) -> PhantomData<fn() -> Kind> {
        PhantomData
    }
}

impl<T: ?Sized> AnyKind for Sort<T> {}

/// What could be borrowed where it lies is decoded, so that it may have escapes there.
macro_rules! decoded {
    ($(($($item:ident)?) $ty:ty),+) => {$(
        impl<$($item)?> Sort<$ty> {
            #[doc(hidden)]
            pub fn __ploomby_kind(&self) -> PhantomData<fn() -> Payload> {
                PhantomData
            }
        }
    )+};
}

decoded!(() str, (T) [T], () Path);

impl<T: ?Sized> fmt::Debug for Sort<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sort").finish()
    }
}

/// Chosen for a type that is both.
pub trait BothSort<T> {
    /// What it is.
    fn __ploomby_sort(&self) -> PhantomData<fn(T)> {
        PhantomData
    }
}

impl<'d, T: FromDelivery<'d> + Deserialize<'d>> BothSort<T> for &Sort<T> {}

/// Chosen for all others.
pub trait OneSort {
    /// What it is.
    fn __ploomby_sort(&self) -> PhantomData<fn(Sorted)> {
        PhantomData
    }
}

impl<T: ?Sized> OneSort for Sort<T> {}

/// It is of one sort, or the arguments' own traits say that it is of none.
#[derive(Debug)]
pub struct Sorted;

/// A type that a handler can tell.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is both a payload and an extractor",
    label = "a handler cannot tell which of the two it is to take",
    note = "what is decoded from the message's body is `serde::Deserialize`, what is made from the \
            delivery is `ploomby::extract::FromDelivery`: remove one of the two, or take a type of \
            your own that holds this one and is the other"
)]
pub trait IsSorted: Sized {
    /// Nothing is left to do.
    fn sorted(sort: PhantomData<fn(Self)>) {
        let _ = sort;
    }
}

#[diagnostic::do_not_recommend]
impl IsSorted for Sorted {}
