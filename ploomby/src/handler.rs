//! Handlers: what the attribute or a call registers, and the call of one.

use std::{fmt, sync::Arc};

#[cfg(feature = "cli")]
pub(crate) use self::near::did_you_mean;
pub use self::{
    function::HandlerFunction,
    linked::{Description, LinkedHandler, LinkedKey},
    options::{
        HandlerOptions,
        values::{
            BatchSizeValue, BatchWaitValue, BrakeValue, ConcurrencyValue, LayerValue, NeedsValue,
            OrderedByValue, QueueValue, RateValue, RetryValue, TimeoutValue, UnavailableIfValue,
        },
    },
    order::OrderBy,
    policy::QueuePolicy,
    rate::Rate,
    receives::Receives,
    registry::{HandlerRegistry, InvalidHandlers},
};
pub(crate) use self::{
    limits::{Limits, MustWait},
    near::near,
    order::{Entered, Order, Turn, Waiting},
    pattern::{KeyPattern, key_fits},
    receives::{NoKey, Replied},
    registry::{Queues, Registered},
    route::{Called, Route},
    table::Table,
};
use crate::{
    delivery::Delivery,
    extract::Requirements,
    layer::{Bare, HandlerFuture, HandlerService},
};

mod batcher;
mod docs;
mod function;
mod limits;
mod linked;
mod near;
mod options;
mod order;
mod pattern;
pub(crate) mod policy;
mod rate;
mod receives;
mod registry;
pub(crate) mod returned;
mod route;
mod routes;
mod table;

/// A function in the registry, and where it was written.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) call: Arc<Bare>,
    pub(crate) options: Arc<HandlerOptions>,
    pub(crate) requirements: Arc<Requirements>,
    pub(crate) origin: Origin,
    /// The type of what goes back to who asked.
    reply: Option<&'static str>,
    /// How what goes back is described.
    #[cfg(feature = "asyncapi")]
    reply_schema: Option<crate::schema::SchemaOf>,
    /// The lines of the doc comment, as the attribute finds them.
    docs: &'static [&'static str],
}

impl Entry {
    /// The handler without what is around it.
    fn service(&self) -> HandlerService {
        HandlerService::bare(self.call.clone())
    }

    pub(crate) fn call(&self, delivery: Delivery) -> HandlerFuture {
        (self.call)(delivery)
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
