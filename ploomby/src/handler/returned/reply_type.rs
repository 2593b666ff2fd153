//! The type of what a function with `#[handler]` replies with, known without a call.

use std::{any::type_name, fmt, future::Future, marker::PhantomData};

use super::{Decides, Replies, Tries, TriesTwice, hidden::Hidden};
use crate::reply::IntoOutcome;

/// What a function returns once its future is done.
pub struct ReturnType<T>(PhantomData<fn() -> T>);

impl<T> ReturnType<T> {
    /// As it is written.
    pub const fn written() -> Self {
        Self(PhantomData)
    }

    /// By a call that nobody makes.
    pub fn of<Fut: Future<Output = T>>(_: impl FnOnce() -> Fut) -> Self {
        Self(PhantomData)
    }

    /// The type that is sent back.
    pub fn reply<Kind>(&self, kind: Kind) -> Option<&'static str>
    where
        T: ReplyOf<Kind>,
    {
        let _ = kind;
        T::reply_type()
    }
}

impl<T> fmt::Debug for ReturnType<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReturnType").finish()
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

/// What a returned value has to say to who asked. Whether it can be returned is not decided here.
pub trait ReplyOf<Kind> {
    /// The type that is sent back.
    fn reply_type() -> Option<&'static str>;
}

impl<T> ReplyOf<Hidden> for T {
    fn reply_type() -> Option<&'static str> {
        None
    }
}

impl<T: IntoOutcome> ReplyOf<Decides> for T {
    fn reply_type() -> Option<&'static str> {
        T::reply_type()
    }
}

impl<T, E, Outer> ReplyOf<TriesTwice> for Result<Result<T, E>, Outer> {
    fn reply_type() -> Option<&'static str> {
        Some(type_name::<T>())
    }
}

impl<T, E> ReplyOf<Tries> for Result<T, E> {
    fn reply_type() -> Option<&'static str> {
        Some(type_name::<T>())
    }
}

impl<T> ReplyOf<Replies> for T {
    fn reply_type() -> Option<&'static str> {
        Some(type_name::<T>())
    }
}
