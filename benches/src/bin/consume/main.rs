//! One consumer of a queue, or of several, which runs until it is killed.
//!
//! `consume MANNER URL QUEUE [prefetch=COUNT] [messages=COUNT]`: after so many messages, it says how
//! long they took. Manners:
//!
//! - `socket`, the limit, which splits frames and decodes nothing;
//! - amqprs with an ack for each message (`amqprs-each`), with one for all at hand (`amqprs-at-hand`), with
//!   acks held until half the window or 1 ms (`amqprs-held`), and with a task and an ack for each message
//!   (`amqprs-spawned`);
//! - `amqprs-queues`, which consumes `queues=COUNT` (names with numbers behind) as a program would that is
//!   written by hand, and says how long the start took;
//! - `ploomby`, which does all of this.
//!
//! A message computes for `work=MICROSECONDS` and waits for `wait=MICROSECONDS`, on average if it is `uneven=true`. Each
//! queue has `consumers=COUNT`; beside them, one consumes `light=QUEUE`. With `fails=dead-letter` or `fails=retry` each message
//! fails. `quorum=true` declares quorum queues.

use std::{env, time::Instant};

use ploomby_benches::{arguments::Arguments, order::STOPWATCH, work};

mod bare;
mod framework;
mod queues;
mod socket;
mod spawned;

/// What to consume, and how.
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
            "socket" => tokio::task::spawn_blocking(move || socket::consume(&options)).await?,
            "amqprs-each" => bare::each(&options).await,
            "amqprs-at-hand" => bare::at_hand(&options).await,
            "amqprs-held" => bare::held(&options).await,
            "amqprs-spawned" => spawned::consume(&options).await,
            "amqprs-queues" => queues::consume(&options).await,
            "ploomby" => framework::consume(options).await,
            _ => anyhow::bail!(
                "{manner} is none of the manners of {:?}",
                env::args().next()
            ),
        }
    })
    .await?
}

impl Options {
    /// The names of the queues that it consumes, but for the light one.
    fn names(&self) -> impl Iterator<Item = String> + use<> {
        let queue = self.queue.clone();
        (0..self.queues).map(move |number| match number {
            0 => queue.clone(),
            _ => format!("{queue}{number}"),
        })
    }

    /// Says that all queues are consumed.
    fn started(&self) {
        println!("started {}", self.start.elapsed().as_secs_f64());
    }
}
