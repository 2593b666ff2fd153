//! Handlers: what the attribute or a call registers, and the call of one.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

pub use self::{
    function::HandlerFunction,
    guard::guard,
    linked::{LinkedHandler, LinkedKey},
    registry::{HandlerRegistry, HandlersError},
};
use crate::{delivery::Delivery, outcome::Outcome, settle::Failure};

mod function;
mod guard;
mod linked;
mod registry;

/// A handler at work. It owns the delivery and gives it back, so that the message is still there
/// when the handler failed or panicked.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Completed> + Send>>;

/// A handler that has returned, and its delivery.
#[derive(Debug)]
pub struct Completed {
    pub(crate) delivery: Delivery,
    pub(crate) result: Result<Outcome, Failure>,
}

impl Completed {
    /// Puts the delivery and what came of it together.
    pub fn new(delivery: Delivery, result: Result<Outcome, Failure>) -> Self {
        Self { delivery, result }
    }

    /// Whether settling it takes no more than a word to the source, and no wait for a copy.
    pub(crate) fn is_settled_at_once(&self) -> bool {
        matches!(
            self.result,
            Ok(Outcome::Ack | Outcome::Discard | Outcome::Requeue)
        )
    }
}

/// A function in the registry, and where it was written.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) call: Call,
    pub(crate) origin: Origin,
}

#[derive(Clone)]
pub(crate) enum Call {
    Linked(fn(Delivery) -> HandlerFuture),
    ByHand(Arc<dyn Fn(Delivery) -> HandlerFuture + Send + Sync>),
}

impl Entry {
    pub(crate) fn call(&self, delivery: Delivery) -> HandlerFuture {
        match &self.call {
            Call::Linked(call) => call(delivery),
            Call::ByHand(call) => call(delivery),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)
    }
}

/// Where a function was written or registered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at {}:{}", self.name, self.file, self.line)
    }
}
