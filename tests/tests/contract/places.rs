//! Keys in the body and where a function finds them, and messages without any.

use std::sync::Arc;

use ploomby::extract::{Key, RawBody};
use ploomby::{
    HandlerRegistry, KeySource, Message, Properties, PublishError, Publisher, Queue, Reason,
};
use ploomby_tests::{Bed, KEY, seen};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Envelope {
    data: u32,
}

fn typed(content_type: &str, body: impl Into<Vec<u8>>) -> Message {
    let properties = Properties::new().with_content_type(content_type).unwrap();
    Message::new(body.into()).with_properties(properties)
}

pub(crate) async fn a_field_of_the_body_names_the_handler(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let note = move |Key(key): Key, envelope: Envelope| async move {
        seen.note(format!("{key} {}", envelope.data));
    };
    let handlers = HandlerRegistry::new()
        .register("create", note)
        .register("7", note);
    let set_up = Queue::new(&queue).key(KeySource::field("event.type"));
    let app = bed.start_queue(set_up, handlers).await;
    let text = json!({"before": [1, {"type": "no"}], "event": {"type": "create"}, "data": 1});
    let number = json!({"event": {"type": 7}, "data": 2});
    let list = json!({"event": {"type": ["create", "other"]}, "data": 3});
    let pack = |value| rmp_serde::to_vec_named(value).unwrap();
    for (message, noted) in [
        (Message::new(text.to_string()), "create 1"),
        (Message::new(number.to_string()), "7 2"),
        (Message::new(list.to_string()), "create 3"),
        (typed("application/msgpack", pack(&text)), "create 1"),
        (typed("application/msgpack", pack(&number)), "7 2"),
        (
            typed("application/cbor", serde_cbor_2::to_vec(&list).unwrap()),
            "create 3",
        ),
    ] {
        bed.publish(&queue, message).await;
        assert_eq!(handled.next_note().await, noted);
    }
    let properties = Properties::new().with_content_encoding("gzip").unwrap();
    let packed = super::payloads::gzip(text.to_string().as_bytes());
    bed.publish(&queue, Message::new(packed).with_properties(properties))
        .await;
    assert_eq!(handled.next_note().await, "create 1");
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_body_without_a_key_says_what_is_there(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let handlers = HandlerRegistry::new().register("create", async || {});
    let set_up = Queue::new(&queue).key(KeySource::field("type"));
    let app = bed.start_queue(set_up, handlers).await;
    for (message, reason, error) in [
        (
            Message::new("{}"),
            Reason::MissingKey,
            "the message has no field `type` in its body, which names the handler",
        ),
        (
            Message::new(r#"{"type": {}}"#),
            Reason::InvalidKey,
            "the field `type` of the body names the handler, but holds a map instead of text or a number",
        ),
        (
            Message::new("create"),
            Reason::Undecodable,
            "the field `type` of the body names the handler, and cannot be looked for: ",
        ),
        (
            typed("text/xml", "<type>create</type>"),
            Reason::UnsupportedContentType,
            "cannot be looked for: the content type \"text/xml\" is not known",
        ),
    ] {
        bed.publish(&queue, message).await;
        let letter = bed.dead_letter(&queue).await;
        let text = letter.text("ploomby-error");
        assert!(text.contains(error), "{text}");
        assert_eq!(letter.text("ploomby-reason"), reason.as_str(), "{text}");
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_function_of_the_program_finds_the_key(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("create", async move || seen.note("created"));
    let key = KeySource::from_fn(|delivery| {
        let text = std::str::from_utf8(delivery.body()).ok()?;
        Some(text.split_once(' ')?.0.into())
    });
    let app = bed
        .start_queue(
            Queue::new(&queue).key(key.or(KeySource::header(KEY))),
            handlers,
        )
        .await;
    bed.publish(&queue, Message::new("create 7")).await;
    assert_eq!(handled.next_note().await, "created");
    // the next place
    bed.send(&queue, "create", "7").await;
    assert_eq!(handled.next_note().await, "created");
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_sender_has_the_key_in_the_payload(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("create", async move || seen.note("created"));
    let key = KeySource::field("type");
    let app = bed
        .start_queue(Queue::new(&queue).key(key.clone()), handlers)
        .await;
    let publisher = Publisher::connect(bed.url()).await.unwrap().key(key);
    let payload = json!({"type": "create"});
    publisher.send(&queue, "create", &payload).await.unwrap();
    assert_eq!(handled.next_note().await, "created");
    let refused = publisher.send(&queue, "delete", &payload).await;
    let Err(PublishError::Invalid(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(
        error.to_string(),
        "the key \"delete\" is read in the field `type` of the body, and it holds \"create\": send a payload that holds \
         the key there"
    );
    app.shut_down().await.unwrap();
}

pub(crate) async fn the_default_handler_takes_messages_without_a_key(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register("known", async || {})
        .register_default(move |key: Option<Key>, RawBody(body): RawBody| async move {
            seen.note(format!("{:?} {body:?}", key.as_deref()));
        });
    let app = bed.start(&queue, handlers).await;
    bed.publish(&queue, Message::new("nameless")).await;
    assert_eq!(handled.next_note().await, r#"None b"nameless""#);
    bed.send(&queue, "other", "named").await;
    assert_eq!(handled.next_note().await, r#"Some("other") b"named""#);
    // what cannot be read is no missing key
    let unreadable = Message::new("").with_header(KEY, true).unwrap();
    bed.publish(&queue, unreadable).await;
    let letter = bed.dead_letter(&queue).await;
    assert_eq!(letter.text("ploomby-reason"), Reason::InvalidKey.as_str());
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_default_handler_that_takes_the_key_refuses_a_message_without(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let handlers = HandlerRegistry::new().register_default(|Key(_): Key| async {});
    let app = bed.start(&queue, handlers).await;
    bed.publish(&queue, Message::new("")).await;
    let letter = bed.dead_letter(&queue).await;
    assert_eq!(letter.text("ploomby-reason"), Reason::MissingKey.as_str());
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_key_that_no_handler_has_is_told_with_those_that_are_near(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let handlers = HandlerRegistry::new()
        .register("create_user", async || {})
        .register("delete_user", async || {});
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "CreateUsr", "").await;
    let letter = bed.dead_letter(&queue).await;
    let text = letter.text("ploomby-error");
    assert!(text.contains("close to it: `create_user`;"), "{text}");
    let found = "its property `type` is `create_user`, and the queue looks for keys in the header";
    let typed = Properties::new().with_message_type("create_user").unwrap();
    let keyed = Message::new("").with_properties(typed.clone());
    for message in [keyed.clone(), keyed.with_header(KEY, "x.y.z").unwrap()] {
        bed.publish(&queue, message).await;
        let letter = bed.dead_letter(&queue).await;
        let text = letter.text("ploomby-error");
        assert!(text.contains(found), "{text}");
    }
    for (message, found) in [
        (
            Message::new("").with_header("task", "delete_user").unwrap(),
            "its header `task` is `delete_user`",
        ),
        (
            Message::new(r#"{"pattern": "delete_user"}"#),
            "its field `pattern` is `delete_user`",
        ),
    ] {
        bed.publish(&queue, message).await;
        let letter = bed.dead_letter(&queue).await;
        let text = letter.text("ploomby-error");
        assert!(text.contains(found), "{text}");
    }
    app.shut_down().await.unwrap();
}
