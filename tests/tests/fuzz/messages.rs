use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ploomby::extract::RawBody;
use ploomby::memory::MemoryBroker;
use ploomby::{
    App, Delivery, HandlerOptions, HandlerRegistry, KeySource, Message, Outcome, Properties, Queue,
    Reason, Retry, Value,
};
use ploomby_tests::{KEY, Received, unique_name};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::values::{headers, properties, value};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_message_is_handled_or_kept_as_it_was(
        messages in vec(message(), 1..4),
        key in prop_oneof![
            2 => Just(KeySource::header(KEY)),
            1 => Just(KeySource::MessageType),
            1 => Just(KeySource::RoutingKey),
        ],
    ) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(handle(messages, key));
    }

    #[test]
    fn any_message_can_be_looked_at(properties in properties(), headers in headers()) {
        let mut message = Message::new("1").with_properties(properties);
        for (name, value) in headers {
            message = message.with_header(&name, value).expect("short names");
        }
        let delivery = Delivery::new(message).routed("exchange", "key");
        prop_assert!(delivery.attempt() >= 1);
        let shown = format!("{delivery:?}{:?}{:?}", delivery.key(), delivery.is_redelivered());
        prop_assert!(!shown.is_empty());
        for (name, value) in delivery.headers().iter() {
            prop_assert_eq!(delivery.headers().get(name), Some(value));
        }
    }
}

/// A message, and by the first byte of its body what its handler does.
#[derive(Clone, Debug)]
struct Random {
    message: Message,
}

fn message() -> impl Strategy<Value = Random> {
    let key = prop_oneof![
        3 => prop::sample::select(vec!["known", "also known", "other"])
            .prop_map(|key| Some(Value::from(key))),
        1 => value().prop_map(Some),
        1 => Just(None),
    ];
    // what fills a frame nearly or altogether, a few times
    let filling = prop_oneof![
        19 => Just(None),
        1 => (130_500_usize..131_052).prop_map(Some),
    ];
    let body = (0_u8..5, vec(any::<u8>(), 0..20));
    (properties(), headers(), key, filling, body).prop_map(
        |(properties, headers, key, filling, (what, rest))| {
            let body: Vec<u8> = std::iter::once(what).chain(rest).collect();
            let mut message = Message::new(body).with_properties(properties);
            let key = key.map(|key| (KEY.to_owned(), key));
            let filling = filling.map(|len| ("filling".to_owned(), "x".repeat(len).into()));
            for (name, value) in headers.into_iter().chain(key).chain(filling) {
                message = message.with_header(&name, value).expect("short names");
            }
            Random { message }
        },
    )
}

/// Sends the messages, and waits until each is handled or in the dead-letter queue.
async fn handle(messages: Vec<Random>, key: KeySource) {
    let name = unique_name("fuzz");
    let broker = MemoryBroker::named(&name);
    let acked: Arc<Mutex<HashSet<String>>> = Arc::default();
    let done = acked.clone();
    let requeued = Arc::new(AtomicU32::new(0));
    let decide = move |properties: Properties, RawBody(body): RawBody| {
        let (done, requeued) = (done.clone(), requeued.clone());
        async move {
            match body[0] {
                0 => {
                    let id = properties.message_id().expect("each has one");
                    done.lock().expect("no panic").insert(id.to_owned());
                    Ok(Outcome::Ack)
                }
                // a forged `x-delivery-count` never grows
                3 if requeued.fetch_add(1, Ordering::Relaxed) > 20 => Ok(Outcome::DeadLetter),
                1 => anyhow::bail!("no luck"),
                2 => Ok(Outcome::Retry),
                3 => Ok(Outcome::Requeue),
                _ => std::future::pending().await,
            }
        }
    };
    let options = HandlerOptions::new()
        .retry(Retry::fixed(3, Duration::from_millis(5)))
        .timeout(Duration::from_millis(7));
    let handlers = HandlerRegistry::new()
        .register_with("known", options.clone(), decide.clone())
        .register_with(
            "also known",
            options.clone().retry(Retry::none()),
            decide.clone(),
        )
        .register_default_with(
            options.retry(Retry::exponential(4).starting_at(Duration::from_millis(10))),
            decide,
        );
    let app = App::new(format!("memory://{name}"))
        .handlers(handlers)
        .queue(Queue::new(&name).key(key).max_deliveries(3))
        .start()
        .await
        .expect("it starts");

    let mut sent = HashMap::new();
    for (number, random) in messages.into_iter().enumerate() {
        let id = number.to_string();
        let properties = random
            .message
            .properties()
            .clone()
            .with_message_id(&id)
            .expect("short");
        let message = random.message.with_properties(properties);
        // what is refused has not been sent
        if broker.publish(&name, message.clone()).is_ok() {
            sent.insert(id, Received::from(message));
        }
    }
    let dead_letters = format!("{name}_dlq");
    let is_settled = || {
        let acked = acked.lock().expect("no panic").len();
        acked + broker.ready_count(&dead_letters) >= sent.len()
    };
    tokio::time::timeout(Duration::from_secs(600), async {
        while !is_settled() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("each message comes to an end");
    app.shut_down().await.expect("it stops");

    let acked = std::mem::take(&mut *acked.lock().expect("no panic"));
    for id in &acked {
        assert!(sent.remove(id).is_some(), "{id} was handled and never sent");
    }
    while let Some(dead) = broker.get(&dead_letters) {
        let dead = Received::from(dead);
        let id = dead.message_id.clone().expect("the copy keeps it");
        let original = sent.remove(&id).expect("kept once, and not handled");
        assert_same(&original, &dead);
    }
    assert!(sent.is_empty(), "{} lost", sent.len());
    for queue in [&name, &dead_letters] {
        assert_eq!(broker.ready_count(queue) + broker.unacked_count(queue), 0);
    }
}

/// The copy is the message, but for what says of its way.
fn assert_same(original: &Received, dead: &Received) {
    assert_eq!(foreign(&original.headers), foreign(&dead.headers));
    // headers that fill a frame leave no room for more
    if !original.headers.contains_key("filling") {
        let reason = Reason::from_name(dead.text("ploomby-reason"));
        assert!(reason.is_some(), "{:?}", dead.headers);
        if let Some(cc) = original.headers.get("CC") {
            assert_eq!(dead.headers.get("ploomby-CC"), Some(cc));
        }
        if let Some(expiration) = &original.expiration {
            assert_eq!(dead.text("ploomby-expiration"), expiration);
        }
    }
    let expected = Received {
        headers: dead.headers.clone(),
        expiration: None,
        persistent: true,
        ..original.clone()
    };
    assert_eq!(*dead, expected);
}

/// The headers that are neither ploomby's nor the broker's to write.
fn foreign(headers: &BTreeMap<String, Value>) -> BTreeMap<&str, &Value> {
    let of_others = ["CC", "BCC", "x-delivery-count", "x-acquired-count"];
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value));
    headers
        .filter(|(name, _)| !name.starts_with("ploomby-") && !of_others.contains(name))
        .collect()
}
