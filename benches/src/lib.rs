//! What the benchmarks share.
//!
//! # Layout
//!
//! - [`order`]: the message that all consumers decode
//! - [`wire`]: the few frames of AMQP 0-9-1 that the synthetic broker and the bare socket need
//! - [`broker`]: the synthetic broker, which delivers as fast as acknowledgements come in
//! - [`dispatch`]: messages through the broker inside the process
//! - [`client`]: what amqprs is opened with
//! - [`counts`]: what a message costs in instructions and allocations
//! - [`environment`]: on what was measured
//! - [`meter`]: counts what handlers have seen
//! - [`samples`]: best, median and worst
//! - [`arguments`]: `name=value` on the command line
//!
//! In `bin`: `broker` and `consume` are the two sides of one measurement, `dispatch` and
//! `allocations` what is counted instead of timed, `counts` counts it, and `bench` measures all of
//! it in one go.

pub mod arguments;
pub mod broker;
pub mod client;
pub mod counts;
pub mod dispatch;
pub mod environment;
pub mod meter;
pub mod order;
pub mod samples;
pub mod wire;
