//! One round of messages through the broker inside the process, whose time, instructions or cache
//! misses others measure.
//!
//! `dispatch CASE MESSAGES [rounds=COUNT]`: see the cases in `dispatch` of the library. It prints
//! messages per second: best, median and worst.

use std::time::Instant;

use ploomby_benches::{
    arguments::Arguments,
    dispatch::{Case, Round},
    samples::Samples,
};

// one thread: what is measured is work, not waiting for each other
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::of_this_program();
    let case: Case = arguments.next("CASE")?.parse()?;
    let messages = arguments.next("MESSAGES")?.parse()?;
    let rounds = arguments.get("rounds")?.unwrap_or(1).max(1);
    arguments.end()?;

    let mut rates = Vec::new();
    for _ in 0..rounds {
        let round = Round::new(case, messages);
        let start = Instant::now();
        round.run().await?;
        rates.push(messages as f64 / start.elapsed().as_secs_f64());
    }
    println!("{case}{}  messages/s", Samples::new(rates));
    Ok(())
}
