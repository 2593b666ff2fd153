use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use garde::Validate;
use ploomby::extract::{Protobuf, RawBody, Valid};
use ploomby::{Codec, HandlerRegistry, KeySource, Message, Properties, Queue, Reason};
use ploomby_tests::{Bed, DEADLINE, Handled, KEY, Received, Seen, eventually, seen};
use prost::Message as _;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct User {
    name: String,
    address: Address,
}

#[derive(Deserialize, Serialize)]
struct Address {
    street: String,
}

#[derive(prost::Message)]
struct ProtoUser {
    #[prost(string, tag = "1")]
    name: String,
}

fn user() -> User {
    User {
        name: "Ada".to_owned(),
        address: Address {
            street: "Main".to_owned(),
        },
    }
}

fn proto_user() -> Vec<u8> {
    let name = "Ada".to_owned();
    ProtoUser { name }.encode_to_vec()
}

/// A payload that no sender knows to be one.
#[derive(Serialize)]
struct WrongAddress {
    name: &'static str,
    address: HashMap<&'static str, u32>,
}

fn wrong_user() -> WrongAddress {
    WrongAddress {
        name: "Ada",
        address: HashMap::from([("street", 5)]),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn msgpack(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

fn cbor(value: &impl Serialize) -> Vec<u8> {
    serde_cbor_2::to_vec(value).unwrap()
}

pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::encode_all(body, 3).unwrap()
}

fn message(key: &str, properties: Properties, body: impl Into<Vec<u8>>) -> Message {
    Message::new(body.into())
        .with_properties(properties)
        .with_header(KEY, key)
        .unwrap()
}

fn typed(content_type: &str, body: impl Into<Vec<u8>>) -> Message {
    let properties = Properties::new().with_content_type(content_type).unwrap();
    message("user", properties, body)
}

fn encoded(content_encoding: &str, body: impl Into<Vec<u8>>) -> Message {
    let properties = Properties::new()
        .with_content_encoding(content_encoding)
        .unwrap();
    message("user", properties, body)
}

fn handlers(seen: &'static Seen) -> HandlerRegistry {
    HandlerRegistry::new()
        .register("user", move |user: User| async move {
            seen.note(format!("{} of {}", user.name, user.address.street));
        })
        .register(
            "protobuf",
            move |Protobuf(user): Protobuf<ProtoUser>| async move { seen.note(user.name) },
        )
        .register("valid", move |Valid(order): Valid<Order>| async move {
            seen.note(format!("{} items", order.items.len()));
        })
        .register("raw", move |RawBody(body): RawBody| async move {
            seen.note(format!("{body:?}"));
        })
}

fn on(queue: &str) -> Queue {
    Queue::new(queue).key(KeySource::header(KEY))
}

/// Publishes a message to an app, and returns what the handler noted.
async fn handled(bed: &Bed, message: Message) -> String {
    let queue = bed.queue_name();
    handled_on(bed, on(&queue), &queue, message).await
}

async fn handled_on(bed: &Bed, settings: Queue, queue: &str, message: Message) -> String {
    let (seen, mut handled): (_, Handled) = seen();
    let app = bed.start_queue(settings, handlers(seen)).await;
    bed.publish(queue, message).await;
    let note = handled.next_note().await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
    note
}

/// Publishes a message that is not handled, and returns its dead letter, which has the body as it
/// was sent.
async fn refused(bed: &Bed, reason: Reason, message: Message) -> Received {
    let queue = bed.queue_name();
    refused_on(bed, on(&queue), &queue, reason, message).await
}

async fn refused_on(
    bed: &Bed,
    settings: Queue,
    queue: &str,
    reason: Reason,
    message: Message,
) -> Received {
    let (seen, handled) = seen();
    let body = message.body().clone();
    let app = bed.start_queue(settings, handlers(seen)).await;
    bed.publish(queue, message).await;
    let dead_letter = bed.dead_letter(queue).await;
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
    let error = dead_letter.text("ploomby-error");
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        reason.as_str(),
        "{error}"
    );
    assert_eq!(dead_letter.body, body);
    dead_letter
}

pub(crate) async fn the_content_type_names_the_codec(bed: Arc<Bed>) {
    for (content_type, body) in [
        ("application/json", json(&user())),
        ("Application/JSON; charset=UTF-8", json(&user())),
        ("application/vnd.masstransit+json", json(&user())),
        ("application/msgpack", msgpack(&user())),
        // structs as arrays
        ("application/x-msgpack", rmp_serde::to_vec(&user()).unwrap()),
        ("application/vnd.msgpack; v=1", msgpack(&user())),
        ("application/cbor", cbor(&user())),
        ("application/senml+cbor", cbor(&user())),
    ] {
        assert_eq!(
            handled(&bed, typed(content_type, body)).await,
            "Ada of Main",
            "{content_type}"
        );
    }
}

pub(crate) async fn a_protobuf_payload_takes_its_own_type_and_none(bed: Arc<Bed>) {
    for content_type in [
        "application/protobuf",
        "application/x-protobuf",
        "application/vnd.google.protobuf",
        "application/octet-stream",
        "",
    ] {
        let properties = Properties::new().with_content_type(content_type).unwrap();
        let sent = message("protobuf", properties, proto_user());
        assert_eq!(handled(&bed, sent).await, "Ada", "{content_type}");
    }
    let sent = message("protobuf", Properties::new(), proto_user());
    assert_eq!(handled(&bed, sent).await, "Ada");
}

pub(crate) async fn a_message_that_says_nothing_is_decoded_as_its_queue_says(bed: Arc<Bed>) {
    for (codec, body) in [
        (Codec::Json, json(&user())),
        (Codec::MessagePack, msgpack(&user())),
        (Codec::Cbor, cbor(&user())),
    ] {
        for content_type in [
            None,
            Some(""),
            Some("text/plain"),
            Some("application/octet-stream"),
        ] {
            let queue = bed.queue_name();
            let sent = match content_type {
                Some(content_type) => typed(content_type, body.clone()),
                None => message("user", Properties::new(), body.clone()),
            };
            let note = handled_on(&bed, on(&queue).codec(codec), &queue, sent).await;
            assert_eq!(note, "Ada of Main", "{codec:?} {content_type:?}");
        }
    }
    // what a message says counts more
    let queue = bed.queue_name();
    let sent = typed("application/json", json(&user()));
    let note = handled_on(&bed, on(&queue).codec(Codec::Cbor), &queue, sent).await;
    assert_eq!(note, "Ada of Main");
}

pub(crate) async fn a_content_type_that_is_not_known_goes_to_the_dead_letter_queue(bed: Arc<Bed>) {
    for (content_type, error) in [
        ("text/xml", "`application/msgpack`"),
        (
            "application/json; charset=latin1",
            "charset other than UTF-8",
        ),
        ("application/protobuf", "`Protobuf<T>`"),
    ] {
        let reason = Reason::UnsupportedContentType;
        let dead_letter = refused(&bed, reason, typed(content_type, json(&user()))).await;
        let text = dead_letter.text("ploomby-error");
        assert!(text.contains(error), "{text}");
        assert_eq!(dead_letter.content_type.as_deref(), Some(content_type));
    }
    let properties = Properties::new()
        .with_content_type("application/json")
        .unwrap();
    let sent = message("protobuf", properties, "{}");
    let dead_letter = refused(&bed, Reason::UnsupportedContentType, sent).await;
    assert!(
        dead_letter
            .text("ploomby-error")
            .contains("application/protobuf")
    );
}

pub(crate) async fn an_undecodable_body_of_any_codec_names_the_field(bed: Arc<Bed>) {
    for (content_type, body) in [
        ("application/json", json(&wrong_user())),
        ("application/msgpack", msgpack(&wrong_user())),
        ("application/cbor", cbor(&wrong_user())),
    ] {
        let dead_letter = refused(&bed, Reason::Undecodable, typed(content_type, body)).await;
        let text = dead_letter.text("ploomby-error");
        assert!(text.starts_with("field `address.street`: "), "{text}");
    }
    let properties = Properties::new()
        .with_content_type("application/protobuf")
        .unwrap();
    // field 1 is text of one byte, which is not UTF-8
    let sent = message("protobuf", properties, [0x0a, 1, 0xff]);
    let dead_letter = refused(&bed, Reason::Undecodable, sent).await;
    assert!(dead_letter.text("ploomby-error").contains("ProtoUser.name"));
}

pub(crate) async fn a_broken_body_of_any_codec_goes_to_the_dead_letter_queue(bed: Arc<Bed>) {
    for (content_type, good) in [
        ("application/json", json(&user())),
        ("application/msgpack", msgpack(&user())),
        ("application/cbor", cbor(&user())),
    ] {
        let cut = good[..good.len() - 3].to_vec();
        let trailing = [&*good, &[1]].concat();
        for body in [Vec::new(), cut, trailing] {
            refused(&bed, Reason::Undecodable, typed(content_type, body)).await;
        }
    }
}

#[derive(Deserialize)]
struct Borrowing<'a> {
    name: &'a str,
}

/// What the linked handler saw, of all tests of this process.
static BORROWED: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[ploomby::handler("borrow what was encoded")]
async fn borrow(user: Borrowing<'_>) {
    // what is borrowed from is still there after a wait
    tokio::task::yield_now().await;
    BORROWED.lock().unwrap().push(user.name.to_owned());
}

pub(crate) async fn a_payload_borrows_from_a_body_of_any_codec_also_a_compressed_one(
    bed: Arc<Bed>,
) {
    for (at, content_type, content_encoding) in [
        (0, "application/json", "gzip"),
        (1, "application/msgpack", ""),
        (2, "application/msgpack", "zstd"),
        (3, "application/cbor", ""),
        (4, "application/cbor", "deflate"),
    ] {
        let queue = bed.queue_name();
        let name = format!("{queue} {at}");
        let user = HashMap::from([("name", &name)]);
        let body = match content_type {
            "application/json" => json(&user),
            "application/msgpack" => msgpack(&user),
            _ => cbor(&user),
        };
        let body = match content_encoding {
            "gzip" => gzip(&body),
            "zstd" => zstd(&body),
            "deflate" => deflate(&body),
            _ => body,
        };
        let properties = Properties::new()
            .with_content_type(content_type)
            .and_then(|properties| properties.with_content_encoding(content_encoding))
            .unwrap();
        let app = bed.start(&queue, HandlerRegistry::linked()).await;
        let sent = message("borrow what was encoded", properties, body);
        bed.publish(&queue, sent).await;
        eventually(DEADLINE, async || BORROWED.lock().unwrap().contains(&name)).await;
        app.shut_down().await.unwrap();
    }
}

/// Arrays in arrays, of any depth.
#[derive(Deserialize)]
struct Nested(#[serde(rename = "inner")] Vec<Nested>);

pub(crate) async fn a_body_nested_without_end_does_not_end_the_program(bed: Arc<Bed>) {
    const DEPTH: usize = 200_000;
    for (content_type, array_of_one) in [
        ("application/json", b'['),
        ("application/msgpack", 0x91),
        ("application/cbor", 0x81),
    ] {
        let queue = bed.queue_name();
        let handlers = HandlerRegistry::new()
            .register("user", |Nested(inner): Nested| async move { drop(inner) });
        let app = bed.start_queue(on(&queue), handlers).await;
        bed.publish(&queue, typed(content_type, vec![array_of_one; DEPTH]))
            .await;
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(
            dead_letter.text("ploomby-reason"),
            Reason::Undecodable.as_str()
        );
        app.shut_down().await.unwrap();
    }
}

pub(crate) async fn a_compressed_body_is_decompressed(bed: Arc<Bed>) {
    let body = json(&user());
    for (content_encoding, body) in [
        ("gzip", gzip(&body)),
        ("X-GZIP", gzip(&body)),
        ("gzip:utf-8", gzip(&body)),
        ("deflate", deflate(&body)),
        ("zstd", zstd(&body)),
        ("identity", body.clone()),
        ("utf-8", body.clone()),
        ("", body.clone()),
    ] {
        assert_eq!(
            handled(&bed, encoded(content_encoding, body)).await,
            "Ada of Main",
            "{content_encoding}"
        );
    }
    let properties = Properties::new()
        .with_content_type("application/protobuf")
        .and_then(|properties| properties.with_content_encoding("gzip"))
        .unwrap();
    let sent = message("protobuf", properties, gzip(&proto_user()));
    assert_eq!(handled(&bed, sent).await, "Ada");
}

pub(crate) async fn a_raw_body_is_not_decompressed(bed: Arc<Bed>) {
    let properties = Properties::new()
        .with_content_encoding("identity, br")
        .unwrap();
    let sent = message("raw", properties, "as it was");
    assert_eq!(handled(&bed, sent).await, r#"b"as it was""#);
}

pub(crate) async fn a_content_encoding_that_is_not_known_goes_to_the_dead_letter_queue(
    bed: Arc<Bed>,
) {
    let reason = Reason::UnsupportedContentEncoding;
    let dead_letter = refused(&bed, reason, encoded("br", json(&user()))).await;
    let text = dead_letter.text("ploomby-error");
    assert!(text.contains("\"br\"") && text.contains("`zstd`"), "{text}");
}

pub(crate) async fn a_body_that_does_not_decompress_goes_to_the_dead_letter_queue(bed: Arc<Bed>) {
    let body = json(&user());
    for (content_encoding, good) in [
        ("gzip", gzip(&body)),
        ("deflate", deflate(&body)),
        ("zstd", zstd(&body)),
    ] {
        let cut = good[..good.len() - 3].to_vec();
        for broken in [body.clone(), cut] {
            let sent = encoded(content_encoding, broken);
            let dead_letter = refused(&bed, Reason::Undecodable, sent).await;
            let text = dead_letter.text("ploomby-error");
            assert!(text.contains("decompress"), "{content_encoding}: {text}");
        }
    }
}

pub(crate) async fn a_body_that_grows_beyond_the_limit_is_refused(bed: Arc<Bed>) {
    let spaces = vec![b' '; 20 * 1024 * 1024];
    for (content_encoding, bomb) in [
        ("gzip", gzip(&spaces)),
        ("deflate", deflate(&spaces)),
        ("zstd", zstd(&spaces)),
    ] {
        let sent = encoded(content_encoding, bomb);
        let dead_letter = refused(&bed, Reason::TooLarge, sent).await;
        let text = dead_letter.text("ploomby-error");
        assert!(text.contains("16777216"), "{content_encoding}: {text}");
    }
}

pub(crate) async fn the_limit_after_decompression_can_be_chosen(bed: Arc<Bed>) {
    let body = json(&user());
    let sent = encoded("gzip", gzip(&body));
    let queue = bed.queue_name();
    let settings = on(&queue).max_decompressed_size(body.len());
    let note = handled_on(&bed, settings, &queue, sent.clone()).await;
    assert_eq!(note, "Ada of Main");
    let queue = bed.queue_name();
    let settings = on(&queue).max_decompressed_size(body.len() - 1);
    refused_on(&bed, settings, &queue, Reason::TooLarge, sent).await;
}

#[derive(Deserialize, Validate)]
struct Order {
    #[garde(length(min = 1))]
    customer: String,
    #[garde(length(min = 1), dive)]
    items: Vec<Item>,
}

#[derive(Deserialize, Validate)]
struct Item {
    #[garde(range(min = 1, max = 100))]
    count: u32,
}

pub(crate) async fn a_valid_payload_is_handled(bed: Arc<Bed>) {
    let body = r#"{"customer": "Ada", "items": [{"count": 1}, {"count": 100}]}"#;
    let sent = message("valid", Properties::new(), body);
    assert_eq!(handled(&bed, sent).await, "2 items");
}

pub(crate) async fn an_invalid_payload_names_each_field(bed: Arc<Bed>) {
    let body = r#"{"customer": "", "items": [{"count": 1}, {"count": 101}]}"#;
    let sent = message("valid", Properties::new(), body);
    let dead_letter = refused(&bed, Reason::Invalid, sent).await;
    let text = dead_letter.text("ploomby-error");
    assert_eq!(
        text,
        "field `customer`: length is lower than 1; field `items[1].count`: greater than 100"
    );
    // what cannot be decoded is not called invalid
    let sent = message("valid", Properties::new(), r#"{"customer": 1}"#);
    refused(&bed, Reason::Undecodable, sent).await;
}

pub(crate) async fn an_error_that_names_a_million_fields_is_cut(bed: Arc<Bed>) {
    let items = vec![r#"{"count":0}"#; 100_000].join(",");
    let body = format!(r#"{{"customer":"Ada","items":[{items}]}}"#);
    let dead_letter = refused(
        &bed,
        Reason::Invalid,
        message("valid", Properties::new(), body),
    )
    .await;
    let text = dead_letter.text("ploomby-error");
    assert!(text.contains("`items[99].count`"), "{text}");
    assert!(text.ends_with("; 99900 more"), "{text}");
}
