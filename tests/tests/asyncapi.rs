//! The contract of a program with handlers of all shapes, by the JSON schema of AsyncAPI itself
//! (`asyncapi/3.0.0.json`, of `@asyncapi/specs` 6.11.1, Apache-2.0).

use ploomby::extract::{Batch, Header, Protobuf, State, Valid};
use ploomby::{
    App, ErrorReply, HandlerOptions, HandlerRegistry, KeySource, OrderBy, Outcome, Queue, Reply,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An order of a customer.
#[derive(Deserialize, JsonSchema, Serialize)]
struct Order {
    id: u32,
    lines: Vec<Line>,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Deserialize, JsonSchema, Serialize)]
struct Line {
    article: String,
    #[serde(default)]
    gift: bool,
}

#[derive(Deserialize, JsonSchema, garde::Validate)]
struct Refund {
    #[garde(range(min = 1))]
    cents: u32,
}

#[derive(Deserialize, JsonSchema)]
struct Borrowed<'a> {
    name: &'a str,
}

#[derive(Deserialize, Serialize)]
struct Plain {
    secret: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Parcel {
    #[prost(uint32, tag = "1")]
    number: u32,
}

/// Takes the money for an order,
/// once.
///
/// What it says further.
#[ploomby::handler("order/charge", "pay", queue = "shop", retry = 3, timeout = "10s", ordered_by = OrderBy::field("customer.id"))]
async fn charge(order: Order, _header: Header<String>) -> Result<Order, ErrorReply> {
    Ok(order)
}

#[ploomby::handler("refund", queue = "shop")]
async fn refund(refund: Valid<Refund>) -> Reply<u32> {
    Reply(refund.cents)
}

#[ploomby::handler("many", queue = "shop")]
async fn many(batch: Batch<Line>) {
    drop(batch);
}

#[ploomby::handler("lent", queue = "shop")]
async fn lent(borrowed: Borrowed<'_>) -> Outcome {
    println!("{}", borrowed.name);
    Outcome::Ack
}

#[ploomby::handler("text", queue = "shop")]
async fn text(
    text: &str,
    _state: State<String>,
) -> Result<Result<(), std::fmt::Error>, std::io::Error> {
    println!("{text}");
    Ok(Ok(()))
}

#[ploomby::handler("plain", queue = "shop")]
async fn plain(plain: Plain) -> Plain {
    plain
}

#[ploomby::handler("parcel", queue = "shop")]
async fn parcel(parcel: Protobuf<Parcel>) {
    println!("{}", parcel.0.number);
}

#[ploomby::handler("nothing", queue = "shop")]
async fn nothing() {}

#[ploomby::handler(default)]
async fn other(value: Vec<(u8, String)>) {
    println!("{value:?}");
}

fn contract() -> (Value, Vec<(String, String)>) {
    let app = App::new("amqp://localhost")
        .named("shop", "2.0.1")
        .queue(
            Queue::new("shop")
                .key(KeySource::header("task").or(KeySource::MessageType))
                .retry(2),
        )
        .queue(Queue::new("a queue/of ours~").key(KeySource::header("task")));
    let contract = app.program().contract();
    let undescribed = contract.undescribed().iter();
    let undescribed = undescribed.map(|it| (it.handler.clone(), it.type_name.clone()));
    (contract.as_json().clone(), undescribed.collect())
}

#[test]
fn the_contract_is_valid_by_the_schema_of_asyncapi() {
    let (document, _) = contract();
    let schema: Value = serde_json::from_str(include_str!("../asyncapi/3.0.0.json")).unwrap();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&document)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{document:#}");
    // it looks at what is written
    let mut wrong = document;
    wrong["channels"]["shop"]["bindings"]["amqp"]["is"] = "queues".into();
    assert!(!validator.is_valid(&wrong));
}

/// The values that a message of the key may have, by the document alone.
fn payload(document: &Value, channel: &str, key: &str) -> jsonschema::Validator {
    let payload = &document["channels"][channel]["messages"][key]["payload"];
    assert!(payload.is_object(), "{key}: {document:#}");
    let mut schema = json!({"components": document["components"], "allOf": [payload]});
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    jsonschema::draft7::new(&schema).unwrap()
}

#[test]
fn each_shape_of_payload_and_reply_has_its_schema() {
    let (document, undescribed) = contract();
    let taken = |key: &str, value: Value| payload(&document, "shop", key).is_valid(&value);
    for key in ["order/charge", "pay"] {
        assert!(taken(key, json!({"id": 1, "lines": [{"article": "a"}]})));
        assert!(!taken(key, json!({"id": "1", "lines": []})));
        assert!(!taken(key, json!({"id": 1, "lines": [{"gift": true}]})));
    }
    assert!(taken("refund", json!({"cents": 5})) && !taken("refund", json!({})));
    assert!(taken("many", json!({"article": "a"})) && !taken("many", json!([])));
    assert!(taken("lent", json!({"name": "a"})) && !taken("lent", json!({"name": 1})));
    assert!(taken("text", json!("a")) && !taken("text", json!(1)));
    let any = "(any other key)";
    assert!(taken(any, json!([[1, "a"]])) && !taken(any, json!([["a", 1]])));

    let replies =
        |key: &str, value: Value| payload(&document, "shop replies", key).is_valid(&value);
    // what is sent has each field
    let sent = json!({"id": 1, "note": null, "lines": [{"article": "a", "gift": false}]});
    assert!(replies("pay", sent));
    assert!(!replies(
        "pay",
        json!({"id": 1, "note": null, "lines": [{"article": "a"}]})
    ));
    assert!(replies("refund", json!(7)) && !replies("refund", json!("7")));
    assert!(replies("text", Value::Null) && !replies("text", json!(1)));
    assert!(replies("(error)", json!({"code": "a", "message": "b"})));
    let none = &document["operations"]["shop/lent"];
    assert_eq!(none["reply"], Value::Null, "an `Outcome` is no reply");

    let parcel = &document["channels"]["shop"]["messages"]["parcel"];
    assert_eq!(parcel["contentType"], "application/x-protobuf");
    let expected = [
        (
            "asyncapi::parcel",
            "ploomby::extract::protobuf::Protobuf<asyncapi::Parcel>",
        ),
        ("asyncapi::plain", "asyncapi::Plain"),
    ];
    let expected = expected.map(|(handler, type_name)| (handler.to_owned(), type_name.to_owned()));
    assert_eq!(undescribed, expected);
}

#[test]
fn where_the_key_is_and_what_becomes_of_a_message_stand_in_the_contract() {
    let (document, _) = contract();
    let message = &document["channels"]["shop"]["messages"]["pay"];
    assert_eq!(message["headers"]["properties"]["task"]["const"], "pay");
    assert_eq!(message["headers"]["required"], Value::Null);
    let other = &document["channels"]["a queue/of ours~"];
    assert_eq!(other["messages"]["(any other key)"]["headers"], Value::Null);
    assert_eq!(other["messages"].as_object().unwrap().len(), 1);
    let operation = &document["operations"]["shop/order/charge"];
    assert_eq!(operation["channel"]["$ref"], "#/channels/shop");
    let message = "#/channels/shop/messages/order~1charge";
    assert_eq!(operation["messages"][0]["$ref"], message);
    assert_eq!(operation["summary"], "Takes the money for an order, once.");
    assert!(
        operation["description"]
            .as_str()
            .unwrap()
            .ends_with("\n\nWhat it says further.")
    );
    let about = json!({
        "attempts": 3,
        "timeout_ms": 10_000,
        "ordered_by": "the field `customer.id`",
        "dead_letters": "shop_dlq",
    });
    assert_eq!(operation["x-ploomby"], about);
    assert_eq!(
        document["operations"]["shop/plain"]["x-ploomby"]["attempts"],
        2
    );
    assert_eq!(
        document["operations"]["shop/plain"]["x-ploomby"]["payload"],
        "asyncapi::Plain"
    );
    assert_eq!(
        document["operations"]["shop/many"]["x-ploomby"]["batch"],
        true
    );
    let reference = &document["operations"]["a queue/of ours~/(any other key)"]["channel"]["$ref"];
    assert_eq!(reference, "#/channels/a%20queue~1of%20ours~0");
}

#[test]
fn a_handler_that_is_registered_by_hand_says_its_schemas() {
    let options = HandlerOptions::new()
        .payload_schema::<Order>()
        .reply_schema::<u32>();
    let handlers = HandlerRegistry::new()
        .register_with("sum", options, async |_: Order| Reply(1_u32))
        .register("bare", async |_: u8| {});
    let app = App::new("amqp://localhost")
        .handlers(handlers)
        .queue(Queue::new("q"));
    let contract = app.program().contract();
    let document = contract.as_json();
    assert!(payload(document, "q", "sum").is_valid(&json!({"id": 1, "lines": []})));
    assert!(payload(document, "q replies", "sum").is_valid(&json!(1)));
    let names: Vec<_> = contract
        .undescribed()
        .iter()
        .map(|it| it.type_name.as_str())
        .collect();
    assert_eq!(names, ["()", "u8"]);
}

#[test]
fn what_a_build_breaks_of_an_older_contract_is_found() {
    let app = |handlers| {
        App::new("amqp://localhost")
            .handlers(handlers)
            .queue(Queue::new("q"))
    };
    let options = |schema: fn(HandlerOptions) -> HandlerOptions| schema(HandlerOptions::new());
    let old = HandlerRegistry::new()
        .register_with(
            "a",
            options(|it| it.payload_schema::<u64>().reply_schema::<u8>()),
            async |_: u64| Reply(1_u8),
        )
        .register("gone", async || {});
    let old = app(old).program().contract().as_json().clone();
    let new = HandlerRegistry::new().register_with(
        "a",
        options(|it| it.payload_schema::<u32>().reply_schema::<u16>()),
        async |_: u32| Reply(1_u16),
    );
    let found = app(new).program().against(&old).unwrap();
    let texts: Vec<_> = found.iter().map(|finding| finding.text.as_str()).collect();
    let expected = [
        "the contract has the key `gone`, and no handler takes it",
        "breaks the key `a`, its payload: it has to be at most 4294967295 now",
        "breaks the key `a`, its reply, for who reads the old one: it has to be at most 255 now",
    ];
    assert_eq!(texts, expected);
    let silent = HandlerRegistry::new()
        .register("a", async |_: u64| Outcome::Ack)
        .register("gone", async || {});
    let app = App::new("amqp://localhost").handlers(silent);
    let moved = app.queue(Queue::new("q").key(KeySource::header("task")));
    let found = moved.program().against(&old).unwrap();
    let texts: Vec<_> = found.iter().map(|finding| finding.text.as_str()).collect();
    let place = "which was looked for in the property `type`, and is now in the header `task`";
    let key = |key: &str| format!("breaks the key `{key}`, {place}");
    assert_eq!(
        texts[1..],
        [
            key("a").as_str(),
            "breaks the key `a`, which is not replied to any more",
            &key("gone")
        ]
    );
}
