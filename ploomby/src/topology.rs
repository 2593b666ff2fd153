//! Exchanges, and how messages come from them to queues.
//!
//! - `exchange`: an exchange, as a program describes it;
//! - `binding`: what comes from an exchange to a queue, or to another exchange;
//! - `wiring`: all that a queue needs of both, in the order in which it is declared;
//! - `difference`: an exchange that is otherwise than described.

pub use self::{binding::Binding, exchange::Exchange};
pub(crate) use self::{
    difference::OtherExchange,
    exchange::Kind,
    wiring::{Link, Wiring, WiringError},
};

mod binding;
mod difference;
mod exchange;
mod wiring;
