//! A queue on a RabbitMQ: made, filled, and removed.

use std::time::Duration;

use amqprs::{
    BasicProperties, FieldTable, FieldValue,
    channel::{BasicPublishArguments, Channel, QueueDeclareArguments, QueueDeleteArguments},
    connection::Connection,
};
use anyhow::{Context, ensure};
use ploomby_benches::{
    client,
    order::{self, KEY, KEY_HEADER, SMALL},
};
use tokio::time::{Instant, sleep};
use url::Url;

const DEADLINE: Duration = Duration::from_secs(120);
const GLANCE: Duration = Duration::from_millis(10);
/// For what the broker has left to do when all messages are there.
const REST: Duration = Duration::from_millis(500);
const PERSISTENT: u8 = 2;

pub(crate) struct Rabbit {
    connection: Connection,
    channel: Channel,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Where a queue keeps its messages.
#[derive(Clone, Copy)]
pub(crate) enum QueueType {
    Classic,
    Quorum,
}

impl Rabbit {
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        let connection = Connection::open(&client::arguments(url)?).await?;
        let url = Url::parse(url)?;
        Ok(Self {
            channel: connection.open_channel(None).await?,
            connection,
            host: url.host_str().unwrap_or("localhost").to_owned(),
            port: url.port().unwrap_or(5672),
        })
    }

    /// Makes the queue and its dead-letter queue, as an earlier run of a program has left them, and returns a
    /// while after so many persistent messages are in it.
    pub(crate) async fn fill(
        &self,
        queue: &str,
        kind: QueueType,
        messages: usize,
    ) -> anyhow::Result<()> {
        let mut declare = QueueDeclareArguments::durable_client_named(queue);
        let mut arguments = FieldTable::new();
        let kind = FieldValue::from(kind.name().to_owned());
        arguments.insert("x-queue-type".try_into()?, kind);
        declare.arguments(arguments);
        self.channel.queue_declare(declare).await?;
        let dead_letters = dead_letters_of(queue);
        let declare = QueueDeclareArguments::durable_client_named(&dead_letters);
        self.channel.queue_declare(declare).await?;

        let mut headers = FieldTable::new();
        headers.insert(KEY_HEADER.try_into()?, FieldValue::from(KEY.to_owned()));
        let mut properties = BasicProperties::default();
        properties
            .with_content_type("application/json")
            .with_delivery_mode(PERSISTENT)
            .with_headers(headers);
        for number in 0..messages {
            let body = order::body(number as u64, SMALL).into_bytes();
            let publish = BasicPublishArguments::new("", queue);
            self.channel
                .basic_publish(properties.clone(), body, publish)
                .await?;
        }
        let start = Instant::now();
        while self.ready(queue).await? < messages {
            ensure!(start.elapsed() < DEADLINE, "{queue} is not filled in time");
            sleep(GLANCE).await;
        }
        sleep(REST).await;
        Ok(())
    }

    async fn ready(&self, queue: &str) -> anyhow::Result<usize> {
        let mut declare = QueueDeclareArguments::new(queue);
        declare.passive(true);
        let declared = self.channel.queue_declare(declare).await?;
        let (_, ready, _) = declared.context("the broker did not answer")?;
        Ok(ready as usize)
    }

    /// Removes the queue, and the one beside it.
    pub(crate) async fn remove(&self, queue: &str) -> anyhow::Result<()> {
        for queue in [queue.to_owned(), dead_letters_of(queue)] {
            self.channel
                .queue_delete(QueueDeleteArguments::new(&queue))
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.channel.close().await?;
        Ok(self.connection.close().await?)
    }
}

/// What ploomby declares beside a queue.
fn dead_letters_of(queue: &str) -> String {
    format!("{queue}_dlq")
}

impl QueueType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }
}
