use std::{fmt, sync::OnceLock};

use thiserror::Error;
use tracing::Span;

use super::{TraceContext, turn_on};

/// Leads from ploomby's spans to a system that collects them: says which context a span has there.
///
/// The crate `ploomby-opentelemetry` has the one for OpenTelemetry. Set by [`set_bridge`], it holds for the whole process:
/// spans are then made for all messages that are handled, unless [`Trace::Off`](super::Trace::Off) says otherwise, and sent.
///
/// A span that the subscriber does not want is given as well: it is disabled, and has no context.
pub trait Bridge: Send + Sync + 'static {
    /// A message, or a batch of them, goes to its handler within this span, which nobody has entered yet: tells the span where
    /// it comes from, and gives its context. What the handler sends is a child of it.
    fn process(&self, span: &Span, origin: &Origin<'_>) -> Option<TraceContext>;

    /// A message is sent, in this span: gives the context that goes with it. One that is moved as it is, such as a dead letter
    /// that is replayed, keeps the context that it has, which is `moved`: the span may have a link to it.
    fn send(&self, span: &Span, moved: Option<&TraceContext>) -> Option<TraceContext>;
}

/// Where the span of a message comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub(super) came: &'a [TraceContext],
    pub(super) is_child: bool,
    pub(super) is_batch: bool,
}

impl<'a> Origin<'a> {
    /// The span that sent the message, if this one is its child.
    pub fn parent(&self) -> Option<&'a TraceContext> {
        self.came.first().filter(|_| self.is_child)
    }

    /// The spans that sent the message, or the messages of a batch, if this one is not their child but has links to them.
    pub fn links(&self) -> &'a [TraceContext] {
        match self.is_child {
            true => &[],
            false => self.came,
        }
    }

    /// The baggage of the message; none of a batch.
    pub fn baggage(&self) -> Option<&'a str> {
        match self.came {
            [came] if !self.is_batch => came.baggage(),
            _ => None,
        }
    }
}

/// A bridge is set already: there can be one in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a bridge is set already: set one, before anything else")]
pub struct BridgeIsSet(());

static BRIDGE: OnceLock<Box<dyn Bridge>> = OnceLock::new();

/// Sets the bridge of the process.
///
/// # Errors
///
/// There is one already.
pub fn set_bridge(bridge: impl Bridge) -> Result<(), BridgeIsSet> {
    BRIDGE.set(Box::new(bridge)).map_err(|_| BridgeIsSet(()))?;
    turn_on();
    Ok(())
}

pub(super) fn get() -> Option<&'static dyn Bridge> {
    BRIDGE.get().map(|bridge| &**bridge)
}

impl fmt::Debug for dyn Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bridge")
    }
}
