//! What a payload can be.

#[path = "../deliver.rs"]
mod deliver;

use std::{borrow::Cow, collections::HashMap};

use deliver::{
    Settled::{Acked, DeadLettered},
    deliver,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct User {
    name: String,
}

#[derive(Deserialize)]
struct Borrowed<'m> {
    name: &'m str,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Change {
    Created { name: String },
    Deleted,
}

type Alias<'m> = Envelope<Borrowed<'m>>;

type Name<'m> = &'m str;

#[ploomby::handler]
async fn by_value(user: User) {
    assert_eq!(user.name, "Ada");
}

#[ploomby::handler]
async fn by_reference(user: &User) {
    assert_eq!(user.name, "Ada");
}

#[ploomby::handler]
async fn borrowed(user: Borrowed<'_>) {
    assert_eq!(user.name, "Ada");
    std::future::ready(()).await;
    assert_eq!(user.name, "Ada");
}

#[ploomby::handler]
async fn borrowed_by_reference(user: &Borrowed<'_>) {
    assert_eq!(user.name, "Ada");
}

#[ploomby::handler]
async fn named_lifetime<'a>(user: Borrowed<'a>) {
    assert_eq!(user.name, "Ada");
}

#[ploomby::handler]
async fn named_lifetimes<'a, 'b: 'a>(user: &'a Borrowed<'b>) {
    assert_eq!(user.name, "Ada");
}

#[ploomby::handler]
async fn generic(Envelope { data }: Envelope<User>) {
    assert_eq!(data.name, "Ada");
}

#[ploomby::handler]
async fn alias(envelope: Alias<'_>) {
    assert_eq!(envelope.data.name, "Ada");
}

#[ploomby::handler]
async fn alias_of_a_reference(name: Name<'_>) {
    assert_eq!(name, "Ada");
}

#[ploomby::handler]
async fn tuple((id, name): (u64, String)) {
    assert_eq!((id, &*name), (7, "Ada"));
}

#[ploomby::handler]
async fn list(users: Vec<User>) {
    assert_eq!(users.len(), 2);
}

#[ploomby::handler]
async fn array([x, y]: [i8; 2]) {
    assert_eq!((x, y), (1, -1));
}

#[ploomby::handler]
async fn map(map: HashMap<String, Option<Box<User>>>) {
    assert!(map["none"].is_none());
}

#[ploomby::handler]
async fn choice(change: Change) {
    match change {
        Change::Created { name } => assert_eq!(name, "Ada"),
        Change::Deleted => panic!("created"),
    }
}

#[ploomby::handler]
async fn cow(name: Cow<'_, str>) {
    assert_eq!(name, "Ada");
}

#[ploomby::handler]
async fn unit(_: ()) {}

#[ploomby::handler]
async fn text(name: &str) {
    assert_eq!(name, "Ada\n");
    std::future::ready(()).await;
    assert_eq!(name, "Ada\n");
}

/// A path may have escapes, as text does.
#[ploomby::handler]
async fn path(path: &std::path::Path) {
    assert_eq!(path.file_name().expect("a name"), "Ada\n");
}

/// It is told by its name, and only its reference is a payload, as with `serde_json::value::RawValue`.
struct Coin(u32);

static PENNY: Coin = Coin(1);

impl<'de> Deserialize<'de> for &'de Coin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match <&str>::deserialize(deserializer)? {
            "penny" => Ok(&PENNY),
            _ => Err(serde::de::Error::custom("no such coin")),
        }
    }
}

#[ploomby::handler]
async fn borrowed_where_it_lies(coin: &Coin, key: &ploomby::extract::Key) {
    std::future::ready(()).await;
    assert_eq!((coin.0, &*key.0), (1, "borrowed_where_it_lies"));
}

#[ploomby::handler]
async fn slice(users: &[User]) {
    assert_eq!(users[1].name, "Bob");
}

#[ploomby::handler]
async fn borrowing_slice(names: &[&str]) {
    assert_eq!(names, ["Ada", "Bob"]);
}

#[ploomby::handler]
async fn bytes(bytes: &[u8]) {
    assert_eq!(bytes, [1, 2]);
}

fn main() {
    let user = r#"{"name": "Ada"}"#;
    let users = r#"[{"name": "Ada"}, {"name": "Bob"}]"#;
    let envelope = r#"{"data": {"name": "Ada"}}"#;
    for (key, body) in [
        ("by_value", user),
        ("by_reference", user),
        ("borrowed", user),
        ("borrowed_by_reference", user),
        ("named_lifetime", user),
        ("named_lifetimes", user),
        ("generic", envelope),
        ("alias", envelope),
        ("alias_of_a_reference", r#""Ada""#),
        ("tuple", r#"[7, "Ada"]"#),
        ("list", users),
        ("array", "[1, -1]"),
        ("map", r#"{"none": null}"#),
        ("choice", r#"{"is": "created", "name": "Ada"}"#),
        ("cow", r#""Ada""#),
        ("unit", "null"),
        // an escape: the text cannot be borrowed from the message
        ("text", r#""Ada\n""#),
        ("path", r#""/home/Ada\n""#),
        ("borrowed_where_it_lies", r#""penny""#),
        ("slice", users),
        ("borrowing_slice", r#"["Ada", "Bob"]"#),
        ("bytes", "[1, 2]"),
    ] {
        assert_eq!(deliver(key, body), Acked, "{key}");
    }
    for (key, error) in [
        (
            "by_value",
            "undecodable: field `name`: invalid type: integer `1`, expected a string",
        ),
        (
            "by_reference",
            "undecodable: field `name`: invalid type: integer `1`, expected a string",
        ),
        ("text", "undecodable: invalid type: map, expected a string"),
        ("path", "undecodable: invalid type: map, expected a string"),
        (
            "borrowed_where_it_lies",
            "undecodable: invalid type: map, expected a borrowed string",
        ),
        (
            "slice",
            "undecodable: invalid type: map, expected a sequence",
        ),
    ] {
        match deliver(key, r#"{"name": 1}"#) {
            DeadLettered(text) => assert!(text.starts_with(error), "{key}: {text}"),
            settled => panic!("{key}: {settled:?}"),
        }
    }
}
