use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use garde::Validate;
use ploomby::extract::{Batch, FromDelivery, Protobuf, Unvalidated, Valid};
use ploomby::{Delivery, HandlerRegistry, Reason, handler};
use ploomby_tests::{Bed, DEADLINE, eventually};
use serde::Deserialize;

/// What the handlers took, by queue.
static TAKEN: Mutex<BTreeMap<String, Vec<u32>>> = Mutex::new(BTreeMap::new());

fn take(delivery: &Delivery, counts: impl IntoIterator<Item = u32>) {
    let mut taken = TAKEN.lock().unwrap();
    let taken = taken.entry(delivery.queue().to_owned()).or_default();
    taken.extend(counts);
}

fn taken(queue: &str) -> Vec<u32> {
    TAKEN
        .lock()
        .unwrap()
        .get(queue)
        .cloned()
        .unwrap_or_default()
}

#[derive(Deserialize, Validate)]
struct Item {
    #[garde(range(min = 1, max = 100))]
    count: u32,
}

#[derive(Deserialize, Validate)]
struct Named<'m> {
    #[garde(length(min = 1))]
    name: &'m str,
    #[garde(range(max = 100))]
    count: u32,
}

/// A name for it that says nothing.
type Something = Item;

#[handler("valid-owned")]
async fn owned(Item { count }: Item, delivery: &Delivery) {
    take(delivery, [count]);
}

#[handler("valid-alias")]
async fn alias(delivery: &Delivery, item: Something) {
    take(delivery, [item.count]);
}

#[handler("valid-reference")]
async fn reference(item: &Item, delivery: &Delivery) {
    take(delivery, [item.count]);
}

#[handler("valid-borrowing")]
async fn borrowing(named: Named<'_>, delivery: &Delivery) {
    assert!(!named.name.is_empty());
    take(delivery, [named.count]);
}

#[handler("valid-lifetime")]
async fn lifetime<'m>(delivery: &'m Delivery, named: &'m Named<'m>) {
    assert!(!named.name.is_empty());
    take(delivery, [named.count]);
}

#[handler("valid-list")]
async fn list(items: Vec<Item>, delivery: &Delivery) {
    take(delivery, items.iter().map(|item| item.count));
}

#[handler("valid-slice")]
async fn slice(items: &[Item], delivery: &Delivery) {
    take(delivery, items.iter().map(|item| item.count));
}

#[handler("valid-tuple")]
async fn tuple((first, second): (Item, Named<'_>), delivery: &Delivery) {
    take(delivery, [first.count, second.count]);
}

#[handler("valid-option")]
async fn option(item: Option<Item>, delivery: &Delivery) {
    take(delivery, item.map(|item| item.count));
}

#[handler("valid-asked")]
async fn asked(Valid(item): Valid<Item>, delivery: &Delivery) {
    take(delivery, [item.count]);
}

/// Each with a body that keeps the rules, one that breaks them, and the field that does.
const FORMS: [(&str, &str, &str, &str); 10] = [
    ("valid-owned", r#"{"count": 7}"#, r#"{"count": 0}"#, "count"),
    ("valid-alias", r#"{"count": 7}"#, r#"{"count": 0}"#, "count"),
    (
        "valid-reference",
        r#"{"count": 7}"#,
        r#"{"count": 101}"#,
        "count",
    ),
    (
        "valid-borrowing",
        r#"{"name": "Ada", "count": 7}"#,
        r#"{"name": "", "count": 7}"#,
        "name",
    ),
    (
        "valid-lifetime",
        r#"{"name": "Ada", "count": 7}"#,
        r#"{"name": "", "count": 7}"#,
        "name",
    ),
    (
        "valid-list",
        r#"[{"count": 7}]"#,
        r#"[{"count": 7}, {"count": 0}]"#,
        "[1].count",
    ),
    (
        "valid-slice",
        r#"[{"count": 7}]"#,
        r#"[{"count": 7}, {"count": 0}]"#,
        "[1].count",
    ),
    (
        "valid-tuple",
        r#"[{"count": 3}, {"name": "Ada", "count": 4}]"#,
        r#"[{"count": 7}, {"name": "", "count": 7}]"#,
        "[1].name",
    ),
    (
        "valid-option",
        r#"{"count": 7}"#,
        r#"{"count": 0}"#,
        "count",
    ),
    ("valid-asked", r#"{"count": 7}"#, r#"{"count": 0}"#, "count"),
];

pub(crate) async fn a_payload_with_rules_is_validated_in_every_form(bed: Arc<Bed>) {
    for (key, valid, invalid, field) in FORMS {
        let queue = bed.queue_name();
        let app = bed.start(&queue, HandlerRegistry::linked()).await;
        bed.send(&queue, key, invalid).await;
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(dead_letter.text("ploomby-reason"), "invalid", "{key}");
        let error = dead_letter.text("ploomby-error");
        assert!(
            error.starts_with(&format!("field `{field}`: ")),
            "{key}: {error}"
        );
        assert_eq!(taken(&queue), [0; 0], "{key}");
        bed.send(&queue, key, valid).await;
        eventually(DEADLINE, async || taken(&queue).iter().sum::<u32>() == 7).await;
        app.shut_down().await.unwrap();
        assert!(bed.is_empty(&queue).await, "{key}");
    }
}

#[derive(prost::Message, Validate)]
struct ProtoItem {
    #[prost(uint32, tag = "1")]
    #[garde(range(min = 1))]
    count: u32,
}

#[handler("valid-protobuf")]
async fn protobuf(Protobuf(item): Protobuf<ProtoItem>, delivery: &Delivery) {
    take(delivery, [item.count]);
}

pub(crate) async fn a_protobuf_payload_with_rules_is_validated(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = bed.start(&queue, HandlerRegistry::linked()).await;
    bed.send(&queue, "valid-protobuf", []).await;
    refused(&bed, &queue, "field `count`: lower than 1").await;
    bed.send(&queue, "valid-protobuf", [8, 7]).await;
    eventually(DEADLINE, async || taken(&queue) == [7]).await;
    app.shut_down().await.unwrap();
}

#[handler("valid-batch", batch_size = 3, batch_wait = Duration::from_secs(3600))]
async fn batch(items: Batch<Item>) {
    let delivery = items.iter().next().unwrap().delivery().clone();
    take(
        &delivery,
        items.into_payloads().iter().map(|item| item.count),
    );
}

#[handler("valid-batch-reference", batch_size = 3, batch_wait = Duration::from_secs(3600))]
async fn batch_reference(items: &Batch<Item>) {
    let delivery = items.iter().next().unwrap().delivery();
    take(delivery, items.iter().map(|item| item.count));
}

pub(crate) async fn each_item_of_a_batch_is_validated(bed: Arc<Bed>) {
    for key in ["valid-batch", "valid-batch-reference"] {
        let queue = bed.queue_name();
        let app = bed.start(&queue, HandlerRegistry::linked()).await;
        for count in [1, 0, 3] {
            bed.send(&queue, key, format!("{{\"count\": {count}}}"))
                .await;
        }
        refused(&bed, &queue, "field `count`: lower than 1").await;
        eventually(DEADLINE, async || taken(&queue) == [1, 3]).await;
        // a handler is not called with nothing
        for _ in 0..3 {
            bed.send(&queue, key, r#"{"count": 0}"#).await;
        }
        for _ in 0..3 {
            refused(&bed, &queue, "field `count`: lower than 1").await;
        }
        app.shut_down().await.unwrap();
        assert_eq!(taken(&queue), [1, 3]);
    }
}

/// What the rules of a charge look up.
struct Limits {
    cents: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cents: 500 }
    }
}

#[derive(Deserialize, Validate)]
#[garde(context(Limits as limits))]
struct Charge {
    #[garde(range(max = limits.cents))]
    cents: u32,
}

#[handler("valid-context")]
async fn context(charge: Charge, delivery: &Delivery) {
    take(delivery, [charge.cents]);
}

pub(crate) async fn rules_that_need_a_context_get_its_default(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = bed.start(&queue, HandlerRegistry::linked()).await;
    bed.send(&queue, "valid-context", r#"{"cents": 501}"#).await;
    refused(&bed, &queue, "field `cents`: greater than 500").await;
    bed.send(&queue, "valid-context", r#"{"cents": 500}"#).await;
    eventually(DEADLINE, async || taken(&queue) == [500]).await;
    app.shut_down().await.unwrap();
}

/// Rules that the program looks up by itself.
struct NoDefault(u32);

#[derive(Deserialize, Validate)]
#[garde(context(NoDefault as limit))]
struct Guess {
    #[garde(range(max = limit.0))]
    number: u32,
}

#[handler("valid-not")]
async fn not(Unvalidated(guess): Unvalidated<Guess>, delivery: &Delivery) -> anyhow::Result<()> {
    guess.validate_with(&NoDefault(10))?;
    take(delivery, [guess.number]);
    Ok(())
}

#[handler("valid-not-reference")]
async fn not_reference(item: &Unvalidated<Item>, delivery: &Delivery) {
    take(delivery, [item.count]);
}

#[handler("valid-not-batch", batch_size = 1)]
async fn not_batch(items: Batch<Unvalidated<Item>>) {
    let item = items.iter().next().unwrap();
    take(item.delivery(), [item.payload().count]);
}

/// An extractor is not a payload, whatever rules it has.
#[derive(Validate)]
struct BodyLen {
    #[garde(range(max = 0))]
    len: usize,
}

impl<'d> FromDelivery<'d> for BodyLen {
    type Rejection = Infallible;

    async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Infallible> {
        let len = delivery.body().len();
        Ok(Self { len })
    }
}

#[handler("valid-extractor")]
async fn extractor(len: BodyLen, delivery: &Delivery) {
    take(delivery, u32::try_from(len.len));
}

pub(crate) async fn what_is_unvalidated_is_left_to_its_handler(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = bed.start(&queue, HandlerRegistry::linked()).await;
    bed.send(&queue, "valid-not", r#"{"number": 11}"#).await;
    let dead_letter = bed.dead_letter(&queue).await;
    let reason = dead_letter.text("ploomby-reason");
    assert_eq!(reason, Reason::HandlerError.as_str());
    bed.send(&queue, "valid-not", r#"{"number": 10}"#).await;
    for key in ["valid-not-reference", "valid-not-batch"] {
        bed.send(&queue, key, r#"{"count": 101}"#).await;
    }
    bed.send(&queue, "valid-extractor", "12345").await;
    eventually(DEADLINE, async || {
        let mut taken = taken(&queue);
        taken.sort_unstable();
        taken == [5, 10, 101, 101]
    })
    .await;
    app.shut_down().await.unwrap();
}

async fn refused(bed: &Bed, queue: &str, error: &str) {
    let dead_letter = bed.dead_letter(queue).await;
    assert_eq!(dead_letter.text("ploomby-reason"), "invalid");
    assert_eq!(dead_letter.text("ploomby-error"), error);
}
