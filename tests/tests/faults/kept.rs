//! What a broker drops by itself, and what ploomby declares against it.

use std::sync::atomic::{AtomicU32, Ordering};

use amqprs::channel::{
    BasicConsumeArguments, BasicNackArguments, BasicQosArguments, QueueDeclareArguments,
};
use amqprs::connection::Connection;
use ploomby::{HandlerRegistry, KeySource, Message, Publisher, Queue, Running};
use ploomby_tests::{Bed, KEY, OwnRabbit, eventually, unique_name};
use tokio::time::timeout;

use crate::{LONG, shared};

/// RabbitMQ 4 gives up after 20.
const RETURNS: u32 = 25;

/// Delivers the first message of a queue and gives it back, so often.
async fn look(rabbit: &OwnRabbit, queue: &str, times: u32) {
    let connection = rabbit.connect().await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    let qos = BasicQosArguments::new(0, 1, false);
    channel.basic_qos(qos).await.unwrap();
    let consume = BasicConsumeArguments::new(queue, "");
    let (_, mut deliveries) = channel.basic_consume_rx(consume).await.unwrap();
    for time in 0..times {
        let delivered = timeout(LONG / 6, deliveries.recv()).await;
        let delivered = delivered.unwrap_or_else(|_| panic!("it is gone after {time} looks"));
        let tag = delivered.unwrap().deliver.unwrap().delivery_tag();
        let nack = BasicNackArguments::new(tag, false, true);
        channel.basic_nack(nack).await.unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_of_a_quorum_queue_can_be_looked_at_a_hundred_times() {
    let rabbit = shared().await;
    Bed::on(rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let dead_letters = format!("{queue}_dlq");
            let handlers = HandlerRegistry::new()
                .register("fail", async || Err::<(), _>(anyhow::anyhow!("no luck")));
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .queue_argument("x-queue-type", "quorum");
            let app = bed.start_queue(set_up, handlers).await;
            bed.send(&queue, "fail", "").await;
            eventually(LONG, async || bed.ready_count(&dead_letters).await == 1).await;
            app.shut_down().await.unwrap();
            look(rabbit, &dead_letters, 100).await;
            let letter = bed.next(&dead_letters).await;
            assert_eq!(letter.text("ploomby-reason"), "handler-error");
        })
        .await;
}

/// A virtual host that makes quorum queues of all that say nothing, where the broker knows such ones.
async fn of_quorum_queues(rabbit: &OwnRabbit) -> (String, String) {
    let vhost = unique_name("quorum");
    let mut command = rabbit.rabbitmqctl().unwrap();
    let arguments = ["add_vhost", &vhost, "--default-queue-type", "quorum"];
    if !command
        .args(arguments)
        .output()
        .await
        .unwrap()
        .status
        .success()
    {
        rabbit.ctl(&["add_vhost", &vhost]).await;
    }
    rabbit
        .ctl(&["set_permissions", "-p", &vhost, "guest", ".*", ".*", ".*"])
        .await;
    let url = format!(
        "amqp://guest:guest@{}:{}/{vhost}",
        rabbit.host(),
        rabbit.port()
    );
    (vhost, url)
}

async fn failing(url: &str, calls: &'static AtomicU32) -> Running {
    let handlers = HandlerRegistry::new().register("fail", move || async move {
        calls.fetch_add(1, Ordering::Relaxed);
        Err::<(), _>(anyhow::anyhow!("no luck"))
    });
    let set_up = Queue::new("q").key(KeySource::header(KEY));
    Bed::start_at(url, set_up, handlers).await
}

/// The dead-letter queue is full from the start. Each program tries once, and gives the message back when it ends.
async fn without_room(is_there: bool) {
    let rabbit = shared().await;
    let calls: &'static AtomicU32 = Box::leak(Box::default());
    let (vhost, url) = of_quorum_queues(rabbit).await;
    if is_there {
        let mut arguments = rabbit.arguments();
        let connection = Connection::open(arguments.virtual_host(&vhost))
            .await
            .unwrap();
        let channel = connection.open_channel(None).await.unwrap();
        let declare = QueueDeclareArguments::durable_client_named("q");
        channel.queue_declare(declare).await.unwrap();
        connection.close().await.unwrap();
    }
    let policy = r#"{"max-length": 0, "overflow": "reject-publish"}"#;
    let full = ["--apply-to", "queues", "full", "^q_dlq$", policy];
    rabbit
        .ctl(&[&["set_policy", "-p", &vhost], &full[..]].concat())
        .await;
    let publisher = Publisher::connect(&url).await.unwrap();
    for round in 0..RETURNS {
        let app = failing(&url, calls).await;
        if round == 0 {
            let message = Message::new("").with_header(KEY, "fail").unwrap();
            publisher.publish("q", message).await.unwrap();
        }
        eventually(LONG, async || calls.load(Ordering::Relaxed) > round).await;
        app.shut_down().await.unwrap();
    }
    rabbit.ctl(&["clear_policy", "-p", &vhost, "full"]).await;
    let app = failing(&url, calls).await;
    eventually(LONG, async || {
        let list = ["list_queues", "-q", "-p", &vhost, "name", "messages"];
        let queues = rabbit.ctl(&list).await;
        queues
            .lines()
            .any(|line| line.split_whitespace().eq(["q_dlq", "1"]))
    })
    .await;
    app.shut_down().await.unwrap();
    publisher.close().await;
    rabbit.ctl(&["delete_vhost", &vhost]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_room_for_its_dead_letter_stays_however_often_it_comes_back() {
    without_room(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_queue_that_was_there_stays_without_room_for_its_dead_letter_too() {
    without_room(true).await;
}
