use super::*;

#[test]
fn a_queue_that_is_too_long_drops_its_head_to_the_dead_letter_queue() {
    let broker = broker();
    broker.declare_queue("dropped", []).unwrap();
    let short = arguments([
        ("x-max-length", 2.into()),
        ("x-dead-letter-exchange", "".into()),
        ("x-dead-letter-routing-key", "dropped".into()),
    ]);
    broker.declare_queue("q", short).unwrap();
    publish_all(&broker, "q", &["a", "b", "c"]);
    assert_eq!(get(&broker, "dropped").as_deref(), Some("a"));
    assert_eq!(get(&broker, "q").as_deref(), Some("b"));
    assert_eq!(broker.ready_count("q"), 1);
}

#[test]
fn a_full_queue_rejects_what_is_published_where_it_is_declared_so() {
    let broker = broker();
    let full = [
        ("x-max-length", 1.into()),
        ("x-overflow", "reject-publish".into()),
    ];
    broker.declare_queue("q", arguments(full)).unwrap();
    publish_all(&broker, "q", &["a"]);
    let error = broker.publish("q", Message::new("b")).unwrap_err();
    assert!(matches!(error, MemoryError::QueueFull(queue) if queue == "q"));
    assert_eq!(get(&broker, "q").as_deref(), Some("a"));
    publish_all(&broker, "q", &["c"]);
}

#[test]
fn a_purge_takes_what_is_ready() {
    let broker = broker();
    broker.declare_queue("q", []).unwrap();
    publish_all(&broker, "q", &["a", "b"]);
    assert_eq!(broker.purge_queue("q").unwrap(), 2);
    assert_eq!(broker.ready_count("q"), 0);
    broker.delete_queue("q");
    assert!(matches!(
        broker.purge_queue("q"),
        Err(MemoryError::NoSuchQueue(_))
    ));
}
