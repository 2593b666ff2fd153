use std::sync::Arc;

use super::Queue;
use crate::{
    delivery::{Delivery, KeyError},
    handler::Route,
    outcome::{Failure, Reason},
    settle::Decision,
};

impl Queue {
    /// Whether the body is compressed, and is to be read.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(super) fn must_unpack(&self, delivery: &Delivery) -> bool {
        let len = delivery.body().len();
        delivery.is_packed() && self.policy.max_body.is_none_or(|most| len <= most)
    }

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
            Err(error) => return self.admit_without_key(error, delivery),
        };
        let Some(route) = self.handlers.get(&key) else {
            return refused(Reason::UnknownKey, self.unknown(&key, delivery));
        };
        Ok(route)
    }

    /// A message that has no key, or of which it cannot be known, is for the default handler.
    #[cold]
    fn admit_without_key(
        &self,
        error: KeyError,
        delivery: &Delivery,
    ) -> Result<&Arc<Route>, Decision> {
        let is_unreadable = matches!(error, KeyError::Unreadable { .. });
        if let Some(default) = self.handlers.default_route().filter(|_| !is_unreadable) {
            return Ok(default);
        }
        let text = error.to_string();
        let failure = match error {
            KeyError::Missing { .. } => {
                Failure::new(Reason::MissingKey, text + &self.elsewhere(delivery))
            }
            KeyError::Unreadable { .. } => Failure::new(Reason::InvalidKey, text),
            KeyError::Unread { failure, .. } => failure.in_place_of_key(text),
        };
        Err(Decision::Result(Err(failure)))
    }
}
