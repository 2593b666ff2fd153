//! Several messages at once, for work that is about as fast for many as for one.

use std::sync::{Arc, Mutex};

use ploomby::{
    App, Queue,
    extract::{Batch, State},
    handler,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

static SETTLED: Semaphore = Semaphore::const_new(0);

#[derive(Debug, Deserialize, Serialize)]
struct Reading {
    sensor: u32,
    celsius: f64,
}

/// In the place of a database.
type Table = Arc<Mutex<Vec<Reading>>>;

/// What it returns is what becomes of all the messages, but for those that it settles by
/// themselves: the one that makes no sense goes to the dead-letter queue alone.
#[handler("reading", batch_size = 4, batch_wait = "50ms")]
async fn store(State(table): State<Table>, readings: Batch<Reading>) {
    let count = readings.len();
    let mut rows = Vec::with_capacity(count);
    for reading in readings {
        if reading.payload().celsius < -273.15 {
            reading.fail(anyhow::anyhow!("colder than cold"));
        } else {
            rows.push(reading.into_payload());
        }
    }
    println!("storing {} of {count} readings", rows.len());
    table.lock().unwrap().append(&mut rows);
    SETTLED.add_permits(count);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://batch".to_owned());
    let table = Table::default();
    let app = App::new(&url).state(table.clone());
    let running = app.queue(Queue::new("readings")).start().await?;

    let publisher = running.publisher().await?;
    for sensor in 0..10 {
        let celsius = if sensor == 5 { -1000.0 } else { 20.5 };
        let reading = Reading { sensor, celsius };
        publisher.send("readings", "reading", &reading).await?;
    }
    SETTLED.acquire_many(10).await?.forget();
    running.shut_down().await?;
    println!("stored: {:?}", table.lock().unwrap());
    Ok(())
}
