//! How fast messages are published and confirmed: by the bare client and by ploomby.
//!
//! `PLOOMBY_URL=amqp://… publish [MESSAGES]`. All of them send persistent messages of the same
//! size to a durable queue, with as many unconfirmed as there are callers. The bare client does no
//! more than count confirms, on one task; ploomby tells each of its callers what became of which
//! message, gives it an id and can send it again. The time is that until the last confirm.

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use amqprs::{
    BasicProperties,
    channel::{
        BasicPublishArguments, Channel, ConfirmSelectArguments, QueueDeclareArguments,
        QueueDeleteArguments, QueuePurgeArguments,
    },
    connection::{Connection, OpenConnectionArguments},
};
use anyhow::{Context, ensure};
use futures_util::{TryStreamExt, stream::FuturesUnordered};
use ploomby::Publisher;
use ploomby_benches::{client, confirms::Confirms, samples::Samples};
use serde::Serialize;
use tokio::{sync::Semaphore, time::timeout};

const CALLERS: usize = 1024;
const ROUNDS: usize = 5;
const DEADLINE: Duration = Duration::from_secs(300);

#[derive(Serialize)]
struct Order {
    id: usize,
    customer: &'static str,
    note: &'static str,
}

fn order(id: usize) -> Order {
    Order {
        id,
        customer: "Ada Lovelace",
        note: "leave it with the neighbour, please",
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = env::var("PLOOMBY_URL")
        .context("set PLOOMBY_URL to a RabbitMQ, as in amqp://guest:guest@localhost:5672")?;
    let messages: usize = match env::args().nth(1) {
        Some(messages) => messages.parse().context("MESSAGES is a number")?,
        None => 50_000,
    };
    ensure!(messages >= CALLERS, "MESSAGES is at least {CALLERS}");

    let bare = client::arguments(&url)?;
    let connection = Connection::open(&bare).await?;
    let bench = Bench {
        control: connection.open_channel(None).await?,
        bare,
        url,
        queue: format!("ploomby-bench-{}", std::process::id()),
        messages: messages / CALLERS * CALLERS,
    };
    // on a worker, where ploomby's own tasks run: the main thread is slower to wake
    tokio::spawn(async move {
        let measured = bench.measure().await;
        bench
            .control
            .queue_delete(QueueDeleteArguments::new(&bench.queue))
            .await?;
        bench.control.close().await?;
        connection.close().await?;
        measured
    })
    .await?
}

struct Bench {
    url: String,
    bare: OpenConnectionArguments,
    /// Makes, empties and removes the queue.
    control: Channel,
    queue: String,
    messages: usize,
}

impl Bench {
    async fn measure(&self) -> anyhow::Result<()> {
        let mut rates = [[0.0; 2]; ROUNDS];
        for (round, rates) in rates.iter_mut().enumerate() {
            // side by side, and each of them first in turn: a busy minute hits both
            for at in [round % 2, (round + 1) % 2] {
                rates[at] = match at {
                    0 => self.timed(self.publish_bare()).await?,
                    _ => self.timed(self.publish_ploomby()).await?,
                };
            }
        }

        println!(
            "{} messages of {} bytes, {CALLERS} callers, {ROUNDS} rounds",
            self.messages,
            serde_json::to_vec(&order(self.messages))?.len()
        );
        println!("{:<26}{:>10}{:>10}{:>10}", "", "best", "median", "worst");
        for (at, name) in ["amqprs, confirms counted", "ploomby"]
            .into_iter()
            .enumerate()
        {
            let samples = Samples::new(rates.iter().map(|round| round[at]));
            println!("{name:<26}{samples}  messages/s");
        }
        let ratios = Samples::new(rates.iter().map(|round| round[1] / round[0]));
        println!("{:<26}{ratios:.2}  round by round", "ploomby / amqprs");
        Ok(())
    }

    /// Empties the queue and returns at how many messages per second it is filled.
    async fn timed(
        &self,
        publish: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<f64> {
        self.declare().await?;
        self.control
            .queue_purge(QueuePurgeArguments::new(&self.queue))
            .await?;
        let start = Instant::now();
        timeout(DEADLINE, publish)
            .await
            .context("the messages were not confirmed in time")??;
        let rate = self.messages as f64 / start.elapsed().as_secs_f64();
        let there = usize::try_from(self.declare().await?)?;
        ensure!(there == self.messages, "{there} messages are in the queue");
        Ok(rate)
    }

    /// Makes the queue, and counts the messages in it.
    async fn declare(&self) -> anyhow::Result<u32> {
        let arguments = QueueDeclareArguments::durable_client_named(&self.queue);
        let declared = self.control.queue_declare(arguments).await?;
        Ok(declared.context("the broker did not answer")?.1)
    }

    async fn publish_bare(&self) -> anyhow::Result<()> {
        let connection = Connection::open(&self.bare).await?;
        let channel = connection.open_channel(None).await?;
        let room = Arc::new(Semaphore::new(CALLERS));
        channel
            .register_callback(Confirms::new(room.clone()))
            .await?;
        channel
            .confirm_select(ConfirmSelectArguments::new(false))
            .await?;
        let arguments = BasicPublishArguments::new("", &self.queue)
            .mandatory(true)
            .finish();
        let properties = BasicProperties::default()
            .with_content_type("application/json")
            .with_message_type("order")
            .with_delivery_mode(2)
            .finish();
        for id in 0..self.messages {
            room.acquire().await?.forget();
            let body = serde_json::to_vec(&order(id))?;
            channel
                .basic_publish(properties.clone(), body, arguments.clone())
                .await?;
        }
        let _all = room.acquire_many(u32::try_from(CALLERS)?).await?;
        channel.close().await?;
        connection.close().await?;
        Ok(())
    }

    async fn publish_ploomby(&self) -> anyhow::Result<()> {
        let publisher = Publisher::connect(&self.url).await?;
        let share = self.messages / CALLERS;
        let callers: FuturesUnordered<_> = (0..CALLERS)
            .map(|caller| {
                let (publisher, queue) = (publisher.clone(), self.queue.clone());
                tokio::spawn(async move {
                    for id in caller * share..(caller + 1) * share {
                        publisher.send(&queue, "order", &order(id)).await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        let done: Vec<_> = callers.try_collect().await?;
        done.into_iter().collect::<anyhow::Result<()>>()?;
        publisher.close().await;
        Ok(())
    }
}
