//! Values that would be replies although they hold what decides about the message: the `Err` of a `Result` in an
//! `Option`, or the `None` of an `Option<()>`, would be acknowledged. They do not compile.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque},
    marker::PhantomData,
    ops::Bound,
    rc::Rc,
    sync::{Arc, Mutex, RwLock},
};

use super::ReturnType;
use crate::reply::Reply;

/// It hides a decision.
#[derive(Clone, Copy, Debug)]
pub struct Hidden;

/// Chosen where a value hides a decision, at `Place`.
pub trait HidesKind<Place> {
    /// Its kind.
    fn __ploomby_kind(&self) -> Hidden {
        Hidden
    }
}

impl<T: Hides<Place>, Place> HidesKind<Place> for &&&&ReturnType<T> {}

/// Here.
#[derive(Debug)]
pub struct Here;

/// In what is at `Place`, by the parameter of this number.
#[derive(Debug)]
pub struct In<Place, const PARAMETER: usize = 0>(PhantomData<Place>);

/// What holds a decision where nobody looks for it.
pub trait Hides<Place> {}

/// What decides, or holds what does.
pub trait Holds<Place> {}

impl<T, E> Holds<Here> for Result<T, E> {}

impl Holds<Here> for Option<()> {}

impl Hides<Here> for Option<()> {}

/// A third `Result` is one too many to take apart.
impl<T, A, B, C> Hides<Here> for Result<Result<Result<T, A>, B>, C> {}

impl<T: Hides<Place>, Place, E> Hides<In<Place>> for Result<T, E> {}

macro_rules! hides {
    ($(($($other:ident),*) $holder:ty),+ $(,)?) => {$(
        impl<T: Holds<Place>, Place, $($other),*> Hides<In<Place>> for $holder {}
        impl<T: Holds<Place>, Place, $($other),*> Holds<In<Place>> for $holder {}
    )+};
}

hides!(
    () Option<T>,
    () Box<T>,
    () Rc<T>,
    () Arc<T>,
    () Cell<T>,
    () RefCell<T>,
    () Mutex<T>,
    () RwLock<T>,
    () Bound<T>,
    () Reply<T>,
    () Vec<T>,
    () Box<[T]>,
    () VecDeque<T>,
    () LinkedList<T>,
    () BinaryHeap<T>,
    () BTreeSet<T>,
    (S) HashSet<T, S>,
    (K) BTreeMap<K, T>,
    (K, S) HashMap<K, T, S>,
    () (T,),
);

impl<T: Holds<Place>, Place, const N: usize> Hides<In<Place>> for [T; N] {}
impl<T: Holds<Place>, Place, const N: usize> Holds<In<Place>> for [T; N] {}

impl<T: Holds<Place> + ?Sized, Place> Hides<In<Place>> for &T {}
impl<T: Holds<Place> + ?Sized, Place> Holds<In<Place>> for &T {}

impl<T: Holds<Place>, Place> Holds<In<Place>> for [T] {}

impl<T: Holds<Place> + Clone, Place> Hides<In<Place>> for Cow<'_, T> {}
impl<T: Holds<Place> + Clone, Place> Holds<In<Place>> for Cow<'_, T> {}

macro_rules! tuple_hides {
    ($(($($other:ident),*) $number:literal $tuple:ty),+ $(,)?) => {$(
        impl<T: Holds<Place>, Place, $($other),*> Hides<In<Place, $number>> for $tuple {}
        impl<T: Holds<Place>, Place, $($other),*> Holds<In<Place, $number>> for $tuple {}
    )+};
}

tuple_hides!(
    (A) 0 (T, A),
    (A) 1 (A, T),
    (A, B) 0 (T, A, B),
    (A, B) 1 (A, T, B),
    (A, B) 2 (A, B, T),
    (A, B, C) 0 (T, A, B, C),
    (A, B, C) 1 (A, T, B, C),
    (A, B, C) 2 (A, B, T, C),
    (A, B, C) 3 (A, B, C, T),
);
