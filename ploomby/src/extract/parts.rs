use std::{convert::Infallible, fmt, ops::Deref};

use bytes::Bytes;
use thiserror::Error;

use super::part::DeliveryPart;
use crate::{
    delivery::{Delivery, KeyError},
    message::{Headers, Properties},
};

/// The key of the message, which the default handler, or one with several keys, may want to know.
///
/// ```
/// use ploomby::extract::Key;
///
/// #[ploomby::handler(default)]
/// async fn unknown(key: Option<Key>) {
///     match key {
///         Some(Key(key)) => println!("nobody handles {key:?}"),
///         None => println!("this has no key"),
///     }
/// }
/// ```
///
/// Only the default handler gets messages without a key. If it takes `Key` and not `Option<Key>`, they are dead-lettered
/// with the reason `missing-key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(pub String);

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[diagnostic::do_not_recommend]
impl<'d> DeliveryPart<'d> for Key {
    type Rejection = MissingKey;

    fn part(delivery: &'d Delivery) -> Result<Self, MissingKey> {
        let key = delivery.try_key().map_err(MissingKey)?;
        Ok(Self(key.into_owned()))
    }
}

/// The message has no key, and is with the default handler, or was not dispatched at all.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct MissingKey(KeyError);

impl MissingKey {
    pub(super) fn new(error: KeyError) -> Self {
        Self(error)
    }
}

/// The body of the message, as it was sent: a compressed one is not decompressed.
///
/// `Debug` prints its length alone.
#[derive(Clone, PartialEq, Eq)]
pub struct RawBody(pub Bytes);

impl Deref for RawBody {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for RawBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawBody({} bytes)", self.0.len())
    }
}

#[diagnostic::do_not_recommend]
impl<'d> DeliveryPart<'d> for RawBody {
    type Rejection = Infallible;

    #[inline]
    fn part(delivery: &'d Delivery) -> Result<Self, Infallible> {
        Ok(Self(delivery.message().body().clone()))
    }
}

/// Which attempt at the message this is: 1, unless a [`Retry`](crate::Retry) brought it back.
///
/// It travels with the message, whichever program tries. What comes back without having been
/// settled, after a crash for one, is the same attempt, [`Redelivered`].
///
/// ```
/// use ploomby::extract::Attempt;
///
/// #[ploomby::handler(retry = 5)]
/// async fn call_the_bank(Attempt(attempt): Attempt) {
///     println!("attempt {attempt} of 5");
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt(pub u32);

#[diagnostic::do_not_recommend]
impl<'d> DeliveryPart<'d> for Attempt {
    type Rejection = Infallible;

    fn part(delivery: &'d Delivery) -> Result<Self, Infallible> {
        Ok(Self(delivery.attempt()))
    }
}

/// Whether the message was delivered before and not settled, so that its handler may have run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redelivered(pub bool);

#[diagnostic::do_not_recommend]
impl<'d> DeliveryPart<'d> for Redelivered {
    type Rejection = Infallible;

    fn part(delivery: &'d Delivery) -> Result<Self, Infallible> {
        Ok(Self(delivery.is_redelivered()))
    }
}

#[diagnostic::do_not_recommend]
impl<'d> DeliveryPart<'d> for Properties {
    type Rejection = Infallible;

    fn part(delivery: &'d Delivery) -> Result<Self, Infallible> {
        Ok(delivery.properties().clone())
    }
}

#[diagnostic::do_not_recommend]
impl<'d> DeliveryPart<'d> for Headers<'d> {
    type Rejection = Infallible;

    fn part(delivery: &'d Delivery) -> Result<Self, Infallible> {
        Ok(delivery.headers())
    }
}

#[diagnostic::do_not_recommend]
impl<'d> DeliveryPart<'d> for Delivery {
    type Rejection = Infallible;

    fn part(delivery: &'d Delivery) -> Result<Self, Infallible> {
        Ok(delivery.clone())
    }
}
