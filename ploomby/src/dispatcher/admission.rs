use std::sync::Arc;

use super::Queue;
use crate::{
    delivery::{Delivery, KeyError},
    handler::Route,
    outcome::{Failure, Reason},
    settle::Decision,
};

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
        Ok(route)
    }
}
