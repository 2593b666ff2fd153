use super::*;

fn copied(header: &str, queues: &[&str]) -> Message {
    let queues: Vec<Value> = queues.iter().map(|queue| Value::from(*queue)).collect();
    Message::new("a").with_header(header, queues).unwrap()
}

#[test]
fn a_message_reaches_each_queue_that_cc_names_once() {
    let broker = broker();
    broker.declare_queue("q", []).unwrap();
    broker.declare_queue("other", []).unwrap();
    broker
        .publish("q", copied("CC", &["other", "q", "other", "missing"]))
        .unwrap();
    assert_eq!(broker.ready_count("q"), 1);
    assert_eq!(broker.ready_count("other"), 1);
    assert!(broker.get("other").unwrap().headers().contains("CC"));
}

#[test]
fn nobody_sees_whom_bcc_names() {
    let broker = broker();
    broker.declare_queue("other", []).unwrap();
    let message = copied("BCC", &["other"]).with_header("kept", 1).unwrap();
    broker.publish("missing", message).unwrap();
    let message = broker.get("other").unwrap();
    assert!(!message.headers().contains("BCC"));
    assert!(message.headers().contains("kept"));
}

#[test]
fn a_message_that_reaches_none_of_its_queues_is_unroutable() {
    let broker = broker();
    let error = broker.publish("q", copied("CC", &["other"])).unwrap_err();
    assert!(matches!(error, MemoryError::Unroutable(key) if key == "q"));
}

#[test]
fn cc_has_to_be_an_array() {
    let message = Message::new("a").with_header("CC", "other").unwrap();
    let error = broker().publish("q", message).unwrap_err();
    assert!(matches!(error, MemoryError::NotAnArray("CC")));
}
