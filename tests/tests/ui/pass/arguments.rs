//! Payload and extractors, in any order and in any pattern.

#[path = "../deliver.rs"]
mod deliver;

use std::{convert::Infallible, future::ready};

use deliver::{
    Settled::{Acked, DeadLettered},
    deliver,
};
use ploomby::{
    Delivery, Properties,
    extract::{FromDelivery, Key, RawBody, Redelivered},
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
    assert_eq!(properties.get_app_id(), None);
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
    ] {
        assert_eq!(deliver(key, r#"{"name": "Ada"}"#), Acked, "{key}");
    }
    assert_eq!(
        deliver("rejected", r#"{"name": "Ada"}"#),
        DeadLettered("rejected: no tenant".to_owned())
    );
}
