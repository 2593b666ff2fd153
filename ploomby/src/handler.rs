//! Handlers: what the attribute or a call registers, and the call of one.

use std::{fmt, sync::Arc};

pub use self::{
    function::HandlerFunction,
    future::{HandlerFuture, start},
    linked::{Description, LinkedHandler, LinkedKey},
    options::{
        HandlerOptions,
        values::{
            BatchSizeValue, BatchWaitValue, ConcurrencyValue, LayerValue, OrderedByValue,
            QueueValue, RetryValue, TimeoutValue,
        },
    },
    receives::Receives,
    registry::{HandlerRegistry, HandlersError},
    requirements::Requirements,
};
pub(crate) use self::{
    future::{guard, guard_one},
    receives::{NoKey, Replied},
    registry::Queues,
    requirements::Given,
    table::{Bare, Called, Route, Table},
};
use crate::delivery::Delivery;

mod batcher;
mod function;
mod future;
mod linked;
mod options;
mod receives;
mod registry;
mod requirements;
pub(crate) mod returned;
mod table;

/// A function in the registry, and where it was written.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) call: Call,
    pub(crate) options: Arc<HandlerOptions>,
    pub(crate) requirements: Arc<Requirements>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) name: &'static str,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at {}:{}", self.name, self.file, self.line)
    }
}
