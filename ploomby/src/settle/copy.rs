use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    delivery::{Delivery, is_retry_queue},
    message::{Message, PropertyError, Value, fields::Fields, header_names as headers, new_id},
    outcome::{Failure, cut},
};

/// Where the broker tells in which queues the message died.
const DEATHS: &str = "x-death";

/// A key that is longer stands in the message's own header anyway.
pub(super) const MAX_KEY: usize = 255;

/// The copy that goes to the dead-letter queue: body and properties as they were, the reason added.
///
/// What is moved back by hand starts anew, so that nothing is counted on. What tells of an earlier failure, or is
/// made up by the sender, does not stay.
pub(super) fn dead_letter(
    delivery: &Delivery,
    failure: &Failure,
    handler: Option<&str>,
    app: Option<&str>,
) -> Result<Message, PropertyError> {
    let mut headers = kept_headers(delivery)?;
    headers.retain(|name| {
        let of_others = [
            &headers::COUNTS[..],
            &headers::OF_SUSPECTS,
            &headers::OF_FAILURES,
        ];
        !of_others.iter().any(|names| names.contains(&name))
    });
    headers.rename(headers::DEATHS, DEATHS);
    let attempts = delivery.attempt() - u32::from(!failure.handler_ran);
    headers.set(headers::REASON, failure.reason.as_str().into())?;
    headers.set(headers::ERROR, failure.text.as_str().into())?;
    headers.set(headers::QUEUE, delivery.queue().into())?;
    headers.set(headers::ATTEMPTS, Value::I64(attempts.into()))?;
    headers.set(headers::FAILED_AT, Value::Timestamp(unix_seconds()))?;
    headers.set(headers::DEAD_LETTER_ID, new_id().to_string().into())?;
    let more = [
        (headers::ERROR_TYPE, failure.error_type),
        (headers::HANDLER, handler),
        (headers::LOCATION, failure.location.as_deref()),
        (headers::APP, app),
    ];
    for (name, text) in more {
        if let Some(text) = text {
            headers.set(name, text.into())?;
        }
    }
    if let Some(key) = delivery.key() {
        headers.set_text(headers::KEY, &cut(key.into_owned(), MAX_KEY))?;
    }
    copy(delivery, headers)
}

/// The copy that waits for the next attempt.
pub(super) fn retry(delivery: &Delivery) -> Result<Message, PropertyError> {
    let attempt = Value::I64(i64::from(delivery.attempt()) + 1);
    waiting(delivery, headers::ATTEMPT, attempt)
}

/// The copy that waits without an attempt having been made.
pub(super) fn held(delivery: &Delivery) -> Result<Message, PropertyError> {
    let attempt = Value::I64(delivery.attempt().into());
    waiting(delivery, headers::ATTEMPT, attempt)
}

/// The copy that says how often a handler gave the message back.
pub(super) fn recounted(delivery: &Delivery, redeliveries: u32) -> Result<Message, PropertyError> {
    waiting(
        delivery,
        headers::REDELIVERIES,
        Value::I64(redeliveries.into()),
    )
}

/// The copy of a message that may be what ends the process, for it to be handled alone.
pub(super) fn suspect(delivery: &Delivery) -> Result<Message, PropertyError> {
    suspect_again(delivery, 0)
}

/// The copy of a message that is handled alone, with how often the process died over it.
pub(crate) fn suspect_again(delivery: &Delivery, crashes: u32) -> Result<Message, PropertyError> {
    let mut headers = kept_headers(delivery)?;
    let name = format!("{:032x}", fastrand::u128(..));
    headers.set(headers::SUSPECT, name.into())?;
    headers.set(headers::CRASHES, Value::I64(crashes.into()))?;
    copy(delivery, headers)
}

/// A copy that comes back from a retry queue, with one more header.
///
/// What the broker wrote of earlier deaths is set aside: before 4.0 it would drop the copy as one that
/// goes in a circle, if the message had died in the consumed queue before.
///
/// Source: [dead letter exchanges](https://www.rabbitmq.com/docs/dlx#effects).
fn waiting(delivery: &Delivery, name: &str, value: Value) -> Result<Message, PropertyError> {
    let mut headers = kept_headers(delivery)?;
    headers.retain(|name| !headers::OF_SUSPECTS.contains(&name));
    headers.rename(DEATHS, headers::DEATHS);
    headers.set(name, value)?;
    copy(delivery, headers)
}

/// The headers that the message was sent with, and what else a copy has to say.
fn kept_headers(delivery: &Delivery) -> Result<Fields, PropertyError> {
    let mut kept = delivery.headers().to_fields();
    kept.retain(|name| !is_from_the_broker(delivery, name));
    for aside in ["CC", "BCC"] {
        kept.rename(aside, &format!("{}{aside}", headers::PREFIX));
    }
    if let Some(expiration) = delivery.properties().expiration() {
        kept.set_text(headers::EXPIRATION, expiration)?;
    }
    let (exchange, routing_key) = (delivery.exchange(), delivery.routing_key());
    if (exchange, routing_key) != ("", delivery.queue()) {
        kept.set_text(headers::EXCHANGE, exchange)?;
        kept.set_text(headers::ROUTING_KEY, routing_key)?;
    }
    Ok(kept)
}

/// Whether a header is not the sender's, but tells of the message's way through the broker: how
/// often a quorum queue delivered it, and that it waited in a retry queue of ours. A header in which the sender
/// tells of such a way is none either.
fn is_from_the_broker(delivery: &Delivery, name: &str) -> bool {
    match name {
        "x-delivery-count" | "x-acquired-count" => true,
        // what only a copy of ours has, on a message that is none
        headers::ATTEMPT | headers::REDELIVERIES | headers::DEATHS => !delivery.has_waited(),
        DEATHS => {
            let deaths = || delivery.headers().get(DEATHS);
            delivery.has_waited() && deaths().is_some_and(|deaths| is_ours(delivery, &deaths))
        }
        "x-first-death-queue"
        | "x-last-death-queue"
        | "x-first-death-reason"
        | "x-last-death-reason"
        | "x-first-death-exchange"
        | "x-last-death-exchange" => {
            delivery.has_waited()
                && delivery
                    .headers()
                    .text("x-first-death-queue")
                    .is_some_and(|queue| is_retry_queue(queue, delivery.queue()))
        }
        _ => false,
    }
}

/// Whether the message died in no other queues than those of ours.
fn is_ours(delivery: &Delivery, deaths: &Value) -> bool {
    let Value::Array(deaths) = deaths else {
        return false;
    };
    !deaths.is_empty()
        && deaths.iter().all(|death| {
            match death {
        Value::Table(death) => death.iter().any(|(name, value)| {
            name == "queue"
                && matches!(value, Value::Text(queue) if is_retry_queue(queue, delivery.queue()))
        }),
        _ => false,
    }
        })
}

fn copy(delivery: &Delivery, headers: Fields) -> Result<Message, PropertyError> {
    let properties = delivery.properties().for_copy(headers, true)?;
    Ok(Message {
        properties: properties.persistent(),
        body: delivery.message().body().clone(),
    })
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
