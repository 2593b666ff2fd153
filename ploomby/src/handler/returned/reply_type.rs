//! The type of what a function with `#[handler]` replies with, known without a call: chosen as the kind of a returned
//! value is.

use std::{any::type_name, future::Future, marker::PhantomData};

use crate::reply::IntoOutcome;

/// What a function returns once its future is done.
#[derive(Debug)]
pub struct ReturnType<T>(PhantomData<fn() -> T>);

impl<T> ReturnType<T> {
    /// By a call that nobody makes.
    pub fn of<Fut: Future<Output = T>>(_: impl FnOnce() -> Fut) -> Self {
        Self(PhantomData)
    }
}

/// Stands for an argument, of whatever type, in a call that nobody makes.
///
/// # Panics
///
/// Always.
pub fn never<T>() -> T {
    unreachable!("the call is there for its type alone")
}

/// Chosen where the value decides.
pub trait DecidesReply {
    /// The type that is sent back.
    fn __ploomby_reply(&self) -> Option<&'static str>;
}

impl<T: IntoOutcome> DecidesReply for &&&ReturnType<T> {
    fn __ploomby_reply(&self) -> Option<&'static str> {
        T::reply_type()
    }
}

/// Chosen for a `Result` of a `Result` of a value.
pub trait TriesTwiceReply {
    /// The type that is sent back.
    fn __ploomby_reply(&self) -> Option<&'static str>;
}

impl<T, E, Outer> TriesTwiceReply for &&ReturnType<Result<Result<T, E>, Outer>> {
    fn __ploomby_reply(&self) -> Option<&'static str> {
        Some(type_name::<T>())
    }
}

/// Chosen for other results of a value.
pub trait TriesReply {
    /// The type that is sent back.
    fn __ploomby_reply(&self) -> Option<&'static str>;
}

impl<T, E> TriesReply for &ReturnType<Result<T, E>> {
    fn __ploomby_reply(&self) -> Option<&'static str> {
        Some(type_name::<T>())
    }
}

/// Chosen for all other values.
pub trait RepliesReply {
    /// The type that is sent back.
    fn __ploomby_reply(&self) -> Option<&'static str>;
}

impl<T> RepliesReply for ReturnType<T> {
    fn __ploomby_reply(&self) -> Option<&'static str> {
        Some(type_name::<T>())
    }
}
