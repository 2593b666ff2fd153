//! What counts nothing: the feature `metrics` is off.

#![allow(clippy::unused_self, reason = "it stands for what counts")]

use std::time::Instant;

use crate::{
    delivery::Delivery,
    outcome::{Failure, Outcome, Reason},
};

#[derive(Clone, Debug)]
pub(crate) struct QueueMeter(());

#[derive(Clone, Debug)]
pub(crate) struct HandlerMeter(());

#[derive(Debug)]
pub(crate) struct AtWork(());

#[derive(Debug, Default)]
pub(crate) struct Samples(());

#[derive(Clone, Debug, Default)]
pub(crate) struct Meters(());

#[derive(Clone, Debug, Default)]
pub(crate) struct Sent(());

#[derive(Debug)]
pub(crate) struct Sending(());

impl QueueMeter {
    pub(crate) fn new() -> Self {
        Self(())
    }

    pub(crate) fn handler(&self, _: &'static str) -> HandlerMeter {
        HandlerMeter(())
    }

    pub(crate) fn unknown(&self) -> &HandlerMeter {
        &HandlerMeter(())
    }
}

impl HandlerMeter {
    #[inline]
    pub(crate) fn begins(&self) {}

    #[inline]
    pub(crate) fn ends(&self, _: impl FnOnce() -> u64, _: Option<&Failure>) {}

    #[inline]
    pub(crate) fn at_work(&self) -> AtWork {
        AtWork(())
    }

    #[inline]
    pub(crate) fn still_at_work(&self, _: impl FnOnce() -> Instant) -> AtWork {
        AtWork(())
    }

    #[inline]
    pub(crate) fn refuses(&self, _: &Failure) {}

    #[inline]
    pub(crate) fn settled(&self, _: Outcome, _: Option<Reason>) {}

    #[inline]
    pub(crate) fn queue_time(&self, _: &Delivery) {}
}

impl AtWork {
    #[inline]
    pub(crate) fn ends(self, _: Option<&Failure>) {}
}

impl Samples {
    #[inline]
    pub(crate) fn is_due(&self, _: u64) -> bool {
        false
    }
}

impl Meters {
    pub(crate) fn watch(&self, _: &str, _: &QueueMeter) {}
}

impl Sent {
    #[inline]
    pub(crate) fn begin(&self, _: &'static str, _: &str, _: &str) -> Sending {
        Sending(())
    }
}

impl Sending {
    #[inline]
    pub(crate) fn end(self, _: impl FnOnce() -> Option<&'static str>) {}
}
