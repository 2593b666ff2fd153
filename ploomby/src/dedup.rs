//! Which messages were handled already, by their ids.
//!
//! A broker delivers a message again if its acknowledgement was lost, and a sender sends it again if
//! the confirm was: both times with the same message id. A store of those ids lets a handler run
//! once for each.
//!
//! - `layer`: what runs around a handler;
//! - `claimed`: an id that is the handler's, from its claim to its end;
//! - `outage`: what becomes of messages while the store does not answer;
//! - `memory`: the store of one process.
//!
//! # Limits
//!
//! It narrows the gap and does not close it: a process that crashes between what its handler did and
//! [`DedupStore::complete`] handles the message once more. Only what is written in one transaction with
//! the handler's own work does not. An id counts as long as the store remembers it, its *window*: a
//! duplicate that comes later is handled. A message without an id, or with an empty one, is never known.

use std::{fmt, future::Future};

pub use self::{
    layer::{Dedup, DedupService},
    memory::MemoryDedup,
};

mod outage;

mod claimed;
mod layer;
mod memory;

/// Remembers the ids of messages that were handled.
///
/// An id is claimed before its handler runs, and completed or released after. Several programs that
/// consume one queue need a store that they share; [`MemoryDedup`] is that of one process.
///
/// An id counts in its queue. Queue and id have at most 510 bytes each, and hold no NUL, which PostgreSQL does not
/// store. They are compared byte by byte: choose a column type that tells `a` from `A`.
///
/// # Tokens
///
/// Each claim has a token of its own. A claim that ended because its time was over, as that of a program that
/// hung, may be another program's by now: what the first one then says with its old token changes nothing.
pub trait DedupStore: Send + Sync + 'static {
    /// What can go wrong at the store.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Claims an id, in one step with the look-up: of two claims at the same time one alone gets
    /// [`Claim::New`].
    ///
    /// It is asked again, with the same token, if it failed or did not answer in time: the claim may have been noted
    /// all the same, and is [`Claim::New`] for this token then.
    ///
    /// A claim that is neither completed nor released, as that of a process that crashed, ends after
    /// some time of the store's choice. Choose it longer than the handler may take.
    ///
    /// # Errors
    ///
    /// The store cannot tell.
    fn claim(
        &self,
        queue: &str,
        id: &str,
        token: ClaimToken,
    ) -> impl Future<Output = Result<Claim, Self::Error>> + Send;

    /// The handler of a claimed id is done: from now on it is [`Claim::Done`]. To say so twice is no error.
    ///
    /// # Errors
    ///
    /// The store may not have noted it.
    fn complete(
        &self,
        queue: &str,
        id: &str,
        token: ClaimToken,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The handler of a claimed id failed, or was dropped: it may be tried again. To say so twice is no error.
    ///
    /// # Errors
    ///
    /// The store may not have noted it.
    fn release(
        &self,
        queue: &str,
        id: &str,
        token: ClaimToken,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// What a store knows of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing, or that it was claimed with this very token. It is the caller's now.
    New,
    /// Its handler runs, here or elsewhere, and may still fail.
    InProgress,
    /// Its handler is done.
    Done,
}

/// Tells one claim of an id from another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimToken(i64);

impl ClaimToken {
    /// A token that no other claim has, by its random bits.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::i64(1..))
    }

    /// The token as a store keeps it: a positive number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Debug for ClaimToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClaimToken").field(&self.0).finish()
    }
}
