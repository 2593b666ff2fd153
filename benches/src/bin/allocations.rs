//! Allocations of one round of messages through the broker inside the process.
//!
//! `allocations CASE MESSAGES`: see the cases in `dispatch` of the library. It prints how many there
//! were, growing and shrinking among them, and of how many bytes, from the start of the program to its end.

use ploomby_benches::{arguments::Arguments, dispatch::Round};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

// of its own, because counting changes what the others measure
#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::of_this_program();
    let case = arguments.next("CASE")?.parse()?;
    let messages = arguments.next("MESSAGES")?.parse()?;
    arguments.end()?;

    Round::new(case, messages).run().await?;
    let stats = ALLOCATOR.stats();
    let allocations = stats.allocations + stats.reallocations;
    let grown = stats.bytes_reallocated.max(0).unsigned_abs();
    println!("{allocations} {}", stats.bytes_allocated + grown);
    Ok(())
}
