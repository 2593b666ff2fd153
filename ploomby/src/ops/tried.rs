use std::sync::Arc;

use serde::Serialize;

use super::{Letter, Ops};
use crate::{
    codec::Format,
    delivery::{Delivery, plain_body},
    dispatcher::{Dispatcher, Tried},
};

/// Whether this program would take a letter if it was replayed: it has a handler for the key, and the body decodes into
/// what the handler takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fit {
    /// It would be handled.
    Fits,
    /// It would come back at once.
    Unfit {
        /// The [`Reason`](crate::Reason), as text.
        reason: String,
        /// What is wrong with it.
        error: String,
    },
    /// Its handler looks at the body by itself.
    NotKnown,
}

impl Ops {
    /// Whether this program would take a letter of a queue. No handler and no extractor of yours runs. The rules of a
    /// payload, of the feature `garde`, are looked at where its handler takes nothing that needs state.
    pub fn fits(&self, queue: &str, letter: &Letter) -> Fit {
        let (Some(dispatcher), Some(delivery)) = (self.trials(queue), self.delivery(queue, letter))
        else {
            return Fit::NotKnown;
        };
        match dispatcher.try_on(delivery) {
            Tried::Fits => Fit::Fits,
            Tried::NotKnown => Fit::NotKnown,
            Tried::Unfit(failure) => Fit::Unfit {
                reason: failure.reason.as_str().to_owned(),
                error: failure.text.clone(),
            },
        }
    }

    /// The body as JSON, whatever codec it is in, decompressed; None where it is something else.
    pub fn body_as_json(&self, queue: &str, letter: &Letter) -> Option<serde_json::Value> {
        let mut delivery = self.delivery(queue, letter)?;
        self.trials(queue)?.adopt(&mut delivery);
        let codec = match Format::of(delivery.properties().content_type()).ok()? {
            Format::Unspecified => delivery.decoding().codec,
            Format::Serde(codec) => codec,
            #[cfg(feature = "protobuf")]
            Format::Protobuf => return None,
        };
        codec.decode(plain_body(&delivery).ok()?).ok()
    }

    /// What decodes the messages of a queue, and hands them to nobody.
    fn trials(&self, queue: &str) -> Option<&Dispatcher> {
        let trials = self.trials.get_or_init(|| {
            let queues = self.program.set_up.iter();
            let dispatchers = queues.filter_map(|queue| {
                let mut policy = queue.options.policy(queue.consumers);
                policy.is_trial = true;
                let key = queue.key.reader().ok()?;
                let state = Arc::default();
                let trials = Dispatcher::new(&queue.name, key, &self.handlers, policy, state);
                Some((queue.name.clone(), trials))
            });
            dispatchers.collect()
        });
        trials.get(queue)
    }

    /// The letter as it would be delivered.
    fn delivery(&self, queue: &str, letter: &Letter) -> Option<Delivery> {
        let message = super::replay::message_of(letter, 0, self.source.user()).ok()?;
        let (exchange, routing_key) = letter.address().unwrap_or(("", queue));
        Some(Delivery::new(message).routed(exchange, routing_key))
    }
}
