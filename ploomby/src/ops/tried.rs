use std::sync::Arc;

use serde::Serialize;

use super::{Letter, Ops, OpsError};
use crate::{
    codec::Codec,
    delivery::{Delivery, plain_body},
    dispatcher::{Dispatcher, Tried},
    message::Message,
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
        match super::replay::message_of(letter, 0, self.source.user()) {
            Ok(message) => self.fit(queue, letter.address().unwrap_or(("", queue)), message),
            Err(_) => Fit::NotKnown,
        }
    }

    /// The same of a message that would come by this address.
    pub(super) fn fit(&self, queue: &str, address: (&str, &str), message: Message) -> Fit {
        let Some(dispatcher) = self.trials(queue) else {
            return Fit::NotKnown;
        };
        let (exchange, routing_key) = address;
        let delivery = Delivery::new(message).routed(exchange, routing_key);
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
        self.message_as_json(queue, letter.message())
    }

    /// The same of any message.
    pub fn message_as_json(&self, queue: &str, message: &Message) -> Option<serde_json::Value> {
        let (delivery, codec) = self.decodable(queue, message)?;
        codec.decode(plain_body(&delivery).ok()?).ok()
    }

    /// The body of a letter as text for people to read and edit: JSON as it is written, that of another codec as JSON; None
    /// where it is neither.
    pub fn body_as_text(&self, queue: &str, letter: &Letter) -> Option<String> {
        let (delivery, codec) = self.decodable(queue, letter.message())?;
        let body = plain_body(&delivery).ok()?;
        if codec == Codec::Json {
            return String::from_utf8(body.to_vec()).ok();
        }
        let value: serde_json::Value = codec.decode(body).ok()?;
        serde_json::to_string(&value).ok()
    }

    /// A body from such text, in the codec that the letter has.
    ///
    /// # Errors
    ///
    /// What is no JSON, where the codec is another one.
    pub fn body_from_text(
        &self,
        queue: &str,
        letter: &Letter,
        text: &str,
    ) -> Result<Vec<u8>, OpsError> {
        match self.decodable(queue, letter.message()) {
            Some((_, codec)) if codec != Codec::Json => {
                let value: serde_json::Value =
                    serde_json::from_str(text).map_err(|error| OpsError::File(error.into()))?;
                codec
                    .encode(&value)
                    .map_err(|error| OpsError::File(std::io::Error::other(error)))
            }
            _ => Ok(text.as_bytes().to_vec()),
        }
    }

    /// The message as a delivery of its queue, with the codec of its body; None where no codec of ours reads it.
    fn decodable(&self, queue: &str, message: &Message) -> Option<(Delivery, Codec)> {
        let mut delivery = Delivery::new(message.clone());
        self.trials(queue)?.adopt(&mut delivery);
        let codec = delivery.codec().ok()??;
        Some((delivery, codec))
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
}
