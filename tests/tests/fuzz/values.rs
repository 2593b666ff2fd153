//! Values, headers and properties of any kind, within what AMQP can carry.

use std::collections::BTreeMap;
use std::time::Duration;

use ploomby::{Properties, Value};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

/// A value of any type, nested a few levels deep.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(".{0,8}", inner, 0..4)
                .prop_map(|members| Value::Table(members.into_iter().collect())),
        ]
    })
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Void),
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::I8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        number(),
        any::<f32>().prop_map(Value::F32),
        any::<f64>().prop_map(Value::F64),
        any::<(u8, i32)>().prop_map(|(scale, unscaled)| Value::Decimal { scale, unscaled }),
        ".{0,300}".prop_map(Value::Text),
        vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        any::<u64>().prop_map(Value::Timestamp),
    ]
}

/// A number, of those that a counter may be forged with among others.
fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-2_i64..40).prop_map(Value::I64),
        any::<i64>().prop_map(Value::I64),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        prop::sample::select(vec![
            i64::MIN,
            i64::MAX,
            u32::MAX.into(),
            i64::from(u32::MAX) + 1
        ])
        .prop_map(Value::I64),
    ]
}

/// What the names of headers that ploomby or RabbitMQ look at hold in place of what belongs there.
fn forged() -> impl Strategy<Value = (String, Value)> {
    let names = prop::sample::select(vec![
        "ploomby-attempt",
        "ploomby-attempts",
        "ploomby-redeliveries",
        "ploomby-reason",
        "ploomby-error",
        "ploomby-key",
        "ploomby-queue",
        "ploomby-failed-at",
        "ploomby-exchange",
        "ploomby-routing-key",
        "ploomby-expiration",
        "ploomby-user-id",
        "ploomby-CC",
        "ploomby-BCC",
        "x-delivery-count",
        "x-acquired-count",
        "x-death",
        "x-first-death-queue",
        "x-last-death-reason",
        "CC",
        "BCC",
    ]);
    prop_oneof![
        4 => (names, prop_oneof![value(), number()]),
        1 => deaths().prop_map(|deaths| ("x-death", deaths)),
        1 => vec(prop_oneof![".{0,8}".prop_map(Value::Text), value()], 0..4)
            .prop_map(|names| ("CC", Value::Array(names))),
    ]
    .prop_map(|(name, value)| (name.to_owned(), value))
}

/// What RabbitMQ writes of a message that died elsewhere, and what looks like it.
fn deaths() -> impl Strategy<Value = Value> {
    let death = (
        "[a-z_]{1,12}",
        any::<i64>(),
        option::of(value()),
        any::<bool>(),
    )
        .prop_map(|(queue, count, other, has_queue)| {
            let mut death = vec![("count".to_owned(), Value::I64(count))];
            if has_queue {
                death.push(("queue".to_owned(), Value::Text(queue)));
            }
            death.extend(other.map(|other| ("other".to_owned(), other)));
            Value::Table(death)
        });
    vec(prop_oneof![3 => death, 1 => value()], 0..3).prop_map(Value::Array)
}

/// Headers of any names and values, some of them forged.
pub(crate) fn headers() -> impl Strategy<Value = BTreeMap<String, Value>> {
    let any_name = (".{0,40}", value());
    vec(prop_oneof![1 => any_name, 1 => forged()], 0..6)
        .prop_map(|headers| headers.into_iter().collect())
}

fn text() -> impl Strategy<Value = Option<String>> {
    option::of(".{0,60}")
}

/// Properties of any kind. What expires does so long after the test.
pub(crate) fn properties() -> impl Strategy<Value = Properties> {
    let texts = [text(), text(), text(), text(), text(), text()];
    let numbers = (any::<Option<u8>>(), any::<Option<u64>>(), any::<bool>());
    let expiration = option::of(3_600..u32::MAX);
    (texts, numbers, expiration).prop_map(
        |(texts, (priority, timestamp, persistent), expiration)| {
            let [content_type, encoding, correlation, reply_to, kind, app] = texts;
            let mut properties = Properties::new();
            let mut set = |text: Option<String>, set: fn(Properties, &str) -> _| {
                if let Some(text) = text {
                    let set: Result<Properties, _> = set(std::mem::take(&mut properties), &text);
                    properties = set.expect("60 characters have at most 240 bytes");
                }
            };
            set(content_type, |properties, text| {
                properties.with_content_type(text)
            });
            set(encoding, |properties, text| {
                properties.with_content_encoding(text)
            });
            set(correlation, |properties, text| {
                properties.with_correlation_id(text)
            });
            set(reply_to, |properties, text| properties.with_reply_to(text));
            set(kind, |properties, text| properties.with_message_type(text));
            set(app, |properties, text| properties.with_app_id(text));
            if let Some(priority) = priority {
                properties = properties.with_priority(priority);
            }
            if let Some(timestamp) = timestamp {
                properties = properties.with_timestamp(timestamp);
            }
            if let Some(seconds) = expiration {
                properties = properties.with_expiration(Duration::from_secs(seconds.into()));
            }
            if persistent {
                properties = properties.persistent();
            }
            properties
        },
    )
}
