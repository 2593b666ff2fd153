//! One consumer of a queue, which runs until it is killed.
//!
//! `consume MANNER URL QUEUE [prefetch=COUNT] [messages=COUNT]`: after so many messages, it says how
//! long they took. Manners: `socket`, the limit, which splits frames and decodes nothing; amqprs with
//! an ack for each message (`amqprs-each`), with one for all at hand (`amqprs-at-hand`), and with
//! acks held until half the window or 1 ms (`amqprs-held`); and `ploomby`, which takes
//! `queues=COUNT` (names with numbers behind), `consumers=COUNT` and `work=MICROSECONDS` to compute
//! for each message, too.

use std::env;

use ploomby_benches::{arguments::Arguments, order::STOPWATCH};

mod bare;
mod framework;
mod socket;
mod work;

/// What to consume, and how.
struct Options {
    url: String,
    queue: String,
    prefetch: u16,
    queues: usize,
    consumers: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::of_this_program();
    let manner = arguments.next("MANNER")?;
    let options = Options {
        url: arguments.next("URL")?,
        queue: arguments.next("QUEUE")?,
        prefetch: arguments.get("prefetch")?.unwrap_or(256),
        queues: arguments.get("queues")?.unwrap_or(1),
        consumers: arguments.get("consumers")?.unwrap_or(1),
    };
    STOPWATCH.stop_at(arguments.get("messages")?.unwrap_or(0));
    work::set(arguments.get("work")?);
    arguments.end()?;

    // on a worker, where a client's own tasks run: the main thread is slower to wake
    tokio::spawn(async move {
        match manner.as_str() {
            "socket" => tokio::task::spawn_blocking(move || socket::consume(&options)).await?,
            "amqprs-each" => bare::each(&options).await,
            "amqprs-at-hand" => bare::at_hand(&options).await,
            "amqprs-held" => bare::held(&options).await,
            "ploomby" => framework::consume(options).await,
            _ => anyhow::bail!(
                "{manner} is none of the manners of {:?}",
                env::args().next()
            ),
        }
    })
    .await?
}
