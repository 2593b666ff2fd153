//! One consumer of a queue by another library, which runs until it is killed.
//!
//! `peers MANNER URL QUEUE [prefetch=COUNT] [messages=COUNT]`, as `consume` beside it. Manners: lapin
//! with an awaited ack for each message (`lapin-each`), and with one for all at hand
//! (`lapin-at-hand`); `ruststream` and `rust-rabbit`, as their first examples show them.

use std::env;

use ploomby_benches::{arguments::Arguments, order::STOPWATCH};

mod bare;
mod rust_rabbit;
mod ruststream;

/// What to consume.
struct Options {
    url: String,
    queue: String,
    prefetch: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::of_this_program();
    let manner = arguments.next("MANNER")?;
    let options = Options {
        url: arguments.next("URL")?,
        queue: arguments.next("QUEUE")?,
        prefetch: arguments.get("prefetch")?.unwrap_or(256),
    };
    STOPWATCH.stop_at(arguments.get("messages")?.unwrap_or(0));
    arguments.end()?;

    // on a worker, where a client's own tasks run: the main thread is slower to wake
    tokio::spawn(async move {
        match manner.as_str() {
            "lapin-each" => bare::each(&options).await,
            "lapin-at-hand" => bare::at_hand(&options).await,
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
