use super::*;
use crate::message::Properties;

fn refusal(message: Message) -> MemoryError {
    let broker = broker();
    broker.declare_queue("q", []).unwrap();
    let error = broker.publish("q", message).unwrap_err();
    assert_eq!(broker.ready_count("q"), 0);
    error
}

#[test]
fn a_queue_is_declared_again_only_with_the_same_arguments() {
    let broker = broker();
    let ttl = |ttl: i32| arguments([("x-message-ttl", ttl.into())]);
    broker.declare_queue("q", ttl(1000)).unwrap();
    broker.declare_queue("q", ttl(1000)).unwrap();
    let error = broker
        .declare_queue("q", ttl(2000))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(
            "inequivalent arg 'x-message-ttl' for queue 'q': received the value '2000' but \
             current is the value '1000'"
        ),
        "{error}"
    );
    let error = broker.declare_queue("q", []).unwrap_err().to_string();
    assert!(
        error.contains("received none but current is the value '1000'"),
        "{error}"
    );
}

#[test]
fn a_body_may_have_16_mebibytes() {
    let broker = broker();
    broker.declare_queue("q", []).unwrap();
    broker
        .publish("q", Message::new(vec![0; 16 << 20]))
        .unwrap();
    let error = refusal(Message::new(vec![0; (16 << 20) + 1]));
    assert!(matches!(error, MemoryError::BodyTooLarge(16_777_217)));
}

#[test]
fn headers_that_do_not_fit_one_frame_are_refused() {
    let message = Message::new("")
        .with_header("h", "x".repeat(131_072))
        .unwrap();
    assert!(matches!(
        refusal(message),
        MemoryError::PropertiesTooLarge(_)
    ));
}

#[test]
fn a_user_id_has_to_be_the_connections() {
    let message =
        |user| Message::new("").with_properties(Properties::new().with_user_id(user).unwrap());
    assert!(matches!(refusal(message("ada")), MemoryError::UserId));
    let broker = broker();
    broker.declare_queue("q", []).unwrap();
    broker.publish("q", message("guest")).unwrap();
}

#[test]
fn an_expiration_that_rabbitmq_does_not_take_is_refused() {
    let after = Duration::from_millis(315_360_000_001);
    let message = Message::new("").with_properties(Properties::new().with_expiration(after));
    assert!(matches!(refusal(message), MemoryError::InvalidExpiration));

    for text in ["", "soon", "1.5", "-1", "10s"] {
        let properties = Properties::new().with_raw_expiration(text);
        let message = Message::new("").with_properties(properties);
        assert!(
            matches!(refusal(message), MemoryError::InvalidExpiration),
            "{text:?}"
        );
    }
}

#[test]
fn a_message_without_its_queue_is_unroutable_and_a_long_name_is_an_error() {
    let broker = broker();
    let error = broker.publish("missing", Message::new("")).unwrap_err();
    assert!(matches!(error, MemoryError::Unroutable(queue) if queue == "missing"));
    let error = broker
        .publish(&"q".repeat(256), Message::new(""))
        .unwrap_err();
    assert!(matches!(error, MemoryError::TooLong(_)));
}
