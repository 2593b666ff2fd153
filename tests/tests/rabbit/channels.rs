//! Channels that die while the connection lives, and what must not die with them.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use ploomby::rabbit::Reconnect;
use ploomby::{App, HandlerRegistry, KeySource, Message, Publisher, Queue};
use ploomby_tests::{Bed, DEADLINE, KEY, Rabbit, eventually, rabbit, rabbit_with, seen};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast};

async fn ctl(rabbit: &Rabbit, arguments: &[&str]) -> String {
    let mut command = rabbit.rabbitmqctl().unwrap();
    let output = command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_the_broker_closes_is_opened_again_and_the_others_live_on() {
    let rabbit = rabbit_with("").await;
    for (name, milliseconds) in [("consumer_timeout", 1000), ("channel_tick_interval", 500)] {
        let set = format!("application:set_env(rabbit, {name}, {milliseconds}).");
        ctl(&rabbit, &["eval", &set]).await;
    }
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let (slow, other) = (bed.queue_name(), bed.queue_name());
            let (seen, mut handled) = seen();
            let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
            let handlers = HandlerRegistry::new()
                .register("slow", move |text: String| async move {
                    seen.note(format!("begun {text}"));
                    gate.acquire().await.unwrap().forget();
                    seen.note(format!("done {text}"));
                })
                .register("other", move |text: String| async move { seen.note(text) });
            let key = || KeySource::header(KEY);
            let app = App::new(bed.url())
                .handlers(handlers)
                .queue(Queue::new(&slow).key(key()))
                .queue(Queue::new(&other).key(key()))
                .start()
                .await
                .unwrap();
            let consumer = async || {
                let list = [
                    "list_consumers",
                    "queue_name",
                    "channel_pid",
                    "consumer_tag",
                ];
                let all = ctl(&rabbit, &list).await;
                let line = all.lines().find(|line| line.contains(&other));
                line.expect("it is consumed").to_owned()
            };
            let before = consumer().await;
            bed.send(&slow, "slow", "\"1\"").await;
            assert_eq!(handled.next_note().await, "begun 1");
            // the acknowledgement does not come in time: the channel is closed, and another takes over
            assert_eq!(handled.next_note().await, "begun 1");
            gate.add_permits(1_000);
            assert_eq!(handled.next_note().await, "done 1");
            assert_eq!(handled.next_note().await, "done 1");
            bed.send(&slow, "slow", "\"2\"").await;
            assert_eq!(handled.next_note().await, "begun 2");
            assert_eq!(handled.next_note().await, "done 2");
            bed.send(&other, "other", "\"3\"").await;
            assert_eq!(handled.next_note().await, "3");
            assert_eq!(consumer().await, before);
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&slow).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_channels_may_be_lost_than_a_connection_has_numbers() {
    const CHANNELS: usize = 16;

    let rabbit = rabbit_with(&format!("channel_max = {CHANNELS}\n")).await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let (lossy, steady) = (bed.queue_name(), bed.queue_name());
            let (seen, mut handled) = seen();
            let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
            let handlers = HandlerRegistry::new()
                .register("steady", move || async move {
                    seen.note("begun");
                    gate.acquire().await.unwrap().forget();
                    seen.note("done");
                })
                .register("lossy", move |text: String| async move { seen.note(text) });
            let key = || KeySource::header(KEY);
            let app = App::new(bed.url())
                .handlers(handlers)
                .queue(Queue::new(&steady).key(key()))
                .queue(Queue::new(&lossy).key(key()))
                .reconnect(Reconnect::forever().longest_pause(Duration::from_millis(10)))
                .start()
                .await
                .unwrap();
            bed.send(&steady, "steady", "").await;
            assert_eq!(handled.next_note().await, "begun");
            // each time the broker closes the channel that asks whether the queue is there
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            for number in 0..2 * CHANNELS {
                bed.delete(&lossy).await;
                let body = format!("\"{number}\"");
                let message = Message::new(body).with_header(KEY, "lossy").unwrap();
                // at once, but RabbitMQ 4.0 does not always say that the queue was deleted: then two looks miss it
                eventually(2 * DEADLINE, async || {
                    publisher.publish(&lossy, message.clone()).await.is_ok()
                })
                .await;
                assert_eq!(handled.next_note().await, number.to_string());
            }
            publisher.close().await;
            // its connection was never lost, else it would have begun once more
            gate.add_permits(1_000);
            assert_eq!(handled.next_note().await, "done");
            app.shut_down().await.unwrap();
            assert!(handled.is_empty());
            assert!(bed.is_empty(&steady).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_of_the_client_that_panics_counts_as_a_lost_connection() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let (address, inject) = injecting_proxy().await;
            let url = format!("amqp://guest:guest@{address}");
            let queue = bed.queue_name();
            let (seen, mut handled) = seen();
            let handlers = HandlerRegistry::new()
                .register("work", move |text: String| async move { seen.note(text) });
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, handlers).await;
            let health = app.health();
            bed.send(&queue, "work", "\"1\"").await;
            assert_eq!(handled.next_note().await, "1");
            // basic.cancel-ok on a channel that nobody has opened
            inject
                .send(b"\x01\x03\xe7\x00\x00\x00\x05\x00\x3c\x00\x1f\x00\xce")
                .unwrap();
            eventually(DEADLINE, async || !health.is_healthy()).await;
            eventually(DEADLINE, async || health.is_healthy()).await;
            bed.send(&queue, "work", "\"2\"").await;
            // the acknowledgement of the first may have been lost
            while handled.next_note().await != "2" {}
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}

/// A proxy that sends bytes to the client as if they came from the broker.
async fn injecting_proxy() -> (SocketAddr, broadcast::Sender<&'static [u8]>) {
    let rabbit = rabbit().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (inject, _) = broadcast::channel(1);
    let injected = inject.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let broker = TcpStream::connect((rabbit.host(), rabbit.port()))
                .await
                .unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_broker, mut to_broker) = broker.into_split();
            let mut injected = injected.subscribe();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_broker).await });
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        copied = tokio::io::copy(&mut from_broker, &mut to_client) => return copied,
                        Ok(bytes) = injected.recv() => to_client.write_all(bytes).await?,
                    }
                }
            });
        }
    });
    (address, inject)
}
