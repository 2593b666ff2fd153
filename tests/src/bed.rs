use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amqprs::BasicProperties;
use amqprs::channel::{
    BasicAckArguments, BasicGetArguments, BasicPublishArguments, Channel, QueueDeclareArguments,
    QueueDeleteArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use futures_util::{FutureExt, StreamExt, stream};
use ploomby::memory::MemoryBroker;
use ploomby::{App, HandlerRegistry, KeySource, Message, Publisher, Queue, Running, Value};
use tokio::sync::{Mutex as AsyncMutex, OnceCell};
use tokio::time::timeout;

use crate::received::Received;
use crate::{Rabbit, eventually, eventually_some, rabbit, unique_name};

mod exchanges;

/// How long a test waits for what has to happen.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The header that names the handler in the tests.
pub const KEY: &str = "task_name";

/// A broker to test against, and the queues that one test uses on it.
#[derive(Debug)]
pub struct Bed {
    broker: Broker,
    url: String,
    queues: Mutex<Vec<String>>,
    exchanges: Mutex<Vec<String>>,
    publisher: OnceCell<Publisher>,
}

enum Broker {
    Memory(MemoryBroker),
    Rabbit(Box<Control>),
}

/// A connection beside the code that is tested. It is opened again where a test took the broker away.
struct Control {
    arguments: OpenConnectionArguments,
    connection: AsyncMutex<Option<Connection>>,
}

impl Control {
    async fn channel(&self) -> Channel {
        let mut connection = self.connection.lock().await;
        // it may be dead without knowing it
        eventually_some(DEADLINE, async || {
            if let Some(open) = connection.as_ref().filter(|open| open.is_open())
                && let Ok(Ok(channel)) = timeout(DEADLINE / 10, open.open_channel(None)).await
            {
                return Some(channel);
            }
            *connection = Connection::open(&self.arguments).await.ok();
            None
        })
        .await
    }

    /// Takes messages that are ready, so many at most.
    async fn take(&self, queue: &str, most: usize) -> Vec<Received> {
        const TRIES: usize = 5;

        let mut taken = Vec::new();
        let mut trouble = String::new();
        'again: for _ in 0..TRIES {
            let channel = self.channel().await;
            while taken.len() < most {
                match channel.basic_get(BasicGetArguments::new(queue)).await {
                    Ok(Some((got, properties, body))) => {
                        let ack = BasicAckArguments::new(got.delivery_tag(), false);
                        channel.basic_ack(ack).await.unwrap();
                        taken.push(Received::from((properties, body)));
                    }
                    Ok(None) => break,
                    // amqprs may get the answer before it expects one, and its channel dies: with the
                    // connection, the message goes back
                    Err(error @ amqprs::error::Error::InternalChannelError(_)) => {
                        trouble = error.to_string();
                        let connection = self.connection.lock().await.take().unwrap();
                        let _ = timeout(DEADLINE / 10, connection.close()).await;
                        continue 'again;
                    }
                    Err(error) => panic!("{queue}: {error}"),
                }
            }
            channel.close().await.unwrap();
            return taken;
        }
        panic!("{queue}: the client lost its channel {TRIES} times, at last by: {trouble}");
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Memory(_) => "memory",
            Self::Rabbit(_) => "rabbit",
        })
    }
}

impl Bed {
    /// The embedded broker, one for each test.
    pub async fn memory() -> Self {
        let name = unique_name("contract");
        Self::new(
            Broker::Memory(MemoryBroker::named(&name)),
            format!("memory://{name}"),
        )
    }

    /// The RabbitMQ of this process.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub async fn rabbit() -> Self {
        Self::on(rabbit().await).await
    }

    /// This RabbitMQ.
    ///
    /// # Panics
    ///
    /// Where it lets nobody in.
    pub async fn on(rabbit: &Rabbit) -> Self {
        let control = Control {
            arguments: rabbit.arguments(),
            connection: AsyncMutex::default(),
        };
        control.channel().await.close().await.unwrap();
        Self::new(Broker::Rabbit(Box::new(control)), rabbit.url().to_owned())
    }

    fn new(broker: Broker, url: String) -> Self {
        Self {
            broker,
            url,
            queues: Mutex::default(),
            exchanges: Mutex::default(),
            publisher: OnceCell::new(),
        }
    }

    /// Runs a test and removes its queues, also when it failed.
    pub async fn run<Fut>(self, test: impl FnOnce(Arc<Self>) -> Fut)
    where
        Fut: Future<Output = ()>,
    {
        let bed = Arc::new(self);
        let result = AssertUnwindSafe(test(bed.clone())).catch_unwind().await;
        bed.clean_up().await;
        if let Err(panic) = result {
            panic::resume_unwind(panic);
        }
    }

    /// Whether this is the embedded broker.
    pub fn is_memory(&self) -> bool {
        matches!(self.broker, Broker::Memory(_))
    }

    /// The URL for `App` and `Publisher`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A queue name of the test's own; the queue and what may stand beside it are removed at the end.
    pub fn queue_name(&self) -> String {
        let name = unique_name("contract");
        self.remove_later(&name);
        for beside in ["dlq", "suspects", "crashes"] {
            self.remove_later(&format!("{name}_{beside}"));
        }
        name
    }

    /// Has one more queue removed at the end.
    pub fn remove_later(&self, queue: &str) {
        self.queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(queue.to_owned());
    }

    /// An app that consumes one queue with these handlers, by the header [`KEY`].
    pub async fn start(&self, queue: &str, handlers: HandlerRegistry) -> Running {
        self.start_queue(Queue::new(queue).key(KeySource::header(KEY)), handlers)
            .await
    }

    /// An app that consumes one queue as it is set up.
    pub async fn start_queue(&self, queue: Queue, handlers: HandlerRegistry) -> Running {
        Self::start_at(self.url(), queue, handlers).await
    }

    /// An app on the broker behind another URL, such as that of a [`Proxy`](crate::Proxy).
    pub async fn start_at(url: &str, queue: Queue, handlers: HandlerRegistry) -> Running {
        App::new(url)
            .handlers(handlers)
            .queue(queue)
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Why an app that consumes this queue does not start.
    ///
    /// # Panics
    ///
    /// Where it does.
    pub async fn refused(&self, queue: Queue) -> String {
        let handlers = HandlerRegistry::new().register("any", async || {});
        let app = App::new(self.url()).handlers(handlers).queue(queue);
        app.start().await.unwrap_err().to_string()
    }

    /// Publishes to a queue that exists, with all headers that the message has.
    pub async fn publish(&self, queue: &str, message: Message) {
        let publisher = self
            .publisher
            .get_or_init(async || Publisher::connect(self.url()).await.unwrap())
            .await;
        publisher.to(queue).verbatim(message).send().await.unwrap();
    }

    /// Publishes a body with a key in the header.
    pub async fn send(&self, queue: &str, key: &str, body: impl Into<Vec<u8>>) {
        let message = Message::new(body.into()).with_header(KEY, key).unwrap();
        self.publish(queue, message).await;
    }

    /// Publishes numbers with a key in the header, many at the same time, and waits until all are there.
    pub async fn send_numbers(&self, queue: &str, key: &str, numbers: impl Iterator<Item = u32>) {
        const UNCONFIRMED: usize = 256;

        stream::iter(numbers)
            .for_each_concurrent(UNCONFIRMED, |number| {
                self.send(queue, key, number.to_string())
            })
            .await;
    }

    /// Takes all messages that are ready.
    pub async fn take_all(&self, queue: &str) -> Vec<Received> {
        match &self.broker {
            Broker::Memory(broker) => std::iter::from_fn(|| broker.get(queue))
                .map(Received::from)
                .collect(),
            Broker::Rabbit(control) => control.take(queue, usize::MAX).await,
        }
    }

    /// How many messages of a queue are ready.
    pub async fn ready_count(&self, queue: &str) -> u32 {
        match &self.broker {
            Broker::Memory(broker) => broker.ready_count(queue).try_into().unwrap(),
            Broker::Rabbit(control) => {
                let channel = control.channel().await;
                let declare = QueueDeclareArguments::new(queue).passive(true).finish();
                let (_, ready, _) = channel.queue_declare(declare).await.unwrap().unwrap();
                channel.close().await.unwrap();
                ready
            }
        }
    }

    /// Publishes a message with all its headers, also those that a [`Publisher`] of ploomby's would leave out. Of
    /// properties it has the headers alone.
    pub async fn publish_as_it_is(&self, queue: &str, message: Message) {
        match &self.broker {
            Broker::Memory(broker) => broker.publish(queue, message).unwrap(),
            Broker::Rabbit(_) => {
                let mut headers = amqprs::FieldTable::new();
                for (name, value) in message.headers().iter() {
                    headers.insert(name.try_into().unwrap(), field(value));
                }
                let mut properties = BasicProperties::default();
                properties.with_headers(headers);
                let body = message.body().to_vec();
                self.publish_raw(queue, properties, body).await;
            }
        }
    }

    /// Publishes to RabbitMQ what ploomby's own types do not build.
    ///
    /// # Panics
    ///
    /// On the embedded broker.
    pub async fn publish_raw(&self, queue: &str, properties: BasicProperties, body: Vec<u8>) {
        let Broker::Rabbit(control) = &self.broker else {
            panic!("only on RabbitMQ");
        };
        let channel = control.channel().await;
        let arguments = BasicPublishArguments::new("", queue);
        channel
            .basic_publish(properties, body, arguments)
            .await
            .unwrap();
        channel.close().await.unwrap();
    }

    /// Declares a queue beforehand.
    pub async fn declare(&self, queue: &str, arguments: &[(&str, Value)]) {
        match &self.broker {
            Broker::Memory(broker) => {
                let arguments = arguments
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.clone()));
                broker.declare_queue(queue, arguments).unwrap();
            }
            Broker::Rabbit(control) => {
                let mut table = amqprs::FieldTable::new();
                for (name, value) in arguments {
                    let field = match value {
                        Value::Text(text) => text.clone().into(),
                        Value::I32(number) => amqprs::FieldValue::I(*number),
                        Value::Bool(set) => amqprs::FieldValue::t(*set),
                        other => panic!("no argument is a {other:?}"),
                    };
                    table.insert((*name).try_into().unwrap(), field);
                }
                let mut declare = QueueDeclareArguments::durable_client_named(queue);
                declare.arguments(table);
                let channel = control.channel().await;
                channel.queue_declare(declare).await.unwrap();
                channel.close().await.unwrap();
            }
        }
    }

    /// Deletes a queue, whatever is in it.
    pub async fn delete(&self, queue: &str) {
        match &self.broker {
            Broker::Memory(broker) => {
                broker.delete_queue(queue);
            }
            // what a test did to the broker may cost a channel or two
            Broker::Rabbit(control) => {
                eventually(DEADLINE, async || {
                    let channel = control.channel().await;
                    let delete = QueueDeleteArguments::new(queue);
                    channel.queue_delete(delete).await.is_ok() && channel.close().await.is_ok()
                })
                .await;
            }
        }
    }

    /// Waits until a queue exists.
    pub async fn until_exists(&self, queue: &str) {
        eventually(DEADLINE, async || match &self.broker {
            Broker::Memory(broker) => broker.queue_exists(queue),
            Broker::Rabbit(control) => {
                // RabbitMQ closes the channel where the queue does not exist
                let channel = control.channel().await;
                let declare = QueueDeclareArguments::new(queue).passive(true).finish();
                let exists = channel.queue_declare(declare).await.is_ok();
                let _ = channel.close().await;
                exists
            }
        })
        .await;
    }

    /// How many consumers a queue has.
    pub async fn consumer_count(&self, queue: &str) -> u32 {
        match &self.broker {
            Broker::Memory(broker) => broker.consumer_count(queue).try_into().unwrap(),
            Broker::Rabbit(control) => {
                let channel = control.channel().await;
                let declare = QueueDeclareArguments::new(queue).passive(true).finish();
                let (_, _, consumers) = channel.queue_declare(declare).await.unwrap().unwrap();
                channel.close().await.unwrap();
                consumers
            }
        }
    }

    /// How many messages of a queue of the embedded broker wait or are with a handler; none where there is no such
    /// queue.
    ///
    /// # Panics
    ///
    /// On RabbitMQ, which does not say it.
    pub fn busy_count(&self, queue: &str) -> usize {
        let Broker::Memory(broker) = &self.broker else {
            panic!("only on the embedded broker");
        };
        broker.ready_count(queue) + broker.unacked_count(queue)
    }

    /// Takes the next message, where one is ready.
    pub async fn get(&self, queue: &str) -> Option<Received> {
        match &self.broker {
            Broker::Memory(broker) => broker.get(queue).map(Received::from),
            Broker::Rabbit(control) => control.take(queue, 1).await.pop(),
        }
    }

    /// Waits for the next message of a queue.
    pub async fn next(&self, queue: &str) -> Received {
        eventually_some(DEADLINE, async || self.get(queue).await).await
    }

    /// Waits for the next dead letter of a queue.
    pub async fn dead_letter(&self, queue: &str) -> Received {
        self.next(&format!("{queue}_dlq")).await
    }

    /// Whether nothing is left in a queue, after its consumers are gone.
    pub async fn is_empty(&self, queue: &str) -> bool {
        self.get(queue).await.is_none()
    }

    async fn clean_up(&self) {
        for queue in taken(&self.queues) {
            self.delete(&queue).await;
        }
        for exchange in taken(&self.exchanges) {
            self.delete_exchange(&exchange).await;
        }
        if let Some(publisher) = self.publisher.get() {
            publisher.clone().close().await;
        }
        if let Broker::Rabbit(control) = &self.broker
            && let Some(connection) = control.connection.lock().await.take()
        {
            // an error would only say that it is closed already
            let _ = connection.close().await;
        }
    }
}

fn taken(names: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut *names.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A header of the kinds that tests write.
fn field(value: Value) -> amqprs::FieldValue {
    match value {
        Value::Text(text) => amqprs::FieldValue::S(text.try_into().unwrap()),
        Value::I16(number) => amqprs::FieldValue::s(number),
        Value::I32(number) => amqprs::FieldValue::I(number),
        Value::I64(number) => amqprs::FieldValue::l(number),
        Value::Array(values) => {
            let values: Vec<_> = values.into_iter().map(field).collect();
            amqprs::FieldValue::A(values.try_into().unwrap())
        }
        Value::Table(entries) => {
            let mut table = amqprs::FieldTable::new();
            for (name, value) in entries {
                table.insert(name.try_into().unwrap(), field(value));
            }
            amqprs::FieldValue::F(table)
        }
        other => panic!("no test writes {other:?}"),
    }
}
