//! What becomes of messages, as the log and the metrics have it.

use std::{fmt, time::Instant};

use tracing::{Level, debug, error, field::display, warn};

use super::{
    Acknowledger, ConsumerError, Handled, Settled, copy,
    log::{Fate, Said},
};
use crate::{
    delivery::Delivery,
    metrics::HandlerMeter,
    outcome::{Failure, Outcome, Reason, cut},
    trace::{self, trace_id},
};

const NOT_KEPT: &str = "the copy of a message was not kept";

/// The target of the line that each message has.
const TARGET: &str = "ploomby::message";

/// What became of a message, and why.
pub(crate) type Became = (Outcome, Option<Reason>);

/// Takes note of what becomes of a message, once that is sure.
#[inline]
pub(crate) fn note(
    (outcome, reason): Became,
    handler: &'static str,
    meter: &HandlerMeter,
    delivery: &Delivery,
    since: impl FnOnce() -> Instant,
) {
    meter.settled(outcome, reason);
    if tracing::enabled!(target: TARGET, Level::DEBUG) {
        tell((outcome, reason), handler, delivery, since());
    }
}

#[cold]
fn tell((outcome, reason): Became, handler: &'static str, delivery: &Delivery, since: Instant) {
    debug!(
        target: TARGET,
        queue = delivery.queue(),
        handler,
        key = cut_key(delivery),
        message_id = delivery.properties().message_id(),
        attempt = delivery.attempt(),
        outcome = outcome.as_str(),
        reason = reason.map(Reason::as_str),
        trace_id = trace_id(delivery).map(display),
        duration = ?since.elapsed(),
        "settled"
    );
}

impl<A: Acknowledger> Settled<'_, A> {
    /// Takes note of what becomes of the message, once that is sure.
    pub(super) fn note(&self, outcome: Outcome, failure: Option<&Failure>) {
        let became = (outcome, failure.map(|failure| failure.reason));
        let Handled {
            handler,
            meter,
            since,
            ..
        } = *self.handled;
        trace::note(outcome, failure);
        note(became, handler, meter, self.delivery, || since);
    }

    pub(super) fn log_not_kept(&self, error: &ConsumerError, then: fmt::Arguments<'_>) {
        let (queue, key) = (self.delivery.queue(), cut_key(self.delivery));
        let log = &self.settling.log;
        match log.note_text(
            Fate::NotKept,
            self.handled.handler,
            None,
            &error.to_string(),
        ) {
            Said::Whole => error!(queue, key, %error, "{NOT_KEPT}, {then}"),
            Said::Counted(count, time) => {
                error!(queue, %error, "{NOT_KEPT}: {count} messages in {time:.0?}, {then}");
            }
            Said::Nothing => debug!(queue, key, %error, "{NOT_KEPT}, {then}"),
        }
    }

    /// The first failure of its kind is a warning, the others are counted; at debug level each has its line.
    pub(super) fn log(&self, fate: Fate, failure: &Failure, what: fmt::Arguments<'_>) {
        let (queue, handler, reason) =
            (self.delivery.queue(), self.handled.handler, failure.reason);
        match self.settling.log.note(fate, handler, failure) {
            Said::Whole => {
                let (key, attempt) = (cut_key(self.delivery), self.delivery.attempt());
                let message_id = self.delivery.properties().message_id();
                let error = failure.log_text();
                let trace_id = trace_id(self.delivery).map(display);
                warn!(queue, handler, key, message_id, attempt, trace_id, %reason, error, "{what}");
            }
            Said::Counted(count, time) => {
                let error = failure.log_text();
                warn!(queue, handler, %reason, error, "{what}: {count} messages in {time:.0?}");
                self.debug(failure, what);
            }
            Said::Nothing => self.debug(failure, what),
        }
    }

    pub(super) fn debug(&self, failure: &Failure, what: impl fmt::Display) {
        if tracing::enabled!(tracing::Level::DEBUG) {
            let (queue, key) = (self.delivery.queue(), cut_key(self.delivery));
            let (attempt, reason) = (self.delivery.attempt(), failure.reason);
            let message_id = self.delivery.properties().message_id();
            let (trace_id, error) = (trace_id(self.delivery).map(display), failure.log_text());
            debug!(queue, key, message_id, attempt, trace_id, %reason, error, "{what}");
        }
    }
}

pub(super) fn cut_key(delivery: &Delivery) -> Option<String> {
    delivery
        .key()
        .map(|key| cut(key.into_owned(), copy::MAX_KEY))
}
