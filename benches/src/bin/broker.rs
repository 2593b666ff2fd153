//! The synthetic broker, as a program that says on standard output what it sees.
//!
//! `broker [body=BYTES] [every=MICROSECONDS [light=QUEUE]] [warmup=MILLISECONDS] [until=MILLISECONDS]
//! [messages=COUNT]`: `every` is the time between two messages, of all queues or of the one that `light` names.
//! It says its port; after the warm-up, which begins with the first acknowledgement, it counts for
//! a time, or until so many messages are acknowledged. Then it serves on until it is killed.

use std::{
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use ploomby_benches::{
    arguments::Arguments,
    broker::{Counts, Pace, serve},
    order,
};

const GLANCE: Duration = Duration::from_millis(1);

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::of_this_program();
    let body = arguments.get("body")?.unwrap_or(order::SMALL);
    let every = arguments.get("every")?.map(Duration::from_micros);
    let pace = match (every, arguments.get("light")?) {
        (Some(every), Some(light)) => Pace::Beside { light, every },
        (Some(every), None) => Pace::Every(every),
        (None, _) => Pace::Flood,
    };
    let warmup = Duration::from_millis(arguments.get("warmup")?.unwrap_or(300));
    let time = Duration::from_millis(arguments.get("until")?.unwrap_or(2000));
    let messages: Option<u64> = arguments.get("messages")?;
    arguments.end()?;

    let counts = Arc::new(Counts::default());
    let body = order::body(4711, body).into_bytes();
    let port = serve(body, pace, counts.clone())?;
    println!("listening {port}");

    while counts.acked() == 0 {
        sleep(GLANCE);
    }
    sleep(warmup);
    counts.take_latencies();
    let (start, first) = (Instant::now(), (counts.acked(), counts.ack_frames()));
    println!("begin");
    match messages {
        Some(messages) => {
            while counts.acked() < messages {
                sleep(GLANCE);
            }
        }
        None => sleep(time),
    }
    let seconds = start.elapsed().as_secs_f64();
    let (acked, frames) = (counts.acked() - first.0, counts.ack_frames() - first.1);
    let mut latencies = counts.take_latencies();
    println!("end {acked} {seconds} {frames} {}", counts.refused());

    latencies.sort_unstable();
    if let Some(last) = latencies.len().checked_sub(1) {
        let micros = |percent: usize| latencies[last * percent / 100].as_secs_f64() * 1e6;
        println!("latency {} {} {}", micros(50), micros(99), micros(100));
    }
    loop {
        sleep(Duration::from_secs(60));
    }
}
