//! One consumer of a queue by another library, which runs until it is killed.
//!
//! `peers MANNER URL QUEUE [prefetch=COUNT] [messages=COUNT]`, with the options of `consume` beside it.
//! Manners: lapin with an awaited ack for each message (`lapin-each`), with one for all at hand
//! (`lapin-at-hand`), with a task and an awaited ack for each message (`lapin-spawned`), and with many queues
//! (`lapin-queues`); `ruststream` and `rust-rabbit`, as their first examples show them. `lapin-produce` publishes,
//! with the options of `produce`.

use std::{env, time::Instant};

use ploomby_benches::{arguments::Arguments, order::STOPWATCH, produce::Production, work};

mod bare;
mod produce;
mod rust_rabbit;
mod ruststream;

/// What to consume.
struct Options {
    start: Instant,
    url: String,
    queue: String,
    prefetch: u16,
    queues: usize,
    consumers: usize,
    light: Option<String>,
    fails: Option<String>,
    is_quorum: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let start = Instant::now();
    let mut arguments = Arguments::of_this_program();
    let manner = arguments.next("MANNER")?;
    if manner == "lapin-produce" {
        let production = Production::read(&mut arguments)?;
        arguments.end()?;
        return tokio::spawn(produce::produce(production)).await?;
    }
    let options = Options {
        start,
        url: arguments.next("URL")?,
        queue: arguments.next("QUEUE")?,
        prefetch: arguments.get("prefetch")?.unwrap_or(256),
        queues: arguments.get("queues")?.unwrap_or(1),
        consumers: arguments.get("consumers")?.unwrap_or(1),
        light: arguments.get("light")?,
        fails: arguments.get("fails")?,
        is_quorum: arguments.get("quorum")?.unwrap_or(false),
    };
    STOPWATCH.stop_at(arguments.get("messages")?.unwrap_or(0));
    work::set(&mut arguments)?;
    arguments.end()?;

    // on a worker, where a client's own tasks run: the main thread is slower to wake
    tokio::spawn(async move {
        match manner.as_str() {
            "lapin-each" => bare::each(&options).await,
            "lapin-at-hand" => bare::at_hand(&options).await,
            "lapin-spawned" => bare::spawned(&options).await,
            "lapin-queues" => bare::queues(&options).await,
            "ruststream" => ruststream::consume(options).await,
            "rust-rabbit" => rust_rabbit::consume(options).await,
            _ => anyhow::bail!(
                "{manner} is none of the manners of {:?}",
                env::args().next()
            ),
        }
    })
    .await?
}
