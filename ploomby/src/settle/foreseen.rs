use std::time::Duration;

use super::{DeadLettering, Settling, Trying, answer_in};
use crate::{
    delivery::Delivery,
    message::Message,
    outcome::{Failure, Outcome},
    reply::Answer,
};

/// What would become of a message by what its handler decided.
#[derive(Debug)]
pub(crate) struct Foreseen {
    pub(crate) fate: Fate,
    /// What would be sent to who asked.
    pub(crate) reply: Option<Message>,
    /// Why it was not handled.
    pub(crate) failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Acknowledged,
    Discarded,
    Requeued,
    Retried(Duration),
    DeadLettered,
    /// To where the queue's own dead-letter exchange leads.
    Rejected,
}

impl Settling {
    /// Says what [`settle`](Self::settle) would do, and does nothing.
    pub(crate) fn foresee(
        &self,
        delivery: &Delivery,
        result: Result<Answer, Failure>,
        trying: &Trying,
    ) -> Foreseen {
        let failure = match result {
            Ok(answer) => match answer.outcome() {
                Outcome::Requeue => return Fate::Requeued.into(),
                Outcome::Discard => return Fate::Discarded.into(),
                Outcome::DeadLetter => Failure::asked_for(),
                Outcome::Retry => Failure::asked_to_retry(),
                Outcome::Ack => {
                    return Foreseen {
                        reply: answer.into_reply().map(|reply| reply.reply),
                        ..Fate::Acknowledged.into()
                    };
                }
            },
            Err(failure) => failure,
        };
        if let Some(reply) = answer_in(&failure, delivery) {
            return Foreseen {
                reply: Some(reply.reply),
                ..Fate::Acknowledged.into()
            };
        }
        let fate = match failure.outcome() {
            Some(Outcome::Requeue) => Fate::Requeued,
            Some(Outcome::Discard) => Fate::Discarded,
            _ => match trying.retry.next(delivery.attempt(), &failure) {
                Some(delay) => Fate::Retried(delay),
                None if self.dead_lettering == DeadLettering::ByBroker => Fate::Rejected,
                None => Fate::DeadLettered,
            },
        };
        Foreseen {
            failure: Some(failure),
            ..fate.into()
        }
    }
}

impl From<Fate> for Foreseen {
    fn from(fate: Fate) -> Self {
        Self {
            fate,
            reply: None,
            failure: None,
        }
    }
}
