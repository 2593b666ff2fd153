//! From what a handler decided to what the source is told. Nothing else acknowledges.
//!
//! A message that is tried again or given up is copied to where it goes first, and acknowledged once
//! the copy is safe, so that a crash between the two duplicates and never loses.
//!
//! - `acknowledger`: what a source must be able to do, and is asked for by this module alone;
//! - `foreseen`: what would become of a message, where nobody settles it;
//! - `retry`: whether a failed message gets another attempt, and when;
//! - `copy`: what the copy of a message says;
//! - `pause`: how long a message is held whose copy was not kept;
//! - `log`: which failures the log tells, and which it counts;
//! - `telling`: what the log and the metrics say of each message.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub(crate) use self::{
    acknowledger::NobodyThere,
    copy::suspect_again,
    foreseen::{Fate as ForeseenFate, Foreseen},
    pause::RequeuePause,
    retry::whole_milliseconds,
    telling::note,
};
pub use self::{
    acknowledger::{Acknowledger, ConsumerError},
    retry::Retry,
};
use self::{
    keeping::Kept,
    log::{FailureLog, Fate},
    telling::cut_key,
};
use crate::{
    delivery::{Delivery, DeliveryTag},
    health::Copies,
    message::{Message, NoRoom, PropertyError},
    metrics::HandlerMeter,
    outcome::{ErrorReply, Failure, Outcome, Reason, cause},
    reply::{self, Addressed, Answer},
    stage::{Stage, Verdict},
};

/// How long a message waits that a handler has given back more than once: nothing is tried in a hot loop.
const RECOUNT_DELAY: Duration = Duration::from_secs(1);

mod acknowledger;
mod answering;
mod copy;
mod foreseen;
mod keeping;
mod log;
mod pause;
mod retry;
mod telling;

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
    pub(crate) log: FailureLog,
    /// Name and version of the program, which dead letters tell.
    pub(crate) app: Option<Arc<str>>,
    /// Shutdown has begun: it cuts the pause short.
    pub(crate) stop: CancellationToken,
    /// Where the messages are handled.
    pub(crate) stage: Stage,
}

/// In place of the name of a handler, where there is none.
pub(crate) const NO_HANDLER: &str = "(no handler)";

/// What becomes of a delivery.
pub(crate) enum Decision {
    /// A handler ran, or could not.
    Result(Result<Answer, Failure>),
    /// A copy of the message is safe elsewhere: where it is handled alone, or where it waits.
    Elsewhere,
    /// It goes back before its handler began, for when the queue is at rest no longer.
    GiveBack,
}

impl Decision {
    /// Why the message could not be handled.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Result(result) => result.as_ref().err(),
            Self::Elsewhere | Self::GiveBack => None,
        }
    }
}

/// What holds for the messages of one handler once they have failed or are given back.
#[derive(Default)]
pub(crate) struct Trying {
    pub(crate) retry: Retry,
    /// How often a handler may give a message back, where that is counted.
    pub(crate) most_requeues: Option<u32>,
}

/// Of which handler a message is, and what holds for it there.
pub(crate) struct Handled<'h> {
    pub(crate) handler: &'static str,
    pub(crate) trying: &'h Trying,
    pub(crate) meter: &'h HandlerMeter,
    /// When it came here.
    pub(crate) since: Instant,
}

/// The outcome by which the source is told that the message is done, and nothing else: no copy has to be kept first,
/// and no reply sent.
#[inline]
pub(crate) fn done_by(result: &Result<Answer, Failure>) -> Option<Outcome> {
    let answer = result.as_ref().ok()?;
    let outcome = answer.outcome();
    let is_done = !answer.has_reply() && matches!(outcome, Outcome::Ack | Outcome::Discard);
    is_done.then_some(outcome)
}

impl Settling {
    /// Tells the source what came of a delivery. `slot` is what the handler held, for others to have while this
    /// waits for better times.
    ///
    /// All but a verdict is boxed: each message whose handler waits would hold room for it.
    pub(crate) async fn settle<A: Acknowledger>(
        &self,
        delivery: &Delivery,
        tag: DeliveryTag,
        decision: Decision,
        handled: &Handled<'_>,
        acknowledger: &A,
        slot: Option<impl Send>,
    ) {
        let settled = Settled {
            settling: self,
            delivery,
            handled,
            acknowledger,
        };
        match decision {
            Decision::Result(result) => match result {
                Ok(answer) => match (answer.outcome(), answer.into_reply()) {
                    (Outcome::Requeue, _) => Box::pin(settled.requeue(None, tag, slot)).await,
                    (Outcome::DeadLetter, _) => settled.fail(Failure::asked_for(), tag, slot).await,
                    (Outcome::Retry, _) => settled.fail(Failure::asked_to_retry(), tag, slot).await,
                    (_, Some(reply)) => Box::pin(settled.reply(reply, None, tag)).await,
                    (outcome, None) => {
                        settled.note(outcome, None);
                        settled.witness(Verdict::of(outcome));
                        acknowledger.ack(tag).await;
                    }
                },
                Err(failure) => match answer_in(&failure, delivery) {
                    Some(reply) => Box::pin(settled.reply(reply, Some(&failure), tag)).await,
                    None => settled.fail(failure, tag, slot).await,
                },
            },
            Decision::Elsewhere => {
                settled.note(Outcome::Requeue, None);
                settled.witness(Verdict::held());
                acknowledger.ack(tag).await;
            }
            Decision::GiveBack => {
                settled.note(Outcome::Requeue, None);
                acknowledger.give_back(tag).await;
            }
        }
    }
}

impl Settling {
    /// Keeps a copy of a suspect where it is handled alone; whether that is done.
    pub(crate) async fn set_aside<A: Acknowledger>(
        &self,
        delivery: &Delivery,
        acknowledger: &A,
    ) -> bool {
        let kept = match copy::suspect(delivery) {
            Ok(copy) => acknowledger.set_aside(copy).await,
            Err(error) => Err(ConsumerError::new(error)),
        };
        let (queue, key) = (delivery.queue(), cut_key(delivery));
        match kept {
            Ok(()) => {
                warn!(
                    queue,
                    key,
                    "a message came back again and again without having been settled: it is handled alone, to \
                     see whether it ends the process"
                );
                true
            }
            Err(error) => {
                warn!(queue, key, %error, "a message that came back again and again is not set aside, handling it");
                false
            }
        }
    }
}

impl Settling {
    /// Keeps a copy of a message whose handler is not to run now, to be delivered again after `delay`. It takes no
    /// attempt.
    ///
    /// # Errors
    ///
    /// The copy may not be safe: the message waits where it is.
    pub(crate) async fn hold<A: Acknowledger>(
        &self,
        delivery: &Delivery,
        delay: Duration,
        acknowledger: &A,
    ) -> Result<(), ConsumerError> {
        let copy = copy::held(delivery).map_err(ConsumerError::new)?;
        acknowledger.retry(copy, delay).await
    }
}

impl Settling {
    fn next_pause(&self) -> Duration {
        let (pause, _) = self.pause.next(self.stage.now());
        pause
    }

    /// Waits for so long; None if shutdown begins first.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    async fn wait(&self, pause: Duration) -> Option<()> {
        let parked = self.stage.park();
        let waited = self.stop.run_until_cancelled(self.stage.sleep(pause)).await;
        // before the wait counts as over: something goes on all the time
        drop(parked);
        waited.map(drop)
    }
}

/// A delivery whose settlement takes more than a verdict.
struct Settled<'s, A> {
    settling: &'s Settling,
    delivery: &'s Delivery,
    handled: &'s Handled<'s>,
    acknowledger: &'s A,
}

impl<A: Acknowledger> Settled<'_, A> {
    /// Acknowledges a message once its reply is sent, or was tried: a reply is worth less than the message.
    async fn reply(&self, reply: Addressed, error: Option<&Failure>, tag: DeliveryTag) {
        if let Err(failure) = answering::send(reply, self.delivery, self.acknowledger).await {
            // who asked hears why there is no value
            self.tell(&failure).await;
        }
        self.note(Outcome::Ack, None);
        self.witness(Verdict {
            failure: error,
            ..Verdict::of(Outcome::Ack)
        });
        self.acknowledger.ack(tag).await;
    }

    /// Gives back a message that its handler did not want to settle, unless that was so too often.
    ///
    /// The first time it goes back to its place. From the second time on a copy counts, and waits for a moment: a
    /// broker counts what no handler has begun as well, or nothing.
    async fn requeue(&self, error: Option<&Failure>, tag: DeliveryTag, slot: Option<impl Send>) {
        let (delivery, acknowledger) = (self.delivery, self.acknowledger);
        if self.settling.stop.is_cancelled() {
            self.note(Outcome::Requeue, None);
            return acknowledger.give_back(tag).await;
        }
        let requeues = delivery.requeues().saturating_add(1);
        let too_often = |text| Failure::new(Reason::TooManyDeliveries, text);
        let verdict = Verdict {
            failure: error,
            ..Verdict::of(Outcome::Requeue)
        };
        match self.handled.trying.most_requeues {
            None => {
                self.witness(verdict);
                self.put_back(tag).await;
            }
            Some(most) if requeues >= most => {
                let text = format!("its handler gave the message back {requeues} times");
                self.fail(too_often(text), tag, slot).await;
            }
            Some(_) if requeues == 1 => {
                self.witness(verdict);
                self.put_back(tag).await;
            }
            Some(_) => {
                let copy = copy::recounted(delivery, requeues);
                let kept = self
                    .keep(copy, |copy| acknowledger.retry(copy, RECOUNT_DELAY))
                    .await;
                if cannot_be_kept(&kept) {
                    let text = "its headers leave no room to count how often it was given back";
                    self.fail(too_often(text.to_owned()), tag, slot).await;
                } else {
                    self.witness(Verdict {
                        after: Some(RECOUNT_DELAY),
                        ..verdict
                    });
                    self.finish(kept, tag).await;
                }
            }
        }
    }

    async fn put_back(&self, tag: DeliveryTag) {
        self.note(Outcome::Requeue, None);
        self.acknowledger.requeue(tag).await;
    }

    /// Has a message tried again, or gives it up. It is large, and so is boxed.
    fn fail<'f>(
        &'f self,
        failure: Failure,
        tag: DeliveryTag,
        slot: Option<impl Send + 'f>,
    ) -> BoxFuture<'f, ()> {
        Box::pin(self.fail_by_itself(failure, tag, slot))
    }

    async fn fail_by_itself(
        &self,
        mut failure: Failure,
        tag: DeliveryTag,
        mut slot: Option<impl Send>,
    ) {
        let (delivery, acknowledger) = (self.delivery, self.acknowledger);
        if let Some(outcome @ (Outcome::Requeue | Outcome::Discard)) = failure.outcome() {
            if outcome == Outcome::Requeue {
                self.debug(&failure, "requeued");
                self.requeue(Some(&failure), tag, slot).await;
            } else {
                self.debug(&failure, "discarded");
                self.note(outcome, Some(&failure));
                self.witness_failed(Outcome::Discard, None, &failure);
                acknowledger.ack(tag).await;
                self.tell(&failure).await;
            }
            return;
        }
        if let Some(delay) = self.handled.trying.retry.next(delivery.attempt(), &failure) {
            let copy = copy::retry(delivery);
            let keep = |copy| acknowledger.retry(copy, delay);
            match self
                .keep_at_last(copy, keep, is_of_the_message, &mut slot)
                .await
            {
                Kept::Safe => {
                    self.note(Outcome::Retry, Some(&failure));
                    self.witness_failed(Outcome::Retry, Some(delay), &failure);
                    acknowledger.ack(tag).await;
                    self.log(
                        Fate::Retried,
                        &failure,
                        format_args!("failed, trying again in {delay:?}"),
                    );
                    return;
                }
                Kept::GivenUp => return self.put_back(tag).await,
                Kept::Never(error) => {
                    failure = failure.without_copy(&match error.is::<NoRoom>() {
                        true => "its headers leave no room to count one more attempt".to_owned(),
                        false => format!("its copy for one more attempt was not kept: {error}"),
                    });
                }
            }
        }
        if self.settling.dead_lettering == DeadLettering::ByBroker {
            self.log(Fate::Rejected, &failure, format_args!("rejected"));
            self.note(Outcome::DeadLetter, Some(&failure));
            self.witness_failed(Outcome::DeadLetter, None, &failure);
            acknowledger.reject(tag).await;
            self.tell(&failure).await;
        } else {
            let copy = copy::dead_letter(
                delivery,
                &failure,
                (self.handled.handler != NO_HANDLER).then_some(self.handled.handler),
                self.settling.app.as_deref(),
            );
            let keep = |copy| acknowledger.dead_letter(copy);
            // there is nowhere else for it to go
            match self.keep_at_last(copy, keep, |_| false, &mut slot).await {
                Kept::Safe => {
                    self.note(Outcome::DeadLetter, Some(&failure));
                    self.witness_failed(Outcome::DeadLetter, None, &failure);
                    acknowledger.ack(tag).await;
                    self.log(Fate::DeadLettered, &failure, format_args!("dead-lettered"));
                    self.tell(&failure).await;
                }
                Kept::GivenUp | Kept::Never(_) => self.put_back(tag).await,
            }
        }
    }

    /// Lets a test see what becomes of the message, before its source is told.
    fn witness(&self, verdict: Verdict<'_>) {
        if let Some(watch) = self.settling.stage.watch() {
            watch.settled(self.delivery, self.handled.handler, verdict);
        }
    }

    fn witness_failed(&self, outcome: Outcome, after: Option<Duration>, failure: &Failure) {
        self.witness(Verdict {
            after,
            failure: Some(failure),
            ..Verdict::of(outcome)
        });
    }

    /// Tells who asked that the message was given up, which is settled by now.
    async fn tell(&self, failure: &Failure) {
        match reply::to_failure(failure, self.delivery) {
            Ok(None) => {}
            Ok(Some(reply)) => {
                // counted where it fails
                let _ = answering::send(reply, self.delivery, self.acknowledger).await;
            }
            Err(error) => {
                warn!(queue = self.delivery.queue(), %error, "who asked was not told that it failed");
            }
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
        let is_trouble = |error: &ConsumerError| !is_of_the_message(error);
        self.settling.copies.watch(keep(copy), is_trouble).await
    }

    /// Acknowledges the original where its copy is safe, else gives it back after a pause.
    async fn finish(&self, kept: Result<(), ConsumerError>, tag: DeliveryTag) {
        let settling = self.settling;
        let Err(error) = kept else {
            settling.pause.reset();
            self.note(Outcome::Requeue, None);
            return self.acknowledger.ack(tag).await;
        };
        let pause = settling.next_pause();
        self.log_not_kept(&error, format_args!("requeueing the message in {pause:?}"));
        settling.wait(pause).await;
        self.put_back(tag).await;
    }
}

/// An error that is meant for who asked is the answer to a request, and no failure.
fn answer_in(failure: &Failure, delivery: &Delivery) -> Option<Addressed> {
    let is_meant = failure.error().and_then(cause::<ErrorReply>).is_some();
    is_meant
        .then(|| reply::to_failure(failure, delivery).ok().flatten())
        .flatten()
}

/// Whether no copy of this message is ever kept there: then it goes where nothing has to be counted.
fn cannot_be_kept(kept: &Result<(), ConsumerError>) -> bool {
    matches!(kept, Err(error) if is_of_the_message(error))
}

/// Whether the message itself is at fault, and another one goes well.
fn is_of_the_message(error: &ConsumerError) -> bool {
    error.is::<NoRoom>() || error.is::<NotTaken>()
}

/// The broker does not take a message, whatever the others do: it is too large, for one.
#[derive(Debug, Error)]
#[error("the broker refused the message: {0}")]
pub(crate) struct NotTaken(pub(crate) String);
