//! From what a handler decided to what the source is told. Nothing else acknowledges.
//!
//! A message that is tried again or given up is copied to where it goes first, and acknowledged once
//! the copy is safe, so that a crash between the two duplicates and never loses.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

pub use self::{
    acknowledger::{Acknowledger, ConsumerError},
    retry::Retry,
};
pub(crate) use self::{copy::unix_seconds, pause::RequeuePause};
use crate::{
    delivery::{Delivery, DeliveryTag},
    health::Copies,
    message::{Message, NoRoom, PropertyError},
    outcome::{ErrorReply, Failure, Outcome, Reason, cause, cut},
    reply::{self, Addressed, Answer},
};

/// How long a message that came back waits before it is tried again, in a queue that does not count
/// deliveries by itself. By then its acknowledgement has reached the broker, also where the handler
/// ends the process: else there would be one more copy each time.
const RECOUNT_DELAY: Duration = Duration::from_secs(1);

mod acknowledger;
mod copy;
mod pause;
mod retry;

/// Who puts a message that cannot be handled where it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DeadLettering {
    /// ploomby, by a confirmed copy that tells the reason.
    #[default]
    ByCopy,
    /// The broker, by the queue's own dead-letter exchange.
    ByBroker,
}

/// What settling needs to know of the queue.
#[derive(Default)]
pub(crate) struct Settling {
    pub(crate) dead_lettering: DeadLettering,
    pub(crate) pause: RequeuePause,
    pub(crate) copies: Arc<Copies>,
    /// Shutdown has begun: it cuts the pause short.
    pub(crate) stop: CancellationToken,
}

/// What becomes of a delivery.
pub(crate) enum Decision {
    /// A handler ran, or could not.
    Result(Result<Answer, Failure>),
    /// The message came back unsettled for this many times: a copy says so, since nothing else
    /// counts.
    Recount(u32),
}

/// All that the source is told of a message that nothing else has to be done for first.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    Ack,
    Requeue,
}

impl Word {
    /// None where a copy has to be kept first, or a reply sent.
    #[inline]
    pub(crate) fn of(result: &Result<Answer, Failure>) -> Option<Self> {
        let answer = result.as_ref().ok().filter(|answer| !answer.has_reply())?;
        match answer.outcome() {
            Outcome::Ack | Outcome::Discard => Some(Self::Ack),
            Outcome::Requeue => Some(Self::Requeue),
            Outcome::DeadLetter | Outcome::Retry => None,
        }
    }

    pub(crate) async fn tell<A: Acknowledger>(self, tag: DeliveryTag, acknowledger: &A) {
        match self {
            Self::Ack => acknowledger.ack(tag).await,
            Self::Requeue => acknowledger.requeue(tag).await,
        }
    }
}

impl Settling {
    /// Tells the source what came of a delivery.
    pub(crate) async fn settle<A: Acknowledger>(
        &self,
        delivery: &Delivery,
        tag: DeliveryTag,
        decision: Decision,
        retry: &Retry,
        acknowledger: &A,
    ) {
        let mut failure = match decision {
            Decision::Result(Ok(answer)) => match answer.outcome() {
                Outcome::Ack | Outcome::Discard => {
                    return match answer.into_reply() {
                        None => acknowledger.ack(tag).await,
                        Some(reply) => self.reply(reply, delivery, tag, acknowledger).await,
                    };
                }
                Outcome::Requeue => return acknowledger.requeue(tag).await,
                Outcome::DeadLetter => Failure::asked_for(),
                Outcome::Retry => Failure::asked_to_retry(),
            },
            Decision::Result(Err(failure)) => match answer_in(&failure, delivery) {
                Some(reply) => return self.reply(reply, delivery, tag, acknowledger).await,
                None => failure,
            },
            Decision::Recount(redeliveries) => {
                let copy = copy::recounted(delivery, redeliveries);
                let kept = self
                    .keep(copy, |copy| acknowledger.retry(copy, RECOUNT_DELAY))
                    .await;
                if !has_no_room(&kept) {
                    self.finish(kept, NOT_KEPT, delivery, tag, acknowledger)
                        .await;
                    return;
                }
                let text = "its headers leave no room to count how often it came back";
                Failure::new(Reason::TooManyDeliveries, text.to_owned())
            }
        };
        let (queue, key) = (delivery.queue(), cut_key(delivery));
        let attempt = delivery.attempt();
        let reason = failure.reason;
        if let Some(outcome @ (Outcome::Requeue | Outcome::Discard)) = failure.outcome() {
            let error = failure.log_text();
            if outcome == Outcome::Requeue {
                debug!(queue, key, attempt, %reason, error, "requeued");
                acknowledger.requeue(tag).await;
            } else {
                debug!(queue, key, attempt, %reason, error, "discarded");
                acknowledger.ack(tag).await;
                self.tell(&failure, delivery, acknowledger).await;
            }
            return;
        }
        if let Some(delay) = retry.next(attempt, &failure) {
            let copy = copy::retry(delivery);
            let kept = self
                .keep(copy, |copy| acknowledger.retry(copy, delay))
                .await;
            if !has_no_room(&kept) {
                if self
                    .finish(kept, NOT_KEPT, delivery, tag, acknowledger)
                    .await
                {
                    let error = failure.log_text();
                    warn!(queue, key, attempt, %reason, error, "failed, trying again in {delay:?}");
                }
                return;
            }
            failure = failure.without_room();
        }
        let error = failure.log_text();
        if self.dead_lettering == DeadLettering::ByBroker {
            warn!(queue, key, attempt, %reason, error, "rejected");
            acknowledger.reject(tag).await;
            self.tell(&failure, delivery, acknowledger).await;
        } else {
            let copy = copy::dead_letter(delivery, &failure);
            let kept = self.keep(copy, |copy| acknowledger.dead_letter(copy)).await;
            if self
                .finish(kept, NOT_KEPT, delivery, tag, acknowledger)
                .await
            {
                warn!(queue, key, attempt, %reason, error, "dead-lettered");
                self.tell(&failure, delivery, acknowledger).await;
            }
        }
    }

    /// Acknowledges a message once its reply is sent.
    async fn reply<A: Acknowledger>(
        &self,
        (reply_to, reply): Addressed,
        delivery: &Delivery,
        tag: DeliveryTag,
        acknowledger: &A,
    ) {
        let sent = acknowledger.reply(&reply_to, reply).await;
        self.finish(
            sent,
            "the reply to a message was not sent",
            delivery,
            tag,
            acknowledger,
        )
        .await;
    }

    /// Tells who asked that the message was given up, which is settled by now.
    async fn tell<A: Acknowledger>(
        &self,
        failure: &Failure,
        delivery: &Delivery,
        acknowledger: &A,
    ) {
        let sent = match reply::to_failure(failure, delivery) {
            Ok(None) => return,
            Ok(Some((reply_to, reply))) => acknowledger.reply(&reply_to, reply).await,
            Err(error) => Err(ConsumerError::new(error)),
        };
        if let Err(error) = sent {
            warn!(queue = delivery.queue(), %error, "who asked was not told that it failed");
        }
    }

    async fn keep<F>(
        &self,
        copy: Result<Message, PropertyError>,
        keep: impl FnOnce(Message) -> F,
    ) -> Result<(), ConsumerError>
    where
        F: Future<Output = Result<(), ConsumerError>>,
    {
        let copy = copy.map_err(ConsumerError::new)?;
        let is_trouble = |error: &ConsumerError| !error.is::<NoRoom>();
        self.copies.watch(keep(copy), is_trouble).await
    }

    /// Acknowledges the original where its copy is safe or its reply sent, else gives it back after a
    /// pause. Says which.
    async fn finish<A: Acknowledger>(
        &self,
        kept: Result<(), ConsumerError>,
        trouble: &'static str,
        delivery: &Delivery,
        tag: DeliveryTag,
        acknowledger: &A,
    ) -> bool {
        let Err(error) = kept else {
            self.pause.reset();
            acknowledger.ack(tag).await;
            return true;
        };
        let pause = self.pause.next();
        error!(
            queue = delivery.queue(), key = cut_key(delivery), %error,
            "{trouble}, requeueing the message in {pause:?}"
        );
        self.stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await;
        acknowledger.requeue(tag).await;
        false
    }
}

/// An error that is meant for who asked is the answer to a request, and no failure.
fn answer_in(failure: &Failure, delivery: &Delivery) -> Option<Addressed> {
    let is_meant = failure.error().and_then(cause::<ErrorReply>).is_some();
    is_meant
        .then(|| reply::to_failure(failure, delivery).ok().flatten())
        .flatten()
}

const NOT_KEPT: &str = "the copy of a message was not kept";

/// Whether a copy cannot say what it has to: then the message goes where nothing has to be counted.
fn has_no_room(kept: &Result<(), ConsumerError>) -> bool {
    matches!(kept, Err(error) if error.is::<NoRoom>())
}

fn cut_key(delivery: &Delivery) -> Option<String> {
    delivery
        .key()
        .map(|key| cut(key.into_owned(), copy::MAX_KEY))
}
