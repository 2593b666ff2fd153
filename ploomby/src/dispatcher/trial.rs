use std::{sync::Arc, task::Context};

use futures_util::task::noop_waker_ref;

use super::Dispatcher;
use crate::{
    delivery::{Delivery, Trial},
    extract::Collected,
    outcome::{Failure, Reason},
    settle::Decision,
};

/// What is known of a message without running its handler.
#[derive(Debug)]
pub(crate) enum Tried {
    /// It has a handler, that takes it.
    Fits,
    /// No handler takes it.
    Unfit(Failure),
    /// Its handler looks at the body by itself.
    NotKnown,
}

impl Dispatcher {
    /// Says that a delivery is of this queue.
    pub(crate) fn adopt(&self, delivery: &mut Delivery) {
        delivery.set_source(&self.queue.source);
    }

    /// Whether a message has a handler that takes it. Neither the handler nor an extractor of the user's runs. The queue
    /// is one of trials.
    pub(crate) fn try_on(&self, mut delivery: Delivery) -> Tried {
        delivery.set_source(&self.queue.source);
        if let Err(decision) = self.queue.admit(&delivery) {
            return match decision {
                Decision::Result(Err(failure)) => Tried::Unfit(failure),
                Decision::Result(Ok(_)) | Decision::Elsewhere | Decision::GiveBack => {
                    Tried::NotKnown
                }
            };
        }
        let handlers = &self.queue.handlers;
        let entry = match delivery.read_key(&self.queue.source.key) {
            Ok(key) => handlers.entry_of(&key),
            Err(_) => handlers.default_entry(),
        };
        let Some(entry) = entry else {
            return Tried::NotKnown;
        };
        if entry.requirements.payload_type().is_none() {
            // whatever the body is
            return Tried::Fits;
        }
        let trial = Trial::default();
        delivery.extensions_mut().insert(trial.clone());
        if entry.requirements.is_batch() {
            let collected = Arc::new(Collected::new(vec![delivery.clone()]));
            delivery.extensions_mut().insert(collected);
        }
        let mut call = entry.call(delivery);
        // all that it does is to decode, which is done at once
        let ended = call.poll(&mut Context::from_waker(noop_waker_ref()));
        let of_rules = match ended {
            std::task::Poll::Ready(Err(failure)) if failure.reason == Reason::Invalid => {
                Some(failure)
            }
            _ => None,
        };
        match (trial.take(), of_rules) {
            (Some(Err(failure)), _) | (Some(Ok(())), Some(failure)) => Tried::Unfit(failure),
            (Some(Ok(())), None) => Tried::Fits,
            (None, _) => Tried::NotKnown,
        }
    }
}
