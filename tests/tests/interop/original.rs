//! The protocol of the Python original, at either end.

use std::collections::BTreeMap;
use std::time::Duration;

use ploomby::{CallError, HandlerRegistry, KeySource, Queue, Reply, RpcClient};
use ploomby_tests::{Bed, KEY};
use serde_json::{Value, json};

use crate::python::{ask_python, start_python};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_calls_handlers_of_the_python_original() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let _server = start_python("original_server.py", &[bed.url(), &queue]).await;
            let client = RpcClient::connect(bed.url())
                .await
                .unwrap()
                .key(KeySource::header(KEY))
                .timeout(Duration::from_secs(20))
                .python_replies();
            let sum: u32 = client.call(&queue, "add", &[2, 3]).await.unwrap();
            assert_eq!(sum, 5);
            client.call::<_, ()>(&queue, "nothing", &()).await.unwrap();
            for value in [
                json!(null),
                json!("Ada \"é\""),
                json!({"detail": "7", "list": [1, 2.5, true]}),
            ] {
                let echo: Value = client.call(&queue, "echo", &value).await.unwrap();
                assert_eq!(echo, value);
            }
            for (key, message) in [
                ("fail", "no luck"),
                (
                    "cannot_be_json",
                    "Object of type set is not JSON serializable",
                ),
                ("nobody", "'nobody'"),
            ] {
                let called = client.call::<_, Value>(&queue, key, &()).await;
                let CallError::Remote(error) = called.unwrap_err() else {
                    panic!("{key} is not answered with an error");
                };
                assert_eq!((error.code(), error.message()), ("error", message));
            }

            // replies that do not say whose they are reach their calls all the same
            let doubled = (0..50u32).map(|number| {
                let (client, queue) = (client.clone(), &queue);
                async move {
                    let sum: u32 = client.call(queue, "add", &[number, number]).await.unwrap();
                    (number, sum)
                }
            });
            let doubled: BTreeMap<_, _> = futures_util::future::join_all(doubled)
                .await
                .into_iter()
                .collect();
            assert_eq!(
                doubled,
                (0..50).map(|number| (number, 2 * number)).collect()
            );
            assert_eq!(client.in_flight(), 0);
            client.close().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_the_python_original_calls_handlers() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let handlers = HandlerRegistry::new()
                .register("add", |(a, b): (u32, u32)| async move { Reply(a + b) })
                .register("greet", |name: String| async move {
                    Reply(format!("hello, \"{name}\""))
                })
                .register("work", || async {})
                .register("fail", || async {
                    Err::<(), _>(anyhow::anyhow!("no luck"))
                });
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .python_replies()
                .expose_errors();
            let app = bed.start_queue(set_up, handlers).await;
            let mut arguments = vec![bed.url(), &*queue];
            arguments.extend([
                "add", "[2, 3]", "greet", "\"Adé\"", "work", "null", "fail", "null",
            ]);
            let details = ask_python("original_client.py", &arguments).await;
            assert_eq!(
                details,
                [
                    json!("5"),
                    json!(r#""hello, \"Adé\"""#),
                    json!("null"),
                    json!("no luck")
                ]
            );
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}
