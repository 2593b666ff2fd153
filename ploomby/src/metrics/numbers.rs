use std::time::Duration;

use super::{
    histogram::Distribution,
    meter::{HandlerMeter, QueueMeter},
};
use crate::{
    health::QueueHealth,
    outcome::{Outcome, Reason},
};

/// What there was of a queue up to the moment when it was asked for.
#[derive(Clone, Debug)]
pub struct QueueMetrics {
    health: QueueHealth,
    handlers: Vec<HandlerMetrics>,
}

impl QueueMetrics {
    pub(super) fn new(meter: &QueueMeter, health: QueueHealth) -> Self {
        Self {
            health,
            handlers: meter.all().iter().map(HandlerMetrics::new).collect(),
        }
    }

    /// The queue's name.
    #[must_use]
    pub fn queue(&self) -> &str {
        self.health.queue()
    }

    /// What [`Health`](crate::Health) tells of it: its consumers, replies that were lost, and the handlers that wait.
    #[must_use]
    pub fn health(&self) -> &QueueHealth {
        &self.health
    }

    /// Its handlers that have had a message, by name, and `_unknown` for messages without one.
    #[must_use]
    pub fn handlers(&self) -> &[HandlerMetrics] {
        &self.handlers
    }
}

/// What there was of a handler on one queue.
#[derive(Clone, Debug)]
pub struct HandlerMetrics {
    handler: &'static str,
    in_flight: u64,
    done: Distribution,
    failed: Vec<(Reason, Distribution)>,
    refused: Vec<(Reason, u64)>,
    settled: Vec<(Outcome, Option<Reason>, u64)>,
    queue_time: Distribution,
}

impl HandlerMetrics {
    fn new(meter: &HandlerMeter) -> Self {
        // what has ended is read before what has begun, so that nothing has ended before it began
        let dropped = meter.dropped();
        let done = meter.done();
        let of_reasons = || Reason::ALL.into_iter();
        let failed = of_reasons().filter_map(|reason| Some((reason, meter.failed(reason)?)));
        let failed: Vec<_> = failed.collect();
        let ended = failed.iter().map(|(_, failed)| failed.count()).sum::<u64>();
        let ended = ended + done.count() + dropped;
        let reasons = || [None].into_iter().chain(of_reasons().map(Some));
        let settled = Outcome::ALL.into_iter().flat_map(|outcome| {
            reasons().map(move |reason| (outcome, reason, meter.settled_by(outcome, reason)))
        });
        Self {
            handler: meter.name(),
            in_flight: meter.begun().saturating_sub(ended),
            done,
            failed,
            refused: of_reasons()
                .map(|reason| (reason, meter.refused(reason)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            settled: settled
                .filter(|(outcome, reason, count)| {
                    *count > 0 || (*outcome, *reason) == (Outcome::Ack, None)
                })
                .collect(),
            queue_time: meter.waited(),
        }
    }

    /// The path of the function, or `_unknown`.
    #[must_use]
    pub fn handler(&self) -> &str {
        self.handler
    }

    /// How many messages the handler is at work at.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// How many messages it was done with, well or not, each attempt by itself. Of `_unknown`, how many were refused.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        let refused: u64 = self.refused.iter().map(|(_, count)| count).sum();
        self.duration().count() + refused
    }

    /// How many of them failed for this reason.
    #[must_use]
    pub fn failed(&self, reason: Reason) -> u64 {
        let failed = self.failed.iter().find(|(known, _)| *known == reason);
        let refused = self.refused.iter().find(|(known, _)| *known == reason);
        failed.map_or(0, |(_, failed)| failed.count()) + refused.map_or(0, |(_, count)| *count)
    }

    /// Of how many messages the source was told this: that they are done, that a copy of them is in a retry queue or the
    /// dead-letter queue, that they go back.
    #[must_use]
    pub fn settled(&self, outcome: Outcome) -> u64 {
        let of_it = self.settled.iter().filter(|(known, ..)| *known == outcome);
        of_it.map(|(.., count)| count).sum()
    }

    /// The same for one reason, or for none.
    #[must_use]
    pub fn settled_for(&self, outcome: Outcome, reason: Option<Reason>) -> u64 {
        let mut all = self.settled.iter();
        let found = all.find(|(known, why, _)| (*known, *why) == (outcome, reason));
        found.map_or(0, |(.., count)| *count)
    }

    /// How long the handler took, with its layers, its arguments and the wait for the rest of a batch.
    #[must_use]
    pub fn duration(&self) -> Distribution {
        let mut all = self.done.clone();
        for (_, failed) in &self.failed {
            all.add(failed);
        }
        all
    }

    /// How long messages were on their way from their sender and waited in the queue, of those that say when they were
    /// sent (the header `ploomby-sent-at`) and come for the first time. Above a thousand messages a second of a consumer it
    /// is looked at for a thousand of them.
    #[must_use]
    pub fn queue_time(&self) -> &Distribution {
        &self.queue_time
    }

    /// By reason: none for those that did not fail.
    pub(super) fn durations(&self) -> impl Iterator<Item = (Option<Reason>, &Distribution)> {
        let failed = self
            .failed
            .iter()
            .map(|(reason, time)| (Some(*reason), time));
        [(None, &self.done)].into_iter().chain(failed)
    }

    pub(super) fn refused_by(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        self.refused.iter().copied()
    }

    pub(super) fn settled_by(&self) -> impl Iterator<Item = (Outcome, Option<Reason>, u64)> + '_ {
        self.settled.iter().copied()
    }
}

/// What was sent to one destination, with one result.
#[derive(Clone, Debug)]
pub struct SentMetrics {
    pub(super) operation: &'static str,
    pub(super) destination: String,
    pub(super) error: Option<&'static str>,
    pub(super) duration: Distribution,
}

impl SentMetrics {
    /// `send` for messages, `call` for calls.
    #[must_use]
    pub fn operation(&self) -> &str {
        self.operation
    }

    /// The exchange or, through the default exchange, the queue. Beyond 256 of them it is `_other`.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// Why not, if they were not sent: the name of the error, such as `unroutable`.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.duration.count()
    }

    /// How long all of them took together until the broker had confirmed them or, of calls, the reply was there.
    #[must_use]
    pub fn total_time(&self) -> Duration {
        self.duration.sum()
    }

    /// How long each took.
    #[must_use]
    pub fn duration(&self) -> &Distribution {
        &self.duration
    }
}
