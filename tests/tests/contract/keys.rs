use std::sync::Arc;

use ploomby::extract::Key;
use ploomby::{HandlerRegistry, KeySource, Message, Properties, Queue, Value};
use ploomby_tests::{Bed, KEY, seen};

pub(crate) async fn text_in_a_header_names_the_handler(bed: Arc<Bed>) {
    handles_by_header(bed, "greet".into(), "greet").await;
}

pub(crate) async fn a_number_in_a_header_reads_as_its_digits(bed: Arc<Bed>) {
    handles_by_header(bed.clone(), Value::I32(-42), "-42").await;
    handles_by_header(bed.clone(), Value::U8(7), "7").await;
    handles_by_header(bed.clone(), Value::I64(1 << 40), "1099511627776").await;
    handles_by_header(bed.clone(), Value::F64(2.5), "2.5").await;
    let decimal = Value::Decimal {
        scale: 2,
        unscaled: 314,
    };
    handles_by_header(bed, decimal, "3.14").await;
}

pub(crate) async fn bytes_in_a_header_read_as_text(bed: Arc<Bed>) {
    handles_by_header(bed, Value::Bytes(b"greet".to_vec()), "greet").await;
}

async fn handles_by_header(bed: Arc<Bed>, header: Value, key: &str) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers =
        HandlerRegistry::new().register(key, move |Key(key): Key| async move { seen.note(key) });
    let app = bed.start(&queue, handlers).await;
    let message = Message::new("null").with_header(KEY, header).unwrap();
    bed.publish(&queue, message).await;
    assert_eq!(handled.next_note().await, key);
    app.shut_down().await.unwrap();
}

pub(crate) async fn the_property_type_names_the_handler(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register("greet", move |name: String| async move { seen.note(name) });
    let app = bed
        .start_queue(Queue::new(&queue).key(KeySource::MessageType), handlers)
        .await;
    let properties = Properties::new().with_message_type("greet").unwrap();
    let message = Message::new(r#""Ada""#).with_properties(properties);
    bed.publish(&queue, message).await;
    assert_eq!(handled.next_note().await, "Ada");
    app.shut_down().await.unwrap();
}

pub(crate) async fn the_routing_key_names_the_handler(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    // through the default exchange, the routing key is the queue's name
    let handlers =
        HandlerRegistry::new().register(&queue, move |name: String| async move { seen.note(name) });
    let app = bed
        .start_queue(Queue::new(&queue).key(KeySource::RoutingKey), handlers)
        .await;
    bed.publish(&queue, Message::new(r#""Ada""#)).await;
    assert_eq!(handled.next_note().await, "Ada");
    app.shut_down().await.unwrap();
}

pub(crate) async fn the_default_handler_takes_keys_that_no_other_has(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register("known", move || async move { seen.note("the known one") })
        .register_default(move |Key(key): Key| async move {
            seen.note(format!("default: {key}"));
        });
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "known", "").await;
    assert_eq!(handled.next_note().await, "the known one");
    bed.send(&queue, "other", "").await;
    assert_eq!(handled.next_note().await, "default: other");
    app.shut_down().await.unwrap();
}

pub(crate) async fn each_message_reaches_the_handler_of_its_key(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let mut handlers = HandlerRegistry::new();
    for number in 0..50_u32 {
        handlers = handlers.register(&format!("key-{number}"), move |payload: u32| async move {
            seen.note(format!("{number} {payload}"));
        });
    }
    let app = bed.start(&queue, handlers).await;
    for number in (0..50).chain((0..50).rev()) {
        bed.send(&queue, &format!("key-{number}"), number.to_string())
            .await;
    }
    for _ in 0..100 {
        let noted = handled.next_note().await;
        let (handler, payload) = noted.split_once(' ').unwrap();
        assert_eq!(handler, payload);
    }
    app.shut_down().await.unwrap();
}
