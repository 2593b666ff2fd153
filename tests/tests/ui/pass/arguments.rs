//! Payload and extractors, in any order and in any pattern.

#[path = "../deliver.rs"]
mod deliver;

use std::{convert::Infallible, future::ready, marker::PhantomData};

use deliver::{
    Settled::{Acked, DeadLettered},
    deliver,
};
use ploomby::{
    Delivery, Headers, Properties,
    extract::{self, FromDelivery, Key, MissingKey, RawBody, Redelivered},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct User {
    name: String,
}

/// An extractor of the user's.
struct BodyLen(usize);

impl<'d> FromDelivery<'d> for BodyLen {
    type Rejection = Infallible;

    async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Infallible> {
        ready(()).await;
        Ok(Self(delivery.body().len()))
    }
}

/// One that borrows from the message.
struct Header<'d>(&'d str);

impl<'d> FromDelivery<'d> for Header<'d> {
    type Rejection = anyhow::Error;

    async fn from_delivery(delivery: &'d Delivery) -> anyhow::Result<Self> {
        let header = delivery.headers().text("task_name");
        header.map(Self).ok_or_else(|| anyhow::anyhow!("no header"))
    }
}

/// One that refuses every message.
struct Never;

impl<'d> FromDelivery<'d> for Never {
    type Rejection = anyhow::Error;

    async fn from_delivery(_: &'d Delivery) -> anyhow::Result<Self> {
        Err(anyhow::anyhow!("no tenant"))
    }
}

/// A type with a lifetime of its own.
#[ploomby::handler]
async fn bound(_: PhantomData<for<'a> fn(&'a str) -> &'a str>) {}

#[ploomby::handler]
async fn none() {}

#[ploomby::handler]
async fn payload_first(user: User, BodyLen(len): BodyLen, Key(key): Key) {
    assert_eq!((&*user.name, len, &*key), ("Ada", 15, "payload_first"));
}

#[ploomby::handler]
async fn payload_last(Header(header): Header<'_>, Redelivered(again): Redelivered, user: &User) {
    assert_eq!((header, again, &*user.name), ("payload_last", false, "Ada"));
}

#[ploomby::handler]
async fn by_reference(len: &BodyLen, body: &RawBody, properties: &Properties, header: &Header<'_>) {
    assert_eq!((len.0, body.0.len(), header.0), (15, 15, "by_reference"));
    ready(()).await;
    assert_eq!(properties.app_id(), None);
}

#[ploomby::handler]
async fn the_delivery(delivery: &Delivery, user: User) {
    assert_eq!((delivery.queue(), &*user.name), ("queue", "Ada"));
    ready(()).await;
    assert_eq!(delivery.body().len(), 15);
}

#[ploomby::handler]
async fn pattern(User { name }: User) {
    assert_eq!(name, "Ada");
}

#[ploomby::handler]
async fn mutable(mut user: User) {
    user.name.push('!');
    assert_eq!(user.name, "Ada!");
}

#[ploomby::handler]
async fn ignored(_: User, _len: BodyLen) {}

#[ploomby::handler]
async fn raw(r#type: User) {
    assert_eq!(r#type.name, "Ada");
}

#[ploomby::handler]
#[allow(clippy::too_many_arguments)]
async fn nine(a: Key, b: Key, c: Key, d: Key, e: Key, f: Key, g: Key, h: Key, user: User) {
    drop((a, b, c, d, e, f, g, h));
    assert_eq!(user.name, "Ada");
}

#[ploomby::handler]
async fn owned(delivery: Delivery, headers: Headers<'_>, user: User) {
    assert_eq!((delivery.queue(), &*user.name), ("queue", "Ada"));
    assert_eq!(headers.text("task_name"), Some("owned"));
    ready(()).await;
    drop((delivery, user));
}

#[derive(Deserialize)]
struct Task<'m> {
    task_name: &'m str,
    attempt: Option<u32>,
}

#[ploomby::handler]
async fn borrowed_headers(
    extract::Header(task): extract::Header<Task<'_>>,
    again: &extract::Header<Task<'_>>,
) {
    ready(()).await;
    assert_eq!((task.task_name, task.attempt), ("borrowed_headers", None));
    assert_eq!(again.task_name, task.task_name);
}

#[ploomby::handler]
async fn optional(
    never: Option<Never>,
    len: Option<BodyLen>,
    key: Option<Key>,
    header: &Option<Header<'_>>,
    user: Option<User>,
) {
    assert!(never.is_none());
    assert_eq!(len.map(|len| len.0), Some(15));
    assert_eq!(key.map(|key| key.0).as_deref(), Some("optional"));
    assert_eq!(header.as_ref().map(|header| header.0), Some("optional"));
    assert_eq!(user.map(|user| user.name).as_deref(), Some("Ada"));
}

#[ploomby::handler]
async fn tried(
    never: anyhow::Result<Never>,
    len: Result<BodyLen, Infallible>,
    key: &Result<Key, MissingKey>,
    user: User,
) {
    assert_eq!(
        never.err().map(|error| error.to_string()).as_deref(),
        Some("no tenant")
    );
    assert_eq!(len.map(|len| len.0), Ok(15));
    assert!(key.as_ref().is_ok_and(|key| key.0 == "tried"));
    assert_eq!(user.name, "Ada");
}

/// A type that is called as one of ploomby's, and means nothing by it.
#[derive(Deserialize)]
struct State<T> {
    name: T,
}

#[ploomby::handler]
async fn by_no_name(state: State<String>) {
    assert_eq!(state.name, "Ada");
}

type Shared<T> = extract::State<T>;

/// One that is called otherwise.
#[ploomby::handler]
async fn alias(shared: &Shared<u32>, extract::State(again): Shared<u32>, maybe: Option<Shared<u64>>) {
    assert_eq!((shared.0, again), (7, 7));
    assert!(maybe.is_none());
}

#[ploomby::handler]
async fn rejected(_: User, _: Never) {}

fn main() {
    for key in [
        "none",
        "payload_first",
        "payload_last",
        "by_reference",
        "the_delivery",
        "pattern",
        "mutable",
        "ignored",
        "raw",
        "nine",
        "owned",
        "borrowed_headers",
        "optional",
        "tried",
        "by_no_name",
        "alias",
    ] {
        assert_eq!(deliver(key, r#"{"name": "Ada"}"#), Acked, "{key}");
    }
    assert_eq!(deliver("bound", "null"), Acked);
    assert_eq!(
        deliver("rejected", r#"{"name": "Ada"}"#),
        DeadLettered("rejected: no tenant".to_owned())
    );
}
