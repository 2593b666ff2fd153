//! What the benchmarks share.
//!
//! # Layout
//!
//! - [`order`]: the message that all consumers decode
//! - [`wire`]: the few frames of AMQP 0-9-1 that the synthetic broker and the bare socket need
//! - [`broker`]: the synthetic broker, which delivers as fast as acknowledgements come in
//! - [`dispatch`]: messages through the broker inside the process
//! - [`client`]: what amqprs is opened with
//! - [`confirms`]: confirms as a program by hand counts them
//! - [`counts`]: what a message costs in instructions and allocations
//! - [`environment`]: on what was measured
//! - [`meter`]: counts what handlers have seen
//! - [`produce`]: what is published, where that is measured
//! - [`samples`]: best, median and worst
//! - [`work`]: what a handler does beside decoding
//! - [`arguments`]: `name=value` on the command line
//!
//! In `bin`: `broker` and `consume` are the two sides of one measurement, `produce` publishes, `dispatch` and
//! `allocations` what is counted instead of timed, `counts` counts it, and `bench` measures all of
//! it in one go.

pub mod arguments;
pub mod broker;
pub mod client;
pub mod confirms;
pub mod counts;
pub mod dispatch;
pub mod environment;
pub mod meter;
pub mod order;
pub mod produce;
pub mod samples;
pub mod wire;
pub mod work;
