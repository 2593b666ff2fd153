//! How fast a queue of a RabbitMQ is drained: by the bare client and by ploomby.
//!
//! `PLOOMBY_URL=amqp://… drain [MESSAGES]`. All of them decode the body; ploomby finds the
//! handler by a header, too. The time is that from connecting to the closed connection.

use std::{
    env,
    time::{Duration, Instant},
};

use amqprs::{
    channel::{
        BasicAckArguments, BasicConsumeArguments, BasicQosArguments, Channel,
        QueueDeclareArguments, QueueDeleteArguments,
    },
    connection::{Connection, OpenConnectionArguments},
};
use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use percent_encoding::percent_decode_str;
use ploomby::{App, KeySource, Message, Properties, Publisher, Queue};
use ploomby_benches::{Countdown, Samples};
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

const PREFETCH: u16 = 256;
const ROUNDS: usize = 3;
const BODY_LEN: usize = 90;
const UNCONFIRMED: usize = 256;
const DEADLINE: Duration = Duration::from_secs(300);

static HANDLED: Countdown = Countdown::new();

#[derive(Deserialize)]
struct Order<'a> {
    id: u64,
    customer: &'a str,
}

#[ploomby::handler("order")]
async fn order(order: Order<'_>) {
    work(&order);
    HANDLED.count();
}

fn work(order: &Order<'_>) {
    std::hint::black_box((order.id, order.customer));
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = env::var("PLOOMBY_URL")
        .context("set PLOOMBY_URL to a RabbitMQ, as in amqp://guest:guest@localhost:5672")?;
    let messages: usize = match env::args().nth(1) {
        Some(messages) => messages.parse().context("MESSAGES is a number")?,
        None => 50_000,
    };
    ensure!(messages > 0, "MESSAGES is at least 1");

    let bare = bare_arguments(&url)?;
    let connection = Connection::open(&bare).await?;
    let bench = Bench {
        control: connection.open_channel(None).await?,
        bare,
        url,
        queue: format!("ploomby-bench-{}", std::process::id()),
        messages,
    };
    // on a worker, where ploomby's own tasks run: the main thread is slower to wake
    tokio::spawn(async move {
        let measured = bench.measure().await;
        let removed = bench.remove_queues().await;
        bench.control.close().await?;
        connection.close().await?;
        measured.and(removed)
    })
    .await?
}

struct Bench {
    url: String,
    bare: OpenConnectionArguments,
    /// Makes and removes the queues.
    control: Channel,
    queue: String,
    messages: usize,
}

impl Bench {
    async fn measure(&self) -> anyhow::Result<()> {
        let mut rates = [[0.0; 3]; ROUNDS];
        for (round, rates) in rates.iter_mut().enumerate() {
            // side by side, and each of them first, second and third: a busy minute hits them all
            for at in (0..3).map(|turn| (round + turn) % 3) {
                rates[at] = match at {
                    0 => self.timed(self.drain_bare(1)).await?,
                    1 => self.timed(self.drain_bare(PREFETCH / 2)).await?,
                    _ => self.timed(self.drain_ploomby()).await?,
                };
            }
        }

        println!(
            "{} messages of {BODY_LEN} bytes, prefetch {PREFETCH}, {ROUNDS} rounds",
            self.messages
        );
        println!("{:<26}{:>10}{:>10}{:>10}", "", "best", "median", "worst");
        for (at, name) in ["amqprs, an ack a message", "amqprs, acks held", "ploomby"]
            .into_iter()
            .enumerate()
        {
            let samples = Samples::new(rates.iter().map(|round| round[at]));
            println!("{name:<26}{samples}  messages/s");
        }
        for (at, name) in ["ploomby / an ack a message", "ploomby / acks held"]
            .into_iter()
            .enumerate()
        {
            let ratios = Samples::new(rates.iter().map(|round| round[2] / round[at]));
            println!("{name:<26}{ratios:.2}  round by round");
        }
        Ok(())
    }

    /// Fills the queue and returns at how many messages per second it is drained.
    async fn timed(&self, drain: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<f64> {
        self.fill().await?;
        let start = Instant::now();
        timeout(DEADLINE, drain)
            .await
            .context("the queue was not drained in time")??;
        let rate = self.messages as f64 / start.elapsed().as_secs_f64();
        ensure!(self.declare().await? == 0, "a message was not acknowledged");
        Ok(rate)
    }

    /// Makes the queue, and counts the messages in it.
    async fn declare(&self) -> anyhow::Result<u32> {
        let arguments = QueueDeclareArguments::durable_client_named(&self.queue);
        let declared = self.control.queue_declare(arguments).await?;
        Ok(declared.context("the broker did not answer")?.1)
    }

    /// Returns once the broker has confirmed all messages.
    async fn fill(&self) -> anyhow::Result<()> {
        self.declare().await?;
        let publisher = Publisher::connect(&self.url).await?;
        stream::iter(0..self.messages)
            .map(anyhow::Ok)
            .try_for_each_concurrent(UNCONFIRMED, |id| {
                let publisher = &publisher;
                async move {
                    let head = format!(r#"{{"id":{id},"customer":"Ada Lovelace","note":""#);
                    let body = format!("{head:.<width$}\"}}", width = BODY_LEN - 2);
                    let message = Message::new(body)
                        .with_properties(Properties::new().persistent())
                        .with_header("task_name", "order")?;
                    Ok(publisher.publish(&self.queue, message).await?)
                }
            })
            .await?;
        publisher.close().await;
        Ok(())
    }

    /// Holds back up to `hold` acks, as long as there is more to do.
    async fn drain_bare(&self, hold: u16) -> anyhow::Result<()> {
        let connection = Connection::open(&self.bare).await?;
        let channel = connection.open_channel(None).await?;
        channel
            .basic_qos(BasicQosArguments::new(0, PREFETCH, false))
            .await?;
        let consume = BasicConsumeArguments::new(&self.queue, "");
        let (_, mut deliveries) = channel.basic_consume_rx(consume).await?;
        let mut held = 0;
        for _ in 0..self.messages {
            let delivery = deliveries.recv().await.context("the channel was closed")?;
            let body = delivery.content.context("a delivery has a body")?;
            work(&serde_json::from_slice(&body)?);
            held += 1;
            if held == hold || deliveries.is_empty() {
                let tag = delivery
                    .deliver
                    .context("a delivery has a tag")?
                    .delivery_tag();
                channel
                    .basic_ack(BasicAckArguments::new(tag, held > 1))
                    .await?;
                held = 0;
            }
        }
        // answered by the broker after it has read the acks
        channel.close().await?;
        connection.close().await?;
        Ok(())
    }

    async fn drain_ploomby(&self) -> anyhow::Result<()> {
        HANDLED.start(self.messages);
        let queue = Queue::new(&self.queue)
            .key(KeySource::header("task_name"))
            .prefetch(PREFETCH);
        let running = App::new(&self.url).queue(queue).start().await?;
        HANDLED.done().await;
        Ok(running.shut_down().await?)
    }

    async fn remove_queues(&self) -> anyhow::Result<()> {
        for queue in [self.queue.clone(), format!("{}_dlq", self.queue)] {
            self.control
                .queue_delete(QueueDeleteArguments::new(&queue))
                .await?;
        }
        Ok(())
    }
}

fn bare_arguments(url: &str) -> anyhow::Result<OpenConnectionArguments> {
    let url = Url::parse(url).context("PLOOMBY_URL is not a URL")?;
    ensure!(
        url.scheme() == "amqp",
        "PLOOMBY_URL must start with amqp://"
    );
    let host = url.host_str().context("PLOOMBY_URL names no host")?;
    let decode = |text, default: &str| match percent_decode_str(text).decode_utf8_lossy() {
        text if text.is_empty() => default.to_owned(),
        text => text.into_owned(),
    };
    let user = decode(url.username(), "guest");
    let password = decode(url.password().unwrap_or_default(), "guest");
    let vhost = decode(url.path().trim_start_matches('/'), "/");
    let mut arguments =
        OpenConnectionArguments::new(host, url.port().unwrap_or(5672), &user, &password);
    arguments.virtual_host(&vhost);
    Ok(arguments)
}
