//! Traces: which messages came of which, in whatever collects traces.
//!
//! A message says by its headers `traceparent`, `tracestate` and `baggage`, as the W3C defines them, to which trace it belongs
//! and which span sent it. Each copy that ploomby makes of a message keeps them, and what a handler sends while it is at work
//! belongs to the trace of its message. That needs no setting, and nothing that collects traces.
//!
//! A span of [`tracing`] is made for each message that is handled, `process {queue}`, and for each that is sent,
//! `send {queue}`, once a [`Bridge`] is set, as `ploomby-opentelemetry` does, or, for the messages of a queue and what its
//! handlers send, by [`App::trace`](crate::App::trace) or [`Queue::trace`](crate::Queue::trace). Their target is
//! `ploomby::trace`, their level INFO. The chapter `docs/traces.md` shows how to export them.
//!
//! What a handler sends from a task that it spawns belongs to the trace only if the bridge says so: spawn it with
//! `tracing`'s `in_current_span`.
//!
//! - `bridge`: what leads to a system that collects traces;
//! - `work`: a message that is being handled, and its span;
//! - `spans`: the spans themselves;
//! - `sending`: a message that is sent.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub use self::bridge::{Bridge, BridgeIsSet, Origin, set_bridge};
pub(crate) use self::{
    sending::{SendSpan, Sending},
    work::{
        Within, Work, batch, begin_handling, begin_settling, makes_spans, note, of, poll, trace_id,
    },
};
pub use crate::message::{InvalidTraceparent, TraceContext, TraceId};

mod bridge;
mod sending;
mod spans;
mod work;

/// The target of the spans.
const TARGET: &str = "ploomby::trace";

/// Whether messages have spans, and what these are to the spans that sent the messages.
///
/// Without a [`Bridge`] there is no difference between those that have some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trace {
    /// No spans. The headers go on all the same.
    Off,
    /// The first attempt at a message is a child of the span that sent the message: one trace has both. All that comes later,
    /// because the message was retried, delayed, held, redelivered or replayed, is a trace of its own, with a link to that
    /// span, and so is a batch.
    Auto,
    /// Each attempt is a child of the span that sent the message, however much later. A batch has links.
    Parent,
    /// Each message begins a trace of its own, with a link to the span that sent it.
    Link,
}

/// Whether any message has to be looked at: nobody sends, and nothing is traced, until somebody says otherwise.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// There is a use for the traces of messages from now on: the program sends messages, or makes spans.
pub(crate) fn turn_on() {
    IS_ON.store(true, Relaxed);
}

impl Trace {
    /// How the messages of a queue are traced that has this setting; None if they have no spans.
    fn chosen(setting: Option<Self>) -> Option<Self> {
        let by_bridge = || bridge::get().is_some().then_some(Self::Auto);
        setting
            .or_else(by_bridge)
            .filter(|trace| *trace != Self::Off)
    }
}
