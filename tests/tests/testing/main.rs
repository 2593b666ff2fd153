//! The kit for tests of handlers, by tests as users write them.

mod assertions;
mod chains;
mod ends;
mod macros;
mod on_rabbit;
mod promises;
mod shop;
mod simulation;
mod time;
