//! The way to a broker: all addresses of all hosts, the next one before the present one has been waited for too long.
//!
//! Names are asked for side by side, on the thread of all connections: nobody waits for that thread when the process
//! ends, so a name server that says nothing holds up nobody.
//!
//! # Layout
//!
//! - `address`: what a host's name leads to, and which address failed lately;
//! - `race`: which address is tried when;
//! - `refusal`: why there is no connection, and what to do;
//! - `outage`: when to try again, and what to log of that.

pub(super) use self::{
    address::{Address, blame},
    outage::Outage,
    race::open,
    refusal::ConnectError,
};

mod address;
mod outage;
mod race;
mod refusal;
