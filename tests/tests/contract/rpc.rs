use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use ploomby::extract::FromDelivery;
use ploomby::{
    CallError, Codec, Delivery, ErrorReply, HandlerRegistry, KeySource, Message, Properties,
    Publisher, Queue, Reply, RpcClient, Running,
};
use ploomby_tests::{Bed, DEADLINE, eventually, unique_name};
use tokio::time::{sleep, timeout};

/// What a handler needs to reply.
struct Request(Properties);

impl<'d> FromDelivery<'d> for Request {
    type Rejection = Infallible;

    async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Infallible> {
        Ok(Self(delivery.properties().clone()))
    }
}

/// An app that answers, a client that calls it, and the queue between them.
async fn answering(
    bed: &Bed,
    handlers: impl FnOnce(&'static Publisher) -> HandlerRegistry,
) -> (Running, RpcClient, String) {
    let queue = bed.queue_name();
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let handlers = handlers(Box::leak(Box::new(publisher)));
    let app = bed.start_queue(Queue::new(&queue), handlers).await;
    let client = RpcClient::connect(bed.url()).await.unwrap();
    (app, client, queue)
}

fn double(publisher: &'static Publisher) -> HandlerRegistry {
    HandlerRegistry::new().register("double", move |number: u32, request: Request| async move {
        publisher.reply(&request.0, &(number * 2)).await
    })
}

pub(crate) async fn a_call_returns_what_the_handler_replies(bed: Arc<Bed>) {
    let (app, client, queue) = answering(&bed, double).await;
    for number in 0..50 {
        let doubled: u32 = client.call(&queue, "double", &number).await.unwrap();
        assert_eq!(doubled, number * 2);
    }
    assert_eq!(client.in_flight(), 0);
    client.close().await;
    app.shut_down().await.unwrap();
}

pub(crate) async fn an_error_is_told_apart_from_a_value(bed: Arc<Bed>) {
    let (app, client, queue) = answering(&bed, |publisher| {
        HandlerRegistry::new()
            .register("fail", move |request: Request| async move {
                let error = ErrorReply::new("gone", "it is not there").field("id", "7 is unknown");
                publisher.reply_error(&request.0, &error).await
            })
            .register("return", move |request: Request| async move {
                let error = ErrorReply::new("gone", "it is not there");
                publisher.reply(&request.0, &error).await
            })
    })
    .await;
    let error = client
        .call::<_, serde_json::Value>(&queue, "fail", &7)
        .await
        .unwrap_err();
    let CallError::Remote(error) = error else {
        panic!("{error}");
    };
    assert_eq!((error.code(), error.message()), ("gone", "it is not there"));
    assert_eq!(error.fields()[0].field(), "id");
    assert_eq!(error.fields()[0].message(), "7 is unknown");
    let value: serde_json::Value = client.call(&queue, "return", &7).await.unwrap();
    assert_eq!(value["code"], "gone");
    client.close().await;
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_reply_of_another_shape_is_an_error(bed: Arc<Bed>) {
    let (app, client, queue) = answering(&bed, double).await;
    let error = client
        .call::<_, String>(&queue, "double", &7)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Undecodable(_)), "{error}");
    let raw = client
        .to(&queue)
        .key("double")
        .payload(&7)
        .call_raw()
        .await
        .unwrap();
    assert_eq!(raw.body(), "14");
    client.close().await;
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_reply_has_the_codec_of_its_request(bed: Arc<Bed>) {
    let (app, client, queue) = answering(&bed, double).await;
    for (codec, content_type) in [
        (Codec::MessagePack, "application/msgpack"),
        (Codec::Cbor, "application/cbor"),
        (Codec::Json, "application/json"),
    ] {
        let client = client.clone().codec(codec);
        let raw = client
            .to(&queue)
            .key("double")
            .payload(&7)
            .call_raw()
            .await
            .unwrap();
        assert_eq!(raw.properties().content_type(), Some(content_type));
        let doubled: u32 = client.call(&queue, "double", &7).await.unwrap();
        assert_eq!(doubled, 14);
    }
    client.close().await;
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_call_where_nobody_listens_fails_at_once(bed: Arc<Bed>) {
    let client = RpcClient::connect(bed.url()).await.unwrap();
    let nowhere = unique_name("nowhere");
    let start = Instant::now();
    let error = client
        .call::<_, u32>(&nowhere, "double", &7)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, CallError::NobodyListens(queue) if *queue == nowhere),
        "{error}"
    );
    assert!(start.elapsed() < DEADLINE / 2, "{:?}", start.elapsed());
    assert_eq!(client.in_flight(), 0);
    client.close().await;
}

pub(crate) async fn a_call_without_a_reply_times_out_and_leaves_the_queue(bed: Arc<Bed>) {
    const TIMEOUT: Duration = Duration::from_millis(300);

    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    let client = RpcClient::connect(bed.url())
        .await
        .unwrap()
        .timeout(TIMEOUT);
    let error = client
        .call::<_, u32>(&queue, "double", &7)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::TimedOut(TIMEOUT)), "{error}");
    assert_eq!(client.in_flight(), 0);
    eventually(DEADLINE, async || bed.ready_count(&queue).await == 0).await;
    client.close().await;
}

pub(crate) async fn a_late_reply_is_nobodys(bed: Arc<Bed>) {
    let (app, client, queue) = answering(&bed, |publisher| {
        HandlerRegistry::new().register("echo", move |text: String, request: Request| async move {
            if text == "slow" {
                sleep(Duration::from_millis(500)).await;
            }
            publisher.reply(&request.0, &text).await
        })
    })
    .await;
    let slow = client.call::<_, String>(&queue, "echo", "slow");
    // it is with its handler by then, where it does not expire any more
    assert!(timeout(Duration::from_millis(200), slow).await.is_err());
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        let echo: String = client.call(&queue, "echo", "quick").await.unwrap();
        assert_eq!(echo, "quick");
    }
    assert_eq!(client.in_flight(), 0);
    client.close().await;
    app.shut_down().await.unwrap();
}

/// Whoever has seen one request knows where replies go. 1,000 made-up replies come between those to 100 calls.
pub(crate) async fn a_forged_reply_is_nobodys(bed: Arc<Bed>) {
    const CALLS: u32 = 100;
    const FORGED_EACH: u32 = 10;

    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    let client = RpcClient::connect(bed.url()).await.unwrap();
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let send = async |reply_to: &str, id: Option<&str>, body: String| {
        let mut reply = Properties::new();
        if let Some(id) = id {
            reply = reply.with_correlation_id(id).unwrap();
        }
        let reply = Message::new(body).with_properties(reply);
        let reply = publisher.to(reply_to).message(reply).allow_unroutable();
        reply.send().await.unwrap();
    };
    let answering = async {
        let mut requests = Vec::new();
        for _ in 0..CALLS {
            requests.push(bed.next(&queue).await);
        }
        let ids: Vec<_> = requests
            .iter()
            .map(|request| request.correlation_id.clone().unwrap())
            .collect();
        for (at, request) in requests.iter().enumerate() {
            let reply_to = request.reply_to.as_deref().unwrap();
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let number: u32 = body.parse().unwrap();
            for guess in 0..FORGED_EACH {
                // all that can be told of the ids of others
                let secret = format!("{:032x}", u128::from(guess) * 0x1234_5678);
                let own = &ids[at][..32];
                let id = match guess {
                    0 => None,
                    1 => Some((number + 1).to_string()),
                    2 => Some(format!("{own}{}", at + 3)),
                    3 => Some(ids[at].to_uppercase() + "0"),
                    4 => Some(String::new()),
                    guess if guess % 2 == 0 => Some(secret),
                    _ => Some(format!("{secret}{}", (at + 2) % 100)),
                };
                send(reply_to, id.as_deref(), "13".to_owned()).await;
            }
            send(reply_to, Some(&ids[at]), (number * 2).to_string()).await;
            // once more, which is too late
            send(reply_to, Some(&ids[at]), "13".to_owned()).await;
        }
    };
    let calls = futures_util::future::join_all((0..CALLS).map(|number| {
        let client = &client;
        let queue = &queue;
        async move { client.call::<_, u32>(queue, "double", &number).await }
    }));
    let (answers, ()) = tokio::join!(calls, answering);
    for (number, answer) in (0..CALLS).zip(answers) {
        assert_eq!(answer.unwrap(), number * 2);
    }
    let dropped = u64::from(CALLS * (FORGED_EACH + 1));
    eventually(DEADLINE, async || client.dropped_replies() == dropped).await;
    publisher.close().await;
    client.close().await;
}

/// Its reply is told by where it comes, so that nobody else may know the place.
pub(crate) async fn a_call_whose_reply_has_no_id_has_an_address_of_its_own(bed: Arc<Bed>) {
    let queues = [bed.queue_name(), bed.queue_name(), bed.queue_name()];
    for queue in &queues {
        bed.declare(queue, &[]).await;
    }
    let client = RpcClient::connect(bed.url()).await.unwrap();
    let detail = client.clone().python_replies();
    let before = client.call::<_, u32>(&queues[0], "double", &1);
    let alone = detail.call::<_, u32>(&queues[1], "double", &1);
    let after = client.call::<_, u32>(&queues[2], "double", &1);
    let address = async |queue: &str| bed.next(queue).await.reply_to.unwrap();
    let addresses = tokio::select! {
        _ = before => unreachable!("nobody answers"),
        addresses = async {
            let before = address(&queues[0]).await;
            tokio::select! {
                _ = alone => unreachable!("nobody answers"),
                addresses = async {
                    let alone = address(&queues[1]).await;
                    tokio::select! {
                        _ = after => unreachable!("nobody answers"),
                        after = address(&queues[2]) => [before, alone, after],
                    }
                } => addresses,
            }
        } => addresses,
    };
    assert_ne!(addresses[0], addresses[1]);
    assert_ne!(addresses[1], addresses[2]);
    client.close().await;
}

pub(crate) async fn a_reply_that_is_too_large_is_dropped(bed: Arc<Bed>) {
    let double = |number: u32| async move { Reply(number * 2) };
    let handlers = |_| HandlerRegistry::new().register("double", double);
    let (app, client, queue) = answering(&bed, handlers).await;
    let client = client.max_reply(2).timeout(Duration::from_millis(500));
    assert_eq!(
        client.call::<_, u32>(&queue, "double", &7).await.unwrap(),
        14
    );
    let error = client
        .call::<_, u32>(&queue, "double", &70)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::TimedOut(_)), "{error}");
    assert_eq!(client.dropped_replies(), 1);
    client.close().await;
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_request_says_where_its_reply_goes(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    let client = RpcClient::connect(bed.url()).await.unwrap();
    let client = client.key(KeySource::header("task_name"));
    let call = client
        .to(&queue)
        .key("double")
        .payload(&7)
        .header("tenant", "acme")
        .priority(3)
        .timeout(Duration::from_secs(15));
    let answering = async {
        let request = bed.next(&queue).await;
        assert_eq!(request.text("task_name"), "double");
        assert_eq!(request.text("tenant"), "acme");
        assert_eq!(request.priority, Some(3));
        assert_eq!(request.expiration.as_deref(), Some("15000"));
        assert!(!request.persistent);
        assert!(request.message_id.is_some());
        let reply_to = request.reply_to.unwrap();
        assert!(reply_to.starts_with("amq.rabbitmq.reply-to."), "{reply_to}");
        // as a program in another language may answer
        let reply = Properties::new()
            .with_correlation_id(&request.correlation_id.unwrap())
            .unwrap();
        let publisher = Publisher::connect(bed.url()).await.unwrap();
        let reply = Message::new("14").with_properties(reply);
        let reply = publisher.to(&reply_to).message(reply).allow_unroutable();
        reply.send().await.unwrap();
        publisher.close().await;
    };
    let (doubled, ()) = tokio::join!(call.call::<u32>(), answering);
    assert_eq!(doubled.unwrap(), 14);
    client.close().await;
}

pub(crate) async fn ten_thousand_calls_of_which_some_are_dropped(bed: Arc<Bed>) {
    const CALLS: u32 = 10_000;

    let (app, client, queue) = answering(&bed, |publisher| {
        HandlerRegistry::new().register("double", move |number: u32, request: Request| async move {
            // the replies come in another order than the requests
            sleep(Duration::from_micros(u64::from(number % 7) * 300)).await;
            publisher.reply(&request.0, &(number * 2)).await
        })
    })
    .await;
    let client = client.timeout(Duration::from_secs(300));
    let (answered, dropped) = stream::iter(0..CALLS)
        .map(|number| {
            let (client, queue) = (&client, &queue);
            async move {
                let call = client.call::<_, u32>(queue, "double", &number);
                if number.is_multiple_of(10) {
                    // at whatever step it is by then
                    let is_answered = match number % 20 {
                        0 => tokio::select! {
                            biased;
                            _ = call => true,
                            () = turns(number % 5) => false,
                        },
                        _ => {
                            let patience = Duration::from_micros(u64::from(number % 1_000) * 20);
                            timeout(patience, call).await.is_ok()
                        }
                    };
                    return is_answered.then_some(());
                }
                assert_eq!(call.await.unwrap(), number * 2);
                Some(())
            }
        })
        .buffer_unordered(CALLS as usize)
        .fold((0, 0), async |(answered, dropped), done| match done {
            Some(()) => (answered + 1, dropped),
            None => (answered, dropped + 1),
        })
        .await;
    assert_eq!(answered + dropped, CALLS);
    assert!(dropped > CALLS / 25, "{dropped}");
    assert_eq!(client.in_flight(), 0);
    client.close().await;
    app.shut_down().await.unwrap();
}

async fn turns(count: u32) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn the_detail_of_the_python_original_is_read(bed: Arc<Bed>) {
    let (app, client, queue) = answering(&bed, |publisher| {
        HandlerRegistry::new().register("echo", move |text: String, request: Request| async move {
            let detail = match &*text {
                "slow" => {
                    sleep(Duration::from_millis(500)).await;
                    "\"slow\"".to_owned()
                }
                "fail" => "division by zero".to_owned(),
                text => serde_json::to_string(text).unwrap(),
            };
            let body = serde_json::to_vec(&serde_json::json!({ "detail": detail })).unwrap();
            let reply_to = request.0.reply_to().unwrap();
            // without a correlation id
            let reply = publisher.to(reply_to).body(body).allow_unroutable();
            reply.send().await
        })
    })
    .await;
    let client = client.python_replies();
    let call = async |text| client.call::<_, String>(&queue, "echo", text).await;
    let error = call("fail").await.unwrap_err();
    let CallError::Remote(error) = error else {
        panic!("{error}");
    };
    assert_eq!(
        (error.code(), error.message()),
        ("error", "division by zero")
    );
    // a late reply is not taken for that of the next call
    assert!(
        timeout(Duration::from_millis(200), call("slow"))
            .await
            .is_err()
    );
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        let (first, second) = tokio::join!(call("first"), call("second"));
        assert_eq!(
            (first.unwrap(), second.unwrap()),
            ("first".into(), "second".into())
        );
    }
    client.close().await;
    app.shut_down().await.unwrap();
}
