//! A program as users write it, which tests run as a process of its own, to kill it and to send it signals.
//!
//! It says `begun NUMBER TIME` and `done NUMBER TIME` on its standard output, with the time in microseconds.

use std::env;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ploomby::{App, KeySource, OrderBy, Queue, Unavailable};
use ploomby_tests::KEY;

/// How long the handler `slow` takes.
const SLOW: Duration = Duration::from_secs(2);

#[ploomby::handler("quick")]
async fn quick(number: u32) {
    say("begun", number);
    say("done", number);
}

#[ploomby::handler("slow")]
async fn slow(number: u32) {
    say("begun", number);
    tokio::time::sleep(SLOW).await;
    say("done", number);
}

#[ploomby::handler("short")]
async fn short(number: u32) {
    say("begun", number);
    tokio::time::sleep(Duration::from_millis(100)).await;
    say("done", number);
}

#[ploomby::handler("brief")]
async fn brief(number: u32) {
    say("begun", number);
    tokio::time::sleep(Duration::from_millis(5)).await;
    say("done", number);
}

/// Replies.
#[ploomby::handler("double")]
async fn double(number: u32) -> u32 {
    tokio::time::sleep(Duration::from_millis(5)).await;
    number * 2
}

#[ploomby::handler("stuck")]
async fn stuck(number: u32) {
    say("begun", number);
    std::future::pending().await
}

/// Needs what is away while a file is there.
#[ploomby::handler("needy")]
async fn needy(number: u32) -> Result<(), Unavailable> {
    say("begun", number);
    if AWAY.get().is_some_and(|file| Path::new(file).exists()) {
        return Err(Unavailable::msg("the file is there"));
    }
    say("done", number);
    Ok(())
}

static AWAY: OnceLock<String> = OnceLock::new();

#[ploomby::handler("abort")]
async fn abort(number: u32) {
    say("begun", number);
    std::process::abort();
}

fn say(what: &str, number: u32) {
    // in one piece, so that no line of another thread comes between
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let at = since.map_or(0, |since| since.as_micros());
    let line = format!("{what} {number} {at}\n");
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = env::args().skip(1);
    let mut next = || arguments.next().unwrap_or_default();
    let (url, name, concurrency) = (next(), next(), next().parse()?);
    if env::var_os("PLOOMBY_WORKER_TRACE").is_some() {
        // of all threads, that of the connections, too
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_thread_names(true)
            .with_ansi(false)
            .with_writer(std::io::stderr)
            .init();
    }
    let mut queue = Queue::new(&name)
        .key(KeySource::header(KEY))
        .prefetch(256)
        .concurrency(concurrency);
    for word in arguments {
        if let Some(file) = word.strip_prefix("away=") {
            AWAY.get_or_init(|| file.to_owned());
            continue;
        }
        queue = match word.as_str() {
            "fitted" => Queue::new(&name)
                .key(KeySource::header(KEY))
                .concurrency(concurrency),
            "ordered" => queue.ordered_by(OrderBy::header("value")),
            other => anyhow::bail!("unknown word {other}"),
        };
    }
    Ok(App::new(url).queue(queue).run().await?)
}
