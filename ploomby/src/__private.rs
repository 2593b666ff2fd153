//! What the code that `#[handler]` writes calls. Not part of the public interface.

pub use inventory;

use crate::{
    delivery::Delivery,
    extract::{Argument, Extracting, Slot},
    outcome::IntoOutcome,
};
pub use crate::{
    extract::Free,
    handler::{Completed, HandlerFuture, LinkedHandler, LinkedKey, guard},
    settle::Failure,
};
pub use std::{boxed::Box, result::Result};

/// Begins to make one argument, and says what room it leaves for a payload.
pub fn argument<'d, S, T, K>(_: Room<S>, delivery: &'d Delivery) -> (Extracting<'d, T>, Room<S::After>)
where
    T: Argument<'d, K>,
    S: Slot<K>,
{
    (T::extract(delivery), Room::new())
}

/// Reads what the handler returned.
pub fn outcome(returned: impl IntoOutcome) -> Result<crate::Outcome, Failure> {
    returned.into_outcome().map_err(Failure::handler)
}

/// [`Free`] or `Taken`, as a value.
#[derive(Debug)]
pub struct Room<S>(std::marker::PhantomData<fn() -> S>);

impl<S> Room<S> {
    /// The room.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}
