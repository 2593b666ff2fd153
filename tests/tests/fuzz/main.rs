//! What comes from the network, made up at random: none of it may panic, and no message may get lost
//! or change on its way.
//!
//! A case that fails is written to `proptest-regressions`, and tried first from then on.

mod messages;
mod urls;
mod values;
