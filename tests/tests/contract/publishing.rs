use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ploomby::{
    Codec, HandlerRegistry, KeySource, Message, Properties, PublishError, Publisher, Queue, Value,
};
use ploomby_tests::{Bed, DEADLINE, eventually, seen, unique_name};
use serde::ser::Error;
use serde::{Deserialize, Serialize, Serializer};

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct User {
    name: String,
}

fn ada() -> User {
    User { name: "Ada".into() }
}

/// A publisher, and a queue that exists.
async fn publisher_and_queue(bed: &Bed) -> (Publisher, String) {
    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    (Publisher::connect(bed.url()).await.unwrap(), queue)
}

pub(crate) async fn a_sent_payload_reaches_its_handler(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("greet", move |user: User| async move {
        seen.note(user.name);
    });
    // neither side says where the key is
    let app = bed.start_queue(Queue::new(&queue), handlers).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    publisher.send(&queue, "greet", &ada()).await.unwrap();
    assert_eq!(handled.next_note().await, "Ada");
    publisher.close().await;
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_message_says_what_it_is(bed: Arc<Bed>) {
    let (publisher, queue) = publisher_and_queue(&bed).await;
    let mut ids = BTreeSet::new();
    for _ in 0..100 {
        publisher.send(&queue, "greet", &ada()).await.unwrap();
        let received = bed.next(&queue).await;
        assert_eq!(received.body, br#"{"name":"Ada"}"#);
        assert_eq!(received.content_type.as_deref(), Some("application/json"));
        assert_eq!(received.message_type.as_deref(), Some("greet"));
        assert!(received.persistent);
        // when it was sent, and nothing else
        assert_eq!(received.headers.len(), 1);
        assert!(matches!(received.headers["ploomby-sent-at"], Value::I64(_)));
        let id = received.message_id.unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "7"), "{id}");
        ids.insert(id);
    }
    assert_eq!(ids.len(), 100);
    let own = Properties::new()
        .with_message_id("mine")
        .unwrap()
        .transient();
    publisher
        .publish(&queue, Message::new("1").with_properties(own))
        .await
        .unwrap();
    let received = bed.next(&queue).await;
    assert_eq!(received.message_id.as_deref(), Some("mine"));
    assert!(!received.persistent);
    assert_eq!(received.content_type, None);
    publisher.close().await;
}

pub(crate) async fn the_key_stands_where_the_publisher_says(bed: Arc<Bed>) {
    let (publisher, queue) = publisher_and_queue(&bed).await;
    let by_header = publisher.clone().key(KeySource::header("task_name"));
    by_header.send(&queue, "greet", &ada()).await.unwrap();
    let received = bed.next(&queue).await;
    assert_eq!(received.text("task_name"), "greet");
    assert_eq!(received.message_type, None);

    let by_routing_key = publisher.clone().key(KeySource::RoutingKey);
    by_routing_key.send(&queue, &queue, &ada()).await.unwrap();
    assert_eq!(bed.next(&queue).await.message_type, None);
    let error = by_routing_key
        .send(&queue, "greet", &ada())
        .await
        .unwrap_err();
    assert!(matches!(error, PublishError::Invalid(_)), "{error}");
    assert!(bed.is_empty(&queue).await);
    publisher.close().await;
}

pub(crate) async fn headers_and_properties_arrive_as_they_were_set(bed: Arc<Bed>) {
    let (publisher, queue) = publisher_and_queue(&bed).await;
    let properties = Properties::new()
        .with_correlation_id("42")
        .and_then(|properties| properties.with_app_id("shop"))
        .and_then(|properties| properties.with_reply_to("answers"))
        .and_then(|properties| properties.with_header("old", 1))
        .unwrap()
        .with_timestamp(1_700_000_000);
    publisher
        .to(&queue)
        .key("greet")
        .payload(&ada())
        .properties(properties)
        .header("tenant", "acme")
        .header("shards", vec![Value::I32(1), Value::Void])
        .header("old", "new")
        .priority(3)
        .transient()
        .send()
        .await
        .unwrap();
    let received = bed.next(&queue).await;
    assert_eq!(received.correlation_id.as_deref(), Some("42"));
    assert_eq!(received.app_id.as_deref(), Some("shop"));
    assert_eq!(received.reply_to.as_deref(), Some("answers"));
    assert_eq!(received.message_type.as_deref(), Some("greet"));
    assert_eq!(received.content_type.as_deref(), Some("application/json"));
    assert_eq!(received.timestamp, Some(1_700_000_000));
    assert_eq!(received.priority, Some(3));
    assert!(!received.persistent);
    // with when it was sent
    assert_eq!(received.headers.len(), 4);
    assert_eq!(received.text("tenant"), "acme");
    assert_eq!(received.text("old"), "new");
    let shards = Value::Array(vec![Value::I32(1), Value::Void]);
    assert_eq!(received.headers["shards"], shards);
    publisher.close().await;
}

pub(crate) async fn the_body_is_encoded_as_the_publisher_says(bed: Arc<Bed>) {
    #[derive(prost::Message)]
    struct Greeting {
        #[prost(string, tag = "1")]
        name: String,
    }

    let (publisher, queue) = publisher_and_queue(&bed).await;
    let packed = publisher.clone().codec(Codec::MessagePack);
    packed.send(&queue, "greet", &ada()).await.unwrap();
    let received = bed.next(&queue).await;
    assert_eq!(
        received.content_type.as_deref(),
        Some("application/msgpack")
    );
    assert_eq!(
        rmp_serde::from_slice::<User>(&received.body).unwrap(),
        ada()
    );

    let cbor = publisher.to(&queue).codec(Codec::Cbor).payload(&ada());
    cbor.send().await.unwrap();
    let received = bed.next(&queue).await;
    assert_eq!(received.content_type.as_deref(), Some("application/cbor"));
    assert_eq!(
        serde_cbor_2::from_slice::<User>(&received.body).unwrap(),
        ada()
    );

    let greeting = Greeting { name: "Ada".into() };
    publisher
        .to(&queue)
        .protobuf(&greeting)
        .send()
        .await
        .unwrap();
    let received = bed.next(&queue).await;
    assert_eq!(
        received.content_type.as_deref(),
        Some("application/protobuf")
    );
    assert_eq!(received.body, b"\x0a\x03Ada");

    publisher.to(&queue).body("as it is").send().await.unwrap();
    let received = bed.next(&queue).await;
    assert_eq!(received.content_type, None);
    assert_eq!(received.body, b"as it is");
    publisher.close().await;
}

pub(crate) async fn a_message_that_reaches_no_queue_is_an_error(bed: Arc<Bed>) {
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let nowhere = unique_name("nowhere");
    let error = publisher.send(&nowhere, "greet", &ada()).await.unwrap_err();
    assert!(
        matches!(&error, PublishError::Unroutable(name) if *name == nowhere),
        "{error}"
    );
    let dropped = publisher.to(&nowhere).payload(&ada()).allow_unroutable();
    dropped.send().await.unwrap();
    publisher.close().await;
}

pub(crate) async fn a_full_queue_that_rejects_is_an_error(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let arguments = [
        ("x-max-length", Value::I32(5)),
        ("x-overflow", "reject-publish".into()),
    ];
    bed.declare(&queue, &arguments).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let mut refused = 0;
    for number in 0..20 {
        match publisher.send(&queue, "count", &number).await {
            Ok(()) => {}
            Err(PublishError::Refused(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    // RabbitMQ may take one or two more than it should
    let there = bed.take_all(&queue).await.len();
    assert_eq!(there + refused, 20);
    assert!((5..10).contains(&there), "{there}");
    publisher.send(&queue, "count", &20).await.unwrap();
    publisher.close().await;
}

pub(crate) async fn what_cannot_be_written_is_an_error(bed: Arc<Bed>) {
    struct Unwritable;

    impl Serialize for Unwritable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("it has no words"))
        }
    }

    let (publisher, queue) = publisher_and_queue(&bed).await;
    let long = "x".repeat(256);
    let invalid = [
        publisher.to(&queue).payload(&Unwritable),
        publisher.to(&queue).payload(&ada()).header(&long, 1),
        publisher.to(&queue).payload(&ada()).key(&long),
        publisher.to(&long).payload(&ada()),
    ];
    for message in invalid {
        let error = message.send().await.unwrap_err();
        assert!(matches!(error, PublishError::Invalid(_)), "{error}");
    }
    let error = publisher
        .send_all([
            publisher.to(&queue).payload(&ada()),
            publisher.to(&queue).payload(&Unwritable),
        ])
        .await
        .unwrap_err();
    let [(1, PublishError::Invalid(error))] = error.failed() else {
        panic!("{error}");
    };
    assert!(error.to_string().contains("it has no words"), "{error}");
    assert!(bed.is_empty(&queue).await);
    publisher.close().await;
}

pub(crate) async fn a_delayed_message_arrives_after_its_delay(bed: Arc<Bed>) {
    const DELAY: Duration = Duration::from_millis(700);

    let (publisher, queue) = publisher_and_queue(&bed).await;
    bed.remove_later(&format!("{queue}_delay_700ms"));
    let start = Instant::now();
    for name in ["first", "second"] {
        let delayed = publisher.to(&queue).key("greet").payload(name).delay(DELAY);
        delayed.send().await.unwrap();
    }
    publisher.send(&queue, "greet", "at once").await.unwrap();
    assert_eq!(bed.next(&queue).await.body, br#""at once""#);
    let delayed = bed.next(&queue).await;
    assert!(start.elapsed() >= DELAY, "{:?}", start.elapsed());
    assert_eq!(delayed.body, br#""first""#);
    assert_eq!(delayed.message_type.as_deref(), Some("greet"));
    assert_eq!(bed.next(&queue).await.body, br#""second""#);
    publisher.close().await;
}

pub(crate) async fn a_delay_that_cannot_be_kept_is_an_error(bed: Arc<Bed>) {
    const DELAY: Duration = Duration::from_secs(1);

    let (publisher, queue) = publisher_and_queue(&bed).await;
    let nowhere = unique_name("nowhere");
    let error = publisher
        .to(&nowhere)
        .delay(DELAY)
        .send()
        .await
        .unwrap_err();
    assert!(matches!(error, PublishError::Unroutable(name) if name == nowhere));
    let invalid = [
        publisher.to(&queue).delay(DELAY).expires_after(DELAY * 2),
        publisher.through("amq.direct", &queue).delay(DELAY),
        publisher.to(&"x".repeat(250)).delay(DELAY),
    ];
    for message in invalid {
        let error = message.send().await.unwrap_err();
        assert!(matches!(error, PublishError::Invalid(_)), "{error}");
    }
    publisher.close().await;
}

pub(crate) async fn a_message_expires(bed: Arc<Bed>) {
    let (publisher, queue) = publisher_and_queue(&bed).await;
    let short = publisher.to(&queue).payload("short");
    let short = short.expires_after(Duration::from_millis(50));
    short.send().await.unwrap();
    let long = publisher.to(&queue).payload("long");
    let long = long.expires_after(Duration::from_secs(600));
    long.send().await.unwrap();
    eventually(DEADLINE, async || bed.ready_count(&queue).await == 1).await;
    let received = bed.next(&queue).await;
    assert_eq!(received.body, br#""long""#);
    assert_eq!(received.expiration.as_deref(), Some("600000"));
    publisher.close().await;
}

pub(crate) async fn a_batch_arrives_in_order(bed: Arc<Bed>) {
    let (publisher, queue) = publisher_and_queue(&bed).await;
    let numbers: Vec<u32> = (0..1_000).collect();
    let batch = numbers
        .iter()
        .map(|number| publisher.to(&queue).key("count").payload(number));
    publisher.send_all(batch).await.unwrap();
    let received = bed.take_all(&queue).await.into_iter();
    let received: Vec<u32> = received
        .map(|message| serde_json::from_slice(&message.body).unwrap())
        .collect();
    assert_eq!(received, numbers);
    publisher.send_all([]).await.unwrap();
    publisher.close().await;
}

pub(crate) async fn a_batch_tells_which_messages_failed(bed: Arc<Bed>) {
    let (publisher, queue) = publisher_and_queue(&bed).await;
    let nowhere = unique_name("nowhere");
    let queues = [&queue, &nowhere, &queue, &nowhere, &queue];
    let batch = queues.map(|queue| publisher.to(queue).payload(queue));
    let error = publisher.send_all(batch).await.unwrap_err();
    let places: Vec<_> = error
        .failed()
        .iter()
        .map(|(at, error)| (*at, matches!(error, PublishError::Unroutable(_))))
        .collect();
    assert_eq!(places, [(1, true), (3, true)], "{error}");
    assert_eq!(bed.take_all(&queue).await.len(), 3);
    publisher.close().await;
}

pub(crate) async fn a_long_batch_is_read_as_it_is_sent(bed: Arc<Bed>) {
    const MESSAGES: usize = 4_000;

    struct Unwritable(usize);

    impl Serialize for Unwritable {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                3_000 => Err(S::Error::custom("it cannot be written")),
                number => serializer.serialize_u64(number as u64),
            }
        }
    }

    let (publisher, queue) = publisher_and_queue(&bed).await;
    let read = std::sync::atomic::AtomicUsize::new(0);
    let batch = (0..MESSAGES).map(|number| {
        read.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        publisher.to(&queue).payload(&Unwritable(number))
    });
    let error = publisher.send_all(batch).await.unwrap_err();
    let [(3_000, PublishError::Invalid(_))] = error.failed() else {
        panic!("{error}");
    };
    // those before it are sent, those behind it are not even written
    assert_eq!(read.into_inner(), 3_001);
    assert_eq!(bed.take_all(&queue).await.len(), 3_000);
    publisher.close().await;
}

pub(crate) async fn a_publisher_that_a_handler_may_do_without_is_there(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = ploomby_tests::seen();
    let work = move |publisher: Option<Publisher>| async move {
        seen.note(format!("{}", publisher.is_some()));
    };
    let handlers = HandlerRegistry::new().register("work", work);
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "work", "").await;
    assert_eq!(handled.next_note().await, "true");
    app.shut_down().await.unwrap();
}
