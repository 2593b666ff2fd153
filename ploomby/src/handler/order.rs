//! Which messages run one after another.
//!
//! - `lanes`: the messages of one value, each in its turn.

use std::{fmt, sync::Arc};

pub(crate) use self::lanes::{Entered, Turn, Waiting};
use self::lanes::{Lane, Lanes};
use crate::{
    codec::{FieldPath, Found},
    delivery::Delivery,
    message::{PropertyError, Value, wire::header_name},
    stage::Stage,
};

mod lanes;

/// Messages with the same value here run one after another, in the order of their queue; those with
/// different values run in parallel, and one that is busy holds up none but its own.
///
/// Set on a [queue](crate::Queue::ordered_by) it orders all handlers of the queue together; set on
/// a handler, the messages of this handler, whatever the queue says.
///
/// ```
/// use ploomby::{OrderBy, handler};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Transfer {
///     account: u64,
///     cents: i64,
/// }
///
/// #[handler("transfer", ordered_by = OrderBy::field("account"))]
/// async fn transfer(Transfer { account, cents }: Transfer) {
///     println!("{cents} on {account}");
/// }
/// ```
///
/// # Values
///
/// A value is text, a number, a boolean, or bytes. Two are the same where they read the same: the
/// number 7 and the text `7` are one value, so that it does not matter which types a sender's
/// client writes. Messages without the value, or with one that is a list or a table, run one after
/// another as if they had a value of their own.
///
/// # What the order does not cover
///
/// - What is tried again, given back by [`Outcome::Requeue`](crate::Outcome::Requeue), or
///   delivered again after a lost connection comes behind those that follow it and are here already.
/// - Two consumers of a queue may overtake each other. In this program that is an error at startup;
///   of several programs let only one at a time consume, by the queue argument
///   [`x-single-active-consumer`](https://www.rabbitmq.com/docs/consumers#single-active-consumer).
/// - A message that came back again and again, so that it may be what crashes the process, is taken aside and loses its
///   place: see [`max_crashes`](crate::Queue::max_crashes).
///
/// What waits for its turn takes places of the prefetch, and none of the concurrency. So choose a
/// prefetch that is well above what one value may have waiting.
#[derive(Clone, PartialEq, Eq)]
pub struct OrderBy(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Nothing,
    Header(String),
    Field(FieldPath),
    RoutingKey,
}

impl OrderBy {
    /// The value of the header of this name.
    #[must_use]
    pub fn header(name: impl Into<String>) -> Self {
        Self(Place::Header(name.into()))
    }

    /// The value of this field of the body, with dots on the way to an inner one:
    /// `"customer.id"`.
    ///
    /// The body is read as its content type says, up to the field. A body that is not a map of
    /// fields, such as one in Protobuf, has no value; nor has one that cannot be read, which then
    /// fails in its turn.
    #[must_use]
    pub fn field(path: &str) -> Self {
        Self(Place::Field(FieldPath::new(path)))
    }

    /// The routing key that the message was published with.
    #[must_use]
    pub fn routing_key() -> Self {
        Self(Place::RoutingKey)
    }

    /// No order: for a handler that takes no part in the order of its queue.
    #[must_use]
    pub fn nothing() -> Self {
        Self(Place::Nothing)
    }

    fn lane(&self, delivery: &Delivery) -> Lane {
        match &self.0 {
            Place::Nothing => None,
            Place::Header(name) => delivery.headers().get(name).and_then(text),
            Place::Field(path) => delivery.field(path).and_then(value),
            Place::RoutingKey => Some(delivery.routing_key().as_bytes().into()),
        }
    }
}

fn value(found: Found<'_>) -> Lane {
    match found {
        Found::Text(text) => Some(text.into_owned().into_bytes().into()),
        Found::Bytes(bytes) => Some(bytes.into_owned().into()),
        Found::Number(digits) => Some(digits.into_bytes().into()),
        Found::Bool(is_it) => Some(is_it.to_string().into_bytes().into()),
        Found::Null | Found::List | Found::Map => None,
    }
}

fn text(value: Value) -> Lane {
    let text = match value {
        Value::Text(text) => text,
        Value::Bytes(bytes) => return Some(bytes.into()),
        Value::Bool(v) => v.to_string(),
        Value::Timestamp(seconds) => seconds.to_string(),
        number => number.number_text()?,
    };
    Some(text.into_bytes().into())
}

/// In words.
impl fmt::Display for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Nothing => f.write_str("nothing"),
            Place::Header(name) => write!(f, "the header `{name}`"),
            Place::Field(path) => write!(f, "the field `{path}`"),
            Place::RoutingKey => f.write_str("the routing key"),
        }
    }
}

impl fmt::Debug for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An order, and the messages that are in it now.
pub(crate) struct Order {
    by: OrderBy,
    lanes: Arc<Lanes>,
    stage: Stage,
}

impl Order {
    /// Whether the value stands in the body.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(crate) fn reads_body(&self) -> bool {
        matches!(self.by.0, Place::Field(_))
    }

    /// None where there is nothing to order by.
    pub(crate) fn new(by: &OrderBy, stage: &Stage) -> Option<Arc<Self>> {
        (by.0 != Place::Nothing).then(|| {
            Arc::new(Self {
                by: by.clone(),
                lanes: Arc::new(Lanes::on(stage)),
                stage: stage.clone(),
            })
        })
    }

    /// # Errors
    ///
    /// A header's name over 255 bytes, which no message can have.
    pub(crate) fn check(&self) -> Result<(), PropertyError> {
        match &self.by.0 {
            Place::Header(name) => header_name(name).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Lines the message up behind those with the same value.
    pub(crate) fn enter(&self, delivery: &Delivery) -> Entered {
        let lane = self.by.lane(delivery);
        if let Some(watch) = self.stage.watch() {
            let number = std::ptr::from_ref(self).addr();
            watch.lined_up(delivery, number, lane.as_deref());
        }
        self.lanes.enter(lane)
    }
}
