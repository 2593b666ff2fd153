use std::time::Duration;

use ploomby::{HandlerOptions, HandlerRegistry, KeySource, Publisher, Queue, Retry};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, rabbit};
use serde_json::Value;

/// What `rabbitmqctl` says of a queue; none where this broker has no `rabbitmqctl`.
async fn listed(queue: &str) -> Option<Value> {
    const COLUMNS: [&str; 6] = [
        "name",
        "durable",
        "arguments",
        "messages",
        "messages_persistent",
        "message_bytes",
    ];

    let mut rabbitmqctl = rabbit().await.rabbitmqctl()?;
    let output = rabbitmqctl
        .args(["--quiet", "list_queues", "--formatter", "json"])
        .args(COLUMNS)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let queues: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let listed = queues.into_iter().find(|listed| listed["name"] == queue);
    Some(listed.unwrap_or_else(|| panic!("{queue} is not listed")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmqctl_lists_queues_and_messages_as_they_were_meant() {
    const DELAY: Duration = Duration::from_secs(60);

    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let retries = format!("{queue}_retry_60000ms");
            bed.remove_later(&retries);
            let fail = || async { Err::<(), _>(anyhow::anyhow!("no luck")) };
            let options = HandlerOptions::new().retry(Retry::fixed(2, DELAY));
            let handlers = HandlerRegistry::new()
                .register("fail", fail)
                .register_with("retry", options, fail);
            let app = bed
                .start_queue(Queue::new(&queue).key(KeySource::header(KEY)), handlers)
                .await;
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            let publisher = publisher.key(KeySource::header(KEY));
            for key in ["retry", "retry", "fail"] {
                publisher.send(&queue, key, "seven").await.unwrap();
            }
            // the copies are confirmed by then
            eventually(DEADLINE, async || bed.ready_count(&retries).await == 2).await;
            eventually(DEADLINE, async || {
                bed.ready_count(&format!("{queue}_dlq")).await == 1
            })
            .await;
            app.shut_down().await.unwrap();
            let later = publisher
                .to(&queue)
                .key("fail")
                .payload("seven")
                .transient();
            later.send().await.unwrap();
            publisher.close().await;

            let Some(consumed) = listed(&queue).await else {
                // a broker that is given has no `rabbitmqctl` here
                return;
            };
            let dead = listed(&format!("{queue}_dlq")).await.unwrap();
            for (listed, persistent) in [(&consumed, 0), (&dead, 1)] {
                assert_eq!(listed["durable"], true, "{listed}");
                assert_eq!(listed["messages"], 1, "{listed}");
                assert_eq!(listed["messages_persistent"], persistent, "{listed}");
                assert_eq!(listed["message_bytes"], 7, "{listed}");
            }
            // RabbitMQ counts what is in a quorum queue every few seconds
            eventually(DEADLINE, async || {
                listed(&retries).await.unwrap()["messages"] == 2
            })
            .await;
            let waiting = listed(&retries).await.unwrap();
            assert_eq!(waiting["durable"], true, "{waiting}");
            // each version of RabbitMQ writes them in another way
            let arguments = waiting["arguments"].to_string();
            let routing_key = format!("\"{queue}\"");
            for argument in [
                "x-message-ttl",
                "60000",
                "at-least-once",
                "x-dead-letter-exchange",
                "x-dead-letter-routing-key",
                &routing_key,
            ] {
                assert!(arguments.contains(argument), "{argument}: {arguments}");
            }
            assert!(!arguments.contains("x-expires"), "{arguments}");
            // nothing in a dead-letter queue is dropped
            let arguments = dead["arguments"].to_string();
            for argument in ["x-message-ttl", "x-max-length", "x-expires"] {
                assert!(!arguments.contains(argument), "{arguments}");
            }
        })
        .await;
}
