//! The command line of a program, as a process of its own.

mod chapter;
mod contract;
mod letters;
mod messages;
mod odd;
mod program;
mod support;
mod surroundings;
