use std::time::{Duration, Instant};

use amqprs::channel::{BasicAckArguments, BasicConsumeArguments, BasicQosArguments};
use ploomby::{HandlerRegistry, KeySource, Queue, Running};
use ploomby_tests::{Bed, KEY, OwnRabbit, eventually, eventually_some};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::ledger::Ledger;
use crate::{LONG, disturbed};

const MESSAGES: u32 = 4_000;
const IN_FLIGHT: u16 = 500;
/// How long each message takes.
const WORK: Duration = Duration::from_millis(250);

async fn start(bed: &Bed, queue: &str, kind: &str, ledger: &'static Ledger) -> Running {
    let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
        sleep(WORK).await;
        ledger.note(number);
    });
    let set_up = Queue::new(queue)
        .key(KeySource::header(KEY))
        .prefetch(IN_FLIGHT)
        .queue_argument("x-queue-type", kind);
    bed.start_queue(set_up, handlers).await
}

/// The same by the bare client, which acknowledges each message for itself and ends with its connection.
async fn start_bare(rabbit: &OwnRabbit, queue: &str, ledger: &'static Ledger) -> JoinHandle<()> {
    // a server that has just started may not have its queues yet
    let (connection, channel, mut deliveries) = eventually_some(LONG, async || {
        let connection = rabbit.connect().await.ok()?;
        let channel = connection.open_channel(None).await.ok()?;
        let qos = BasicQosArguments::new(0, IN_FLIGHT, false);
        channel.basic_qos(qos).await.ok()?;
        let consume = BasicConsumeArguments::new(queue, "");
        let (_, deliveries) = channel.basic_consume_rx(consume).await.ok()?;
        Some((connection, channel, deliveries))
    })
    .await;
    tokio::spawn(async move {
        while let Some(message) = deliveries.recv().await {
            let channel = channel.clone();
            tokio::spawn(async move {
                sleep(WORK).await;
                let body = String::from_utf8(message.content.unwrap()).unwrap();
                ledger.note(body.parse().unwrap());
                let tag = message.deliver.unwrap().delivery_tag();
                let _ = channel.basic_ack(BasicAckArguments::new(tag, false)).await;
            });
        }
        drop(connection);
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_under_load_loses_nothing() {
    let rabbit = disturbed().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let ledgers: [&'static Ledger; 4] = std::array::from_fn(|_| Ledger::new());
            let queues: [String; 4] = std::array::from_fn(|_| bed.queue_name());
            let kinds = ["classic", "quorum", "classic", "quorum"];
            for index in 0..4 {
                bed.declare(&queues[index], &[("x-queue-type", kinds[index].into())])
                    .await;
                bed.send_numbers(&queues[index], "work", 0..MESSAGES).await;
            }
            let mut apps = Vec::new();
            let mut bare = Vec::new();
            for index in 0..2 {
                apps.push(start(&bed, &queues[index], kinds[index], ledgers[index]).await);
            }
            for index in 2..4 {
                bare.push(start_bare(&rabbit, &queues[index], ledgers[index]).await);
            }
            for ledger in ledgers {
                ledger.until(MESSAGES as usize / 3, LONG).await;
            }

            rabbit.kill().await;
            let killed = Instant::now();
            rabbit.start_again().await;
            let back = Instant::now();
            eprintln!("the broker was away for {:?}", back - killed);
            for index in 2..4 {
                bare.push(start_bare(&rabbit, &queues[index], ledgers[index]).await);
            }
            // what had been delivered before the kill may come to its end after it
            let late = killed + 2 * WORK;
            for (kind, ledger) in kinds.iter().zip(&ledgers[..2]) {
                let first = eventually_some(LONG, async || ledger.first_after(late)).await;
                let took = first.saturating_duration_since(back);
                eprintln!("{kind}: handling again {took:?} after the broker was back");
            }
            for ledger in ledgers {
                ledger.until(MESSAGES as usize, LONG).await;
            }
            let who = ["ploomby", "ploomby", "the bare client", "the bare client"];
            for index in 0..4 {
                let ledger = ledgers[index];
                eprintln!(
                    "{} on a {} queue: {} of {MESSAGES} handled twice, {} of them more than a second before the kill",
                    who[index],
                    kinds[index],
                    ledger.duplicates(),
                    ledger.duplicates_of_before(killed, Duration::from_secs(1)),
                );
            }
            eventually(LONG, async || bed.ready_count(&queues[0]).await == 0).await;
            for app in apps {
                app.shut_down().await.unwrap();
            }
            for queue in &queues[..2] {
                assert!(bed.is_empty(queue).await, "all were acknowledged");
            }
            for task in bare {
                task.abort();
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_while_the_broker_is_down_parks_nothing() {
    let rabbit = disturbed().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let app = start(&bed, &queue, "classic", Ledger::new()).await;
            bed.send_numbers(&queue, "work", 0..100).await;
            rabbit.stop().await;
            let begin = Instant::now();
            app.shut_down().await.unwrap();
            eprintln!("shut down in {:?}", begin.elapsed());
            rabbit.start_again().await;
            assert!(
                bed.is_empty(&format!("{queue}_dlq")).await,
                "nothing was parked"
            );
        })
        .await;
}
