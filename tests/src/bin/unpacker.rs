//! A program whose handlers take what anybody packs into a message, which tests run with little memory.
//!
//! It says on its standard output which handler is done.

use std::env;
use std::io::Write;

use ploomby::extract::Protobuf;
use ploomby::{App, KeySource, Queue};
use ploomby_tests::KEY;
use serde::Deserialize;

/// Arrays in arrays, of any depth.
#[derive(Deserialize)]
struct Nested(Vec<Nested>);

#[derive(prost::Message)]
struct Numbers {
    #[prost(uint64, repeated, tag = "1")]
    numbers: Vec<u64>,
}

#[ploomby::handler("innocent")]
async fn innocent(number: u32) {
    say(&format!("innocent {number}"));
}

#[ploomby::handler("text")]
async fn text(text: String) {
    say(&format!("text {}", text.len()));
}

#[ploomby::handler("numbers")]
async fn numbers(numbers: Vec<u64>) {
    say(&format!("numbers {}", numbers.len()));
}

#[ploomby::handler("nested")]
async fn nested(Nested(inner): Nested) {
    say(&format!("nested {}", inner.len()));
}

#[ploomby::handler("protobuf")]
async fn protobuf(Protobuf(Numbers { numbers }): Protobuf<Numbers>) {
    say(&format!("protobuf {}", numbers.len()));
}

fn say(line: &str) {
    // in one piece, so that no line of another thread comes between
    let line = format!("{line}\n");
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = env::args().skip(1);
    let mut next = || arguments.next().unwrap_or_default();
    let (url, queue) = (next(), next());
    let queue = Queue::new(queue).key(KeySource::header(KEY));
    Ok(App::new(url).queue(queue).run().await?)
}
