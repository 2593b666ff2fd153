//! Random programs of publishes, outcomes, retries, delays, deletions and cuts, run on the embedded broker and on
//! RabbitMQ: what can be seen of both has to be the same.
//!
//! A run is short unless `PLOOMBY_PROGRAMS` says how many programs to run; `PLOOMBY_PROGRAM` is the number of the
//! first one, which is in the message of a test that failed.
//!
//! What may differ, since RabbitMQ does it one way today and another tomorrow, is not in these programs, and stands in
//! the docs of `ploomby::memory`: how many messages too many a queue with `reject-publish` takes, when a kept dead
//! letter is delivered, which headers a dead letter of the broker's gets.

use futures_util::{StreamExt, stream};

use crate::{program::Program, run::compare};

mod program;
mod random;
mod run;

/// How many programs run at the same time.
const AT_ONCE: usize = 16;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_programs_do_the_same_on_both_brokers() {
    let first = number("PLOOMBY_PROGRAM", 0);
    let count = number("PLOOMBY_PROGRAMS", 16);
    let differences: Vec<String> = stream::iter(first..first + count)
        .map(|seed| async move { compare(seed, Program::random(seed)).await.err() })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |difference| difference)
        .collect()
        .await;
    assert!(
        differences.is_empty(),
        "{} of {count} programs did something else:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
