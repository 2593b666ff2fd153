#![doc = include_str!("../README.md")]
//!
//! # What there is to see
//!
//! - `process {queue}`, a consumer, around the handler of each message and the settlement: the outcome, the attempt, the handler, and what
//!   ploomby and the handler log meanwhile. The first attempt at a message is a child of the span that sent the message; what is
//!   retried, delayed, held, redelivered or replayed, and each batch, begins a trace with a link to it. `Queue::trace` of ploomby
//!   chooses otherwise.
//! - `send {queue}`, a producer, for each message that a `Publisher` sends, until the broker has confirmed it; for each call of an
//!   `RpcClient`, a client, until the reply is there.
//!
//! Their attributes are those of OpenTelemetry's [messaging spans], and `ploomby.handler`, `ploomby.key`, `ploomby.attempt` and
//! `ploomby.outcome`. The spans are `tracing`'s, with the target `ploomby::trace` and the level INFO: a filter that leaves them out
//! leaves out these spans, and what is sent and handled belongs to the spans around them.
//!
//! The baggage of a message is in the context of its span, whatever else that is, and goes on with what is sent.
//!
//! [messaging spans]: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/

pub use opentelemetry;
pub use tracing_opentelemetry;

use self::bridge::OpenTelemetry;
pub use self::guard::OpenTelemetryLayer;

#[cfg(doctest)]
#[doc = include_str!("../../docs/traces.md")]
mod chapter {}

mod baggage;
mod bridge;
mod guard;

/// Has ploomby's messages belong to the spans that a layer of `tracing-opentelemetry` exports, and returns the layer as it is.
///
/// It holds for the whole process, whatever the layer: call it before the program sends or handles anything. The text map
/// propagator of OpenTelemetry is not asked: messages carry what the W3C defines.
///
/// A layer of another version does not compile:
///
/// ```compile_fail
/// struct LayerOfAnotherVersion;
///
/// let layer = ploomby_opentelemetry::connect(LayerOfAnotherVersion);
/// ```
///
/// # Panics
///
/// If the process has a bridge of ploomby's that is not this one.
#[must_use = "the layer is still to be given to the subscriber"]
pub fn connect<L: OpenTelemetryLayer>(layer: L) -> L {
    bridge::set_once(OpenTelemetry);
    layer
}
