//! Several messages at once, for work that is about as fast for many as for one.

use ploomby::{
    App, KeySource, Message, Publisher, Queue,
    extract::{Batch, State},
    handler,
};
use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc};

const READINGS: u32 = 10;

static SETTLED: Semaphore = Semaphore::const_new(0);

#[derive(Deserialize)]
struct Reading {
    sensor: u32,
    celsius: f64,
}

/// In the place of a database.
type Table = mpsc::Sender<Vec<Reading>>;

/// What it returns is what becomes of all the messages, but for those that it settles by
/// themselves: the one that makes no sense goes to the dead-letter queue alone.
#[handler("reading", batch_size = 4, batch_wait = "50ms")]
async fn store(State(table): State<Table>, readings: Batch<Reading>) -> anyhow::Result<()> {
    let count = readings.len();
    let mut rows = Vec::with_capacity(count);
    for reading in readings {
        if reading.celsius < -273.15 {
            reading.fail(anyhow::anyhow!("colder than cold"));
        } else {
            rows.push(reading.into_payload());
        }
    }
    println!("storing {} of {count} readings", rows.len());
    table.send(rows).await?;
    SETTLED.add_permits(count);
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://batch".to_owned());
    let (table, mut rows): (Table, _) = mpsc::channel(16);
    let running = App::new(&url)
        .state(table)
        .queue(Queue::new("readings").key(KeySource::header("task_name")))
        .start()
        .await?;

    let publisher = Publisher::connect(&url).await?;
    for sensor in 0..READINGS {
        let celsius = if sensor == 5 { -1000.0 } else { 20.5 };
        let body = serde_json::json!({ "sensor": sensor, "celsius": celsius });
        let reading = Message::new(body.to_string()).with_header("task_name", "reading")?;
        publisher.publish("readings", reading).await?;
    }
    publisher.close().await;

    SETTLED.acquire_many(READINGS).await?.forget();
    running.shut_down().await?;
    while let Ok(rows) = rows.try_recv() {
        let sensors: Vec<_> = rows.iter().map(|row| row.sensor).collect();
        println!("stored: {sensors:?}");
    }
    Ok(())
}
