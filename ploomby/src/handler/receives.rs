//! A handler as the address of what it takes: from the function's type to the type of its payload, and
//! to its key.

use std::{
    any::type_name, collections::HashMap, future::Future, marker::PhantomData, sync::OnceLock,
};

use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;

use super::linked::{LinkedHandler, LinkedKey};
use crate::extract::{Argument, Batch, Extractor, Optional, Part, Payload, Tried};

/// A function with [`#[handler]`](macro@crate::handler) whose payload is a `P`: `()` where it takes
/// none. It is implemented for functions; there is no need to implement it.
///
/// `M` is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to by its name",
    label = "not a handler of at most eight arguments",
    note = "name the function that carries #[handler], whose payload is neither `&[T]` nor `Protobuf`, \
            or send with its key"
)]
pub trait Receives<P: ?Sized, M> {
    /// What the function returns once it is done.
    #[doc(hidden)]
    type Returned;

    /// The function's key.
    #[doc(hidden)]
    fn key() -> Result<&'static str, NoKey> {
        key_of(type_name::<Self>())
    }
}

/// Why a function has no key.
#[derive(Debug, Error)]
pub enum NoKey {
    /// It is no handler.
    #[error("the function `{0}` is no handler: put #[ploomby::handler] on it")]
    NoHandler(&'static str),
    /// It takes what no other handler does.
    #[error("the handler `{0}` has no key of its own: send with a key that no other handler has")]
    Default(&'static str),
    /// It takes all keys that fit.
    #[error(
        "the handler `{0}` has a pattern and no key of its own: send with a key that fits `{1}`"
    )]
    Pattern(&'static str, &'static str),
    /// It cannot be told from another one.
    #[error("there are two handlers `{0}`: give one of them another name, or send with its key")]
    Ambiguous(&'static str),
}

fn key_of(function: &'static str) -> Result<&'static str, NoKey> {
    /// None where two have the name.
    type ByName = HashMap<&'static str, Option<&'static LinkedHandler>>;
    static HANDLERS: OnceLock<ByName> = OnceLock::new();
    let handlers = HANDLERS.get_or_init(|| {
        let mut handlers = ByName::new();
        for handler in inventory::iter::<LinkedHandler> {
            handlers
                .entry(handler.description().type_name)
                .and_modify(|known| *known = None)
                .or_insert(Some(handler));
        }
        handlers
    });
    let handler = handlers.get(function).ok_or(NoKey::NoHandler(function))?;
    let handler = handler.ok_or(NoKey::Ambiguous(function))?;
    let key = handler.keys.iter().find_map(|key| match key {
        LinkedKey::Key(key) => Some(*key),
        LinkedKey::Pattern(_) | LinkedKey::Default => None,
    });
    let pattern = handler.keys.iter().find_map(|key| match key {
        LinkedKey::Pattern(pattern) => Some(*pattern),
        LinkedKey::Key(_) | LinkedKey::Default => None,
    });
    key.ok_or(match pattern {
        Some(pattern) => NoKey::Pattern(function, pattern),
        None => NoKey::Default(function),
    })
}

/// No payload so far.
#[derive(Debug)]
pub struct TakesNothing;

/// The payload is a `T`.
#[derive(Debug)]
pub struct Takes<T: ?Sized>(PhantomData<T>);

/// What the arguments have come to is a handler of `P`.
#[diagnostic::on_unimplemented(
    message = "the handler does not take the payload `{P}`",
    label = "the handler is one that `{Self}`",
    note = "send a reference to what the handler takes, and `&()` to one that takes no payload"
)]
pub trait IsPayload<P: ?Sized> {}

#[diagnostic::do_not_recommend]
impl IsPayload<()> for TakesNothing {}
#[diagnostic::do_not_recommend]
impl<P: ?Sized> IsPayload<P> for Takes<P> {}
/// A handler that takes `&str` is sent a `str`.
#[diagnostic::do_not_recommend]
impl<P: ?Sized> IsPayload<P> for Takes<&P> {}

/// What is sent for a payload: what it wraps, where it wraps something.
pub trait SentAs<'d> {
    /// What is sent.
    type Sent;
}

impl<'d, T: Deserialize<'d>> SentAs<'d> for T {
    type Sent = T;
}

impl<'d, T: SentAs<'d>> SentAs<'d> for Batch<T> {
    type Sent = T::Sent;
}

#[cfg(feature = "garde")]
impl<'d, T: SentAs<'d>> SentAs<'d> for crate::extract::Valid<T> {
    type Sent = T::Sent;
}

#[cfg(feature = "garde")]
impl<'d, T: SentAs<'d>> SentAs<'d> for crate::extract::Unvalidated<T> {
    type Sent = T::Sent;
}

/// An argument by value.
#[derive(Debug)]
pub struct Owned<Kind>(PhantomData<Kind>);

/// An argument by reference.
#[derive(Debug)]
pub struct Lent<Kind>(PhantomData<Kind>);

/// What an argument adds to what came `Before` it.
pub trait Step<'d, How, Before> {
    /// What they have come to.
    type After;
}

impl<'d, T: Argument<'d, Payload> + SentAs<'d>> Step<'d, Owned<Payload>, TakesNothing> for T {
    type After = Takes<T::Sent>;
}

impl<'d, T: Argument<'d, Payload> + SentAs<'d>> Step<'d, Lent<Payload>, TakesNothing> for &T {
    type After = Takes<T::Sent>;
}

macro_rules! step_over {
    ($(($($parameter:ident)?) $kind:ty),+) => {$(
        impl<'d, T: Argument<'d, $kind>, Before, $($parameter)?> Step<'d, Owned<$kind>, Before> for T {
            type After = Before;
        }

        impl<'d, T: Argument<'d, $kind>, Before, $($parameter)?> Step<'d, Lent<$kind>, Before> for &T {
            type After = Before;
        }
    )+};
}

step_over!(() Part, () Extractor, (K) Optional<K>, (K) Tried<K>);

/// For each argument its type, how it is taken, and what it was before and after it.
macro_rules! function {
    ($($argument:ident $how:ident $before:ident $after:ident),* => $payload:ident) => {
        #[diagnostic::do_not_recommend]
        impl<'d, F, Fut, P: ?Sized, $($argument, $how, $after,)*>
            Receives<P, (fn($($argument,)*) -> Fut, $($how, $after,)*)> for F
        where
            F: FnOnce($($argument),*) -> Fut,
            Fut: Future,
            $($argument: Step<'d, $how, $before, After = $after>,)*
            $payload: IsPayload<P>,
        {
            type Returned = Fut::Output;
        }
    };
}

function!(=> TakesNothing);
function!(A K TakesNothing S => S);
function!(A K TakesNothing S, B L S T => T);
function!(A K TakesNothing S, B L S T, C M T U => U);
function!(A K TakesNothing S, B L S T, C M T U, D N U V => V);
function!(A K TakesNothing S, B L S T, C M T U, D N U V, E O V W => W);
function!(A K TakesNothing S, B L S T, C M T U, D N U V, E O V W, G Q W X => X);
function!(A K TakesNothing S, B L S T, C M T U, D N U V, E O V W, G Q W X, H R X Y => Y);
function!(A K TakesNothing S, B L S T, C M T U, D N U V, E O V W, G Q W X, H R X Y, I J Y Z => Z);

/// What a caller gets from what a handler returned. `Kind` keeps the ways apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no reply that can be decoded",
    note = "derive `serde::Deserialize` for what the handler returns"
)]
pub trait Replied<Kind> {
    /// The value of the reply.
    type Reply: DeserializeOwned;
}

/// A value.
#[derive(Debug)]
pub enum Plain {}

/// A `Result`, whose error comes as the call's.
#[derive(Debug)]
pub enum Fallible {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> Replied<Plain> for T {
    type Reply = T;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned, E> Replied<Fallible> for Result<T, E> {
    type Reply = T;
}
