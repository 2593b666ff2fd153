//! What a message costs from the memory broker through its handler to the acknowledgement.
//!
//! `dispatch [MESSAGES [CASE]]`: all cases several times, or one case once, as `instructions`
//! needs it. The case `publish` has no handler: the others contain its work as well.

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use ploomby::{App, KeySource, Message, Queue, extract::RawBody, memory::MemoryBroker};
use ploomby_benches::{Countdown, Samples};
use serde::Deserialize;

#[cfg(feature = "allocations")]
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

const CASES: [&str; 3] = ["publish", "raw", "json"];
const ROUNDS: usize = 5;
const QUEUE: &str = "dispatch";

static HANDLED: Countdown = Countdown::new();

#[derive(Deserialize)]
struct Point {
    x: i64,
    y: i64,
}

#[ploomby::handler("json")]
async fn json(point: Point) {
    std::hint::black_box(point.x + point.y);
    HANDLED.count();
}

#[ploomby::handler("raw")]
async fn raw(RawBody(body): RawBody) {
    std::hint::black_box(body.len());
    HANDLED.count();
}

/// What it took to handle the messages, or where there is no handler, to publish them.
struct Cost {
    time: Duration,
    allocations: Option<usize>,
}

// one thread: what is measured is work, not waiting for each other
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = env::args().skip(1);
    let messages: usize = match arguments.next() {
        Some(messages) => messages.parse().context("MESSAGES is a number")?,
        None => 100_000,
    };
    ensure!(messages > 0, "MESSAGES is at least 1");
    let (cases, rounds) = match arguments.next() {
        Some(case) => (vec![case], 1),
        None => (CASES.map(str::to_owned).to_vec(), ROUNDS),
    };

    println!("{messages} messages, {rounds} rounds");
    println!(
        "{:<8}{:>10}{:>10}{:>10}  messages/s",
        "", "best", "median", "worst"
    );
    for case in &cases {
        let mut rates = Vec::new();
        let mut allocations = None;
        for _ in 0..rounds {
            let cost = run(case, messages).await?;
            rates.push(messages as f64 / cost.time.as_secs_f64());
            allocations = cost.allocations;
        }
        print!("{case:<8}{}", Samples::new(rates));
        match allocations {
            Some(all) => println!("  {:.2} allocations/message", all as f64 / messages as f64),
            None => println!(),
        }
    }
    Ok(())
}

async fn run(case: &str, messages: usize) -> anyhow::Result<Cost> {
    let broker = MemoryBroker::named("dispatch");
    broker.declare_queue(QUEUE, [])?;
    match case {
        "publish" => {
            let cost = Meter::start();
            publish(&broker, case, messages)?;
            let cost = cost.stop();
            broker.purge_queue(QUEUE)?;
            Ok(cost)
        }
        "raw" | "json" => {
            publish(&broker, case, messages)?;
            handle(&broker, messages).await
        }
        _ => anyhow::bail!("CASE is one of {}", CASES.join(", ")),
    }
}

fn publish(broker: &MemoryBroker, key: &str, messages: usize) -> anyhow::Result<()> {
    for _ in 0..messages {
        let message = Message::new(r#"{"x":1234,"y":-5678}"#).with_header("task_name", key)?;
        broker.publish(QUEUE, message)?;
    }
    Ok(())
}

async fn handle(broker: &MemoryBroker, messages: usize) -> anyhow::Result<Cost> {
    HANDLED.start(messages);
    let cost = Meter::start();
    let running = App::new("memory://dispatch")
        .queue(Queue::new(QUEUE).key(KeySource::header("task_name")))
        .start()
        .await?;
    HANDLED.done().await;
    running.shut_down().await?;
    let cost = cost.stop();
    ensure!(
        broker.ready_count(QUEUE) == 0,
        "a message was not acknowledged"
    );
    Ok(cost)
}

struct Meter {
    start: Instant,
    allocations: Option<usize>,
}

impl Meter {
    fn start() -> Self {
        Self {
            allocations: allocations(),
            start: Instant::now(),
        }
    }

    fn stop(self) -> Cost {
        Cost {
            time: self.start.elapsed(),
            allocations: allocations()
                .zip(self.allocations)
                .map(|(now, then)| now - then),
        }
    }
}

/// How many there were since the program started, growing and shrinking among them.
#[cfg(feature = "allocations")]
fn allocations() -> Option<usize> {
    let stats = ALLOCATOR.stats();
    Some(stats.allocations + stats.reallocations)
}

#[cfg(not(feature = "allocations"))]
fn allocations() -> Option<usize> {
    None
}
