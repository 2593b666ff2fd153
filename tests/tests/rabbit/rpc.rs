use std::time::Duration;

use amqprs::channel::{
    BasicConsumeArguments, BasicPublishArguments, ConsumerMessage, QueueDeclareArguments,
};
use amqprs::connection::Connection;
use amqprs::{BasicProperties, FieldTable};
use ploomby::{CallError, HandlerRegistry, KeySource, PublishError, Reply, RpcClient};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, rabbit, unique_name};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::proxied;

/// Doubles numbers, without ploomby's own code. It answers those that are not multiples of five.
async fn doubling(queue: &str) -> Connection {
    let connection = Connection::open(&rabbit().await.arguments()).await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    let declare = QueueDeclareArguments::new(queue).auto_delete(true).finish();
    channel.queue_declare(declare).await.unwrap();
    let consume = BasicConsumeArguments::new(queue, "")
        .manual_ack(false)
        .finish();
    let (_, mut requests) = channel.basic_consume_rx(consume).await.unwrap();
    tokio::spawn(async move {
        while let Some(ConsumerMessage {
            basic_properties,
            content,
            ..
        }) = requests.recv().await
        {
            let request = basic_properties.unwrap();
            let number: u32 = serde_json::from_slice(&content.unwrap()).unwrap();
            if number.is_multiple_of(5) {
                continue;
            }
            let mut reply = BasicProperties::default();
            reply
                .with_content_type("application/json")
                .with_correlation_id(request.correlation_id().unwrap());
            let body = match number {
                7 => {
                    let mut headers = FieldTable::new();
                    let (name, kind) = ("ploomby-reply", String::from("error"));
                    headers.insert(name.try_into().unwrap(), kind.into());
                    reply.with_headers(headers);
                    br#"{"code": "seven", "message": "no sevens"}"#.to_vec()
                }
                number => (number * 2).to_string().into_bytes(),
            };
            let to = BasicPublishArguments::new("", request.reply_to().unwrap());
            channel.basic_publish(reply, body, to).await.unwrap();
        }
    });
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_without_ploomby_answers() {
    let queue = unique_name("doubling");
    let server = doubling(&queue).await;
    let client = RpcClient::connect(rabbit().await.url()).await.unwrap();
    let doubled: u32 = client.call(&queue, "double", &21).await.unwrap();
    assert_eq!(doubled, 42);
    let error = client
        .call::<_, u32>(&queue, "double", &7)
        .await
        .unwrap_err();
    let CallError::Remote(error) = error else {
        panic!("{error}");
    };
    assert_eq!((error.code(), error.message()), ("seven", "no sevens"));
    client.close().await;
    server.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_flight_fail_with_their_connection_and_later_ones_work() {
    let (proxy, url) = proxied().await;
    let queue = unique_name("doubling");
    let server = doubling(&queue).await;
    let client = RpcClient::connect(&url).await.unwrap();
    for _ in 0..5 {
        let unanswered = client.call::<_, u32>(&queue, "double", &5);
        let cutting = async {
            eventually(DEADLINE, async || client.in_flight() == 1).await;
            // it is on its way
            let doubled: u32 = client.call(&queue, "double", &1).await.unwrap();
            assert_eq!(doubled, 2);
            proxy.cut();
        };
        let (unanswered, ()) = tokio::join!(timeout(DEADLINE, unanswered), cutting);
        let error = unanswered.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Lost), "{error}");
        let doubled: u32 = client.call(&queue, "double", &3).await.unwrap();
        assert_eq!(doubled, 6);
        assert_eq!(client.in_flight(), 0);
    }
    client.close().await;
    server.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_a_broker_that_is_back_in_time() {
    const SHORT: Duration = Duration::from_millis(300);

    let (proxy, url) = proxied().await;
    let queue = unique_name("doubling");
    let server = doubling(&queue).await;
    let client = RpcClient::connect(&url).await.unwrap();
    proxy.refuse();
    proxy.cut();
    let hasty = client.clone().timeout(SHORT);
    let error = hasty
        .call::<_, u32>(&queue, "double", &1)
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            CallError::Request(PublishError::Unconfirmed(_)) | CallError::Lost
        ),
        "{error}"
    );
    let mut patient = Box::pin(client.call::<_, u32>(&queue, "double", &2));
    assert!(timeout(SHORT, &mut patient).await.is_err());
    proxy.accept();
    assert_eq!(timeout(DEADLINE, patient).await.unwrap().unwrap(), 4);
    client.close().await;
    server.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_a_call_at_once() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let arguments = [
                ("x-max-length", 0_i32.into()),
                ("x-overflow", "reject-publish".into()),
            ];
            bed.declare(&queue, &arguments).await;
            let client = RpcClient::connect(bed.url()).await.unwrap();
            let call = client.call::<_, u32>(&queue, "double", &1);
            let error = timeout(DEADLINE, call).await.unwrap().unwrap_err();
            assert!(
                matches!(error, CallError::Request(PublishError::Refused(_))),
                "{error}"
            );
            client.close().await;
        })
        .await;
}

/// RabbitMQ may refuse whatever comes over a channel, so that another one is opened: replies still come over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_refused_end_no_others() {
    static GATE: Semaphore = Semaphore::const_new(0);

    Bed::rabbit()
        .await
        .run(async |bed| {
            let (queue, full) = (bed.queue_name(), bed.queue_name());
            let arguments = [
                ("x-max-length", 0_i32.into()),
                ("x-overflow", "reject-publish".into()),
            ];
            bed.declare(&full, &arguments).await;
            let handlers = HandlerRegistry::new()
                .register("now", |number: u32| async move { Reply(number) })
                .register("later", |number: u32| async move {
                    let _permit = GATE.acquire().await.unwrap();
                    Reply(number)
                });
            let app = bed.start(&queue, handlers).await;
            let client = RpcClient::connect(bed.url()).await.unwrap();
            let client = client.key(KeySource::header(KEY));
            for round in 0..3 {
                let later = client.call::<_, u32>(&queue, "later", &round);
                let refused = async {
                    eventually(DEADLINE, async || client.in_flight() == 1).await;
                    for number in 0..10 {
                        let error = client.call::<_, u32>(&full, "now", &1).await.unwrap_err();
                        assert!(
                            matches!(error, CallError::Request(PublishError::Refused(_))),
                            "{error}"
                        );
                        let now: u32 = client.call(&queue, "now", &number).await.unwrap();
                        assert_eq!(now, number);
                    }
                    for _ in 0..10 {
                        let refused = client.call::<_, u32>(&full, "now", &1).await;
                        assert!(refused.is_err());
                    }
                    GATE.add_permits(1);
                };
                let (later, ()) = tokio::join!(timeout(DEADLINE, later), refused);
                assert_eq!(later.unwrap().unwrap(), round);
                GATE.acquire().await.unwrap().forget();
            }
            client.close().await;
            app.shut_down().await.unwrap();
        })
        .await;
}

/// Answers as the Python original does, without an id: 1 at once and a second time after a while, other
/// numbers after twice that while.
async fn answering_twice(queue: &str, again_after: Duration) -> Connection {
    let connection = Connection::open(&rabbit().await.arguments()).await.unwrap();
    let channel = connection.open_channel(None).await.unwrap();
    let declare = QueueDeclareArguments::new(queue).auto_delete(true).finish();
    channel.queue_declare(declare).await.unwrap();
    let consume = BasicConsumeArguments::new(queue, "")
        .manual_ack(false)
        .finish();
    let (_, mut requests) = channel.basic_consume_rx(consume).await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            let (number, properties) =
                (request.content.unwrap(), request.basic_properties.unwrap());
            let number = String::from_utf8(number).unwrap();
            let pauses: &[Duration] = match &*number {
                "1" => &[Duration::ZERO, again_after],
                _ => &[2 * again_after],
            };
            for pause in pauses {
                tokio::time::sleep(*pause).await;
                let to = BasicPublishArguments::new("", properties.reply_to().unwrap());
                let body = format!(r#"{{"detail": "{number}"}}"#).into_bytes();
                let reply = BasicProperties::default();
                channel.basic_publish(reply, body, to).await.unwrap();
            }
        }
    });
    connection
}

/// What is in flight with an id goes on beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_reply_without_an_id_is_not_taken_for_that_of_the_next_call() {
    static GATE: Semaphore = Semaphore::const_new(0);

    Bed::rabbit()
        .await
        .run(async |bed| {
            let (original, modern) = (unique_name("original"), bed.queue_name());
            let server = answering_twice(&original, Duration::from_millis(300)).await;
            let later = HandlerRegistry::new().register("later", |number: u32| async move {
                let _permit = GATE.acquire().await.unwrap();
                Reply(number)
            });
            let app = bed.start(&modern, later).await;
            let client = RpcClient::connect(bed.url()).await.unwrap();
            let client = client.key(KeySource::header(KEY));
            let calling = async {
                eventually(DEADLINE, async || client.in_flight() == 1).await;
                let client = client.clone().python_replies();
                for number in 1..4 {
                    let reply: u32 = client.call(&original, "any", &number).await.unwrap();
                    assert_eq!(reply, number);
                }
                GATE.add_permits(1);
            };
            let (later, ()) = tokio::join!(client.call::<_, u32>(&modern, "later", &7), calling);
            assert_eq!(later.unwrap(), 7);
            client.close().await;
            app.shut_down().await.unwrap();
            server.close().await.unwrap();
        })
        .await;
}
