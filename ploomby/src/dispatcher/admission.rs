use std::sync::Arc;

use super::Queue;
use crate::{
    delivery::{Delivery, KeyError},
    handler::Route,
    outcome::{Failure, Reason},
    settle::Decision,
};

/// How often a quorum queue delivered the message and got it back.
///
/// Source: [poison message
/// handling](https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling).
const DELIVERY_COUNT: &str = "x-delivery-count";

impl Queue {
    /// The handler for a delivery, or what becomes of it without one.
    pub(super) fn admit(&self, delivery: &Delivery) -> Result<&Arc<Route>, Decision> {
        let refused = |reason, text| Err(Decision::Result(Err(Failure::new(reason, text))));
        if let Some(most) = self
            .policy
            .max_body
            .filter(|most| delivery.body().len() > *most)
        {
            let len = delivery.body().len();
            return refused(
                Reason::TooLarge,
                format!("the body has {len} bytes, and `max_body` allows {most}"),
            );
        }
        let key = match delivery.read_key(&self.source.key) {
            Ok(key) => key,
            Err(error) => {
                let reason = match error {
                    KeyError::Missing { .. } => Reason::MissingKey,
                    KeyError::Unreadable { .. } => Reason::InvalidKey,
                };
                return refused(reason, error.to_string());
            }
        };
        let Some(route) = self.handlers.get(&key) else {
            let crates = self.handlers.crates().join(", ");
            let text = format!(
                "no handler for the key {key:?}, and no default handler; this program has those of {crates}"
            );
            return refused(Reason::UnknownKey, text);
        };
        if delivery.came_back() {
            self.admit_again(delivery, route)?;
        }
        Ok(route)
    }

    /// A message that came back without having been settled may have crashed the process.
    fn admit_again(&self, delivery: &Delivery, route: &Route) -> Result<(), Decision> {
        let Some(most) = self.policy.most_deliveries() else {
            return Ok(());
        };
        let number = |name| {
            let number = delivery.headers().number(name)?;
            Some(u32::try_from(number).unwrap_or(0))
        };
        // one that says that it never came back was not written by a quorum queue
        let counted = number(DELIVERY_COUNT).filter(|counted| *counted > 0);
        let redeliveries =
            counted.unwrap_or_else(|| delivery.counted_redeliveries().saturating_add(1));
        if redeliveries >= most {
            let text = format!(
                "the message came back {redeliveries} times without having been settled: its \
                 handler may crash the process, or hold it longer than the broker allows"
            );
            return Err(Decision::Result(Err(Failure::new(
                Reason::TooManyDeliveries,
                text,
            ))));
        }
        match counted {
            None if self.policy.recounts(route.order.is_some()) => {
                Err(Decision::Recount(redeliveries))
            }
            _ => Ok(()),
        }
    }
}
