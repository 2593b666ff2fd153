//! What a message says of its way through ploomby: how often it was tried, and how often it came back.
//!
//! Headers say so, and anybody may write headers. They count only on a message that comes as one comes out of a retry
//! queue of its queue: through the default exchange, with the queue's name as the routing key, and with the
//! broker's word in `x-death` that it expired in `<queue>_retry_<delay>ms` just before.
//!
//! A signature would say more, and would need a secret that all instances share, now and after the passwords have
//! changed: a count that is not believed any more is a message that is tried for ever. What `x-death` leaves open is
//! little. A message that never died has whatever `x-death` its publisher wrote, in RabbitMQ 3 and in 4; but to come
//! through the default exchange, its publisher must be allowed to write to it, and so to each queue, those for
//! retries among them. What that publisher gains is a message of its own that is tried less often.

use super::Delivery;
use crate::message::{Headers, Value, header_names as headers};

/// Which messages of a queue are believed to have been tried before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Returns {
    /// All that say so: a source of the user's own has its own ways, and publishers of its own.
    #[default]
    Anyhow,
    /// Those that come out of a retry queue.
    ThroughRetryQueues,
    /// These, and those that come straight to the queue: a retry without a delay needs no other queue.
    Straight,
}

/// Left with a delivery that comes from the queue of the suspects: its copy has no count that was not believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetAside;

impl Delivery {
    /// Whether it came back to be tried again, or to be counted.
    pub(crate) fn has_waited(&self) -> bool {
        let headers = self.headers();
        if !headers.contains_any(&headers::COUNTS) {
            return false;
        }
        let Some(source) = &self.inner.source else {
            return true;
        };
        if self.extensions().get::<SetAside>().is_some() {
            return true;
        }
        let is_straight = || self.inner.content.address() == ("", &*source.queue);
        match source.returns {
            Returns::Anyhow => true,
            Returns::Straight => is_straight(),
            Returns::ThroughRetryQueues => {
                is_straight() && has_just_left_a_retry_queue(headers, &source.queue)
            }
        }
    }

    /// Whether it was sent with a delay, as far as the broker says so. Nothing but its trace depends on that.
    pub(crate) fn was_delayed(&self) -> bool {
        let queue = self.queue();
        has_just_expired(self.headers(), |died| is_beside(died, queue, "_delay_"))
    }

    /// How often it came back without having been settled, as its copies have counted.
    pub(crate) fn counted_redeliveries(&self) -> u32 {
        self.counted(headers::REDELIVERIES).unwrap_or(0)
    }

    pub(super) fn counted_attempt(&self) -> u32 {
        self.counted(headers::ATTEMPT).unwrap_or(1).max(1)
    }

    fn counted(&self, name: &str) -> Option<u32> {
        if !self.has_waited() {
            return None;
        }
        let number = self.headers().number(name)?;
        u32::try_from(number).ok()
    }
}

/// Whether the broker says that the message died last in a retry queue of this queue.
fn has_just_left_a_retry_queue(headers: Headers<'_>, queue: &str) -> bool {
    has_just_expired(headers, |died| is_retry_queue(died, queue))
}

/// Whether the broker says that the message expired in such a queue last.
fn has_just_expired(headers: Headers<'_>, is_such: impl FnOnce(&str) -> bool) -> bool {
    let Some(Value::Array(deaths)) = headers.get("x-death") else {
        return false;
    };
    let Some(Value::Table(last)) = deaths.into_iter().next() else {
        return false;
    };
    let text = |wanted: &str| {
        let value = last.iter().find(|(name, _)| name == wanted);
        value.and_then(|(_, value)| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    };
    text("reason") == Some("expired") && text("queue").is_some_and(is_such)
}

/// Whether ploomby gives this name to a retry queue of the other.
pub(crate) fn is_retry_queue(name: &str, queue: &str) -> bool {
    is_beside(name, queue, "_retry_")
}

/// Whether ploomby gives this name to a queue of that kind beside the other.
fn is_beside(name: &str, queue: &str, kind: &str) -> bool {
    let delay = name
        .strip_prefix(queue)
        .and_then(|rest| rest.strip_prefix(kind))
        .and_then(|rest| rest.strip_suffix("ms"));
    delay.is_some_and(|delay| !delay.is_empty() && delay.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{delivery::Source, message::Message};

    fn death(queue: &str, reason: &str) -> Value {
        let entry = |name: &str, value: &str| (name.to_owned(), Value::from(value));
        Value::Table(vec![entry("queue", queue), entry("reason", reason)])
    }

    fn delivery(
        returns: Returns,
        (exchange, routing_key): (&str, &str),
        deaths: Vec<Value>,
        attempt: impl Into<Value>,
    ) -> Delivery {
        let message = Message::new("")
            .with_header(headers::ATTEMPT, attempt)
            .and_then(|message| message.with_header(headers::REDELIVERIES, 15))
            .and_then(|message| message.with_header("x-death", Value::Array(deaths)))
            .expect("they are short");
        let mut delivery = Delivery::new(message).routed(exchange, routing_key);
        let source = Source {
            returns,
            ..Source::of_queue("q")
        };
        delivery.set_source(&Arc::new(source));
        delivery
    }

    fn seen(delivery: &Delivery) -> (u32, u32, bool) {
        (
            delivery.attempt(),
            delivery.counted_redeliveries(),
            delivery.is_redelivered(),
        )
    }

    const STRAIGHT: (&str, &str) = ("", "q");

    #[test]
    fn what_comes_out_of_a_retry_queue_is_believed() {
        let through = Returns::ThroughRetryQueues;
        let deaths = || vec![death("q_retry_1000ms", "expired"), death("q", "rejected")];
        assert_eq!(
            seen(&delivery(through, STRAIGHT, deaths(), 3)),
            (3, 15, true)
        );
        assert_eq!(
            seen(&delivery(Returns::Straight, STRAIGHT, vec![], 3)),
            (3, 15, true)
        );
        let elsewhere = delivery(Returns::Anyhow, ("x", "y"), vec![], 3);
        assert_eq!(seen(&elsewhere), (3, 15, true));
    }

    #[test]
    fn what_only_says_so_is_not() {
        let honest = (1, 0, false);
        let through = Returns::ThroughRetryQueues;
        let ours = || death("q_retry_1000ms", "expired");
        for deaths in [
            vec![],
            vec![death("q", "expired")],
            vec![death("other_retry_1000ms", "expired")],
            vec![death("q_retry_ms", "expired")],
            vec![death("q_retry_10x0ms", "expired")],
            vec![death("q_retry_1000ms", "rejected")],
            vec![death("q", "rejected"), ours()],
            vec![Value::from("q_retry_1000ms"), ours()],
        ] {
            let said = format!("{deaths:?}");
            assert_eq!(
                seen(&delivery(through, STRAIGHT, deaths, 1_000_000)),
                honest,
                "{said}"
            );
        }
        for address in [("amq.topic", "q"), ("", "other"), ("amq.topic", "#")] {
            assert_eq!(seen(&delivery(through, address, vec![ours()], 3)), honest);
            assert_eq!(
                seen(&delivery(Returns::Straight, address, vec![], 3)),
                honest
            );
        }
    }

    #[test]
    fn a_count_that_is_none_is_that_of_a_first_attempt() {
        let deaths = || vec![death("q_retry_1000ms", "expired")];
        let attempt = |value: Value| {
            delivery(Returns::ThroughRetryQueues, STRAIGHT, deaths(), value).attempt()
        };
        for odd in [Value::from(-1), 0.into(), "x".into(), i64::MAX.into()] {
            assert_eq!(attempt(odd), 1);
        }
        assert_eq!(attempt(u32::MAX.into()), u32::MAX);
    }
}
