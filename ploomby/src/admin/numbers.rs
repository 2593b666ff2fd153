//! What the pages of queues and handlers show, as it is now.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    depths::{Known, depths},
    rates::Counts,
    site::Site,
    text,
};
use crate::{
    brake::BrakeCause,
    health::QueueHealth,
    metrics::{Distribution, HandlerMetrics},
    ops::{HandlerInfo, QueueDepths},
    outcome::Reason,
};

/// One queue.
pub(super) struct QueueRow {
    pub(super) queue: String,
    /// In words, and as a colour.
    pub(super) state: (String, &'static str),
    pub(super) ready: String,
    pub(super) in_flight: String,
    pub(super) rate: String,
    pub(super) retry: String,
    pub(super) dead: String,
    pub(super) is_paused: bool,
}

/// What stands where a number is not known.
const NOT_KNOWN: &str = "–";

/// Each queue of the program, in its order, and what is wrong with the broker.
pub(super) async fn queues(site: &Arc<Site>) -> (Vec<QueueRow>, Option<String>) {
    let depths = depths(site).await;
    let life = site.life();
    let controls = life.controls();
    let metrics = controls.map(|controls| controls.metrics.queues());
    let metrics = metrics.unwrap_or_default();
    let counts: Counts = metrics
        .iter()
        .map(|queue| {
            (
                queue.queue().to_owned(),
                queue.handlers().iter().map(HandlerMetrics::consumed).sum(),
            )
        })
        .collect();
    let rates = site.rates.of(&counts);
    let rows = site.ops.program().queues.iter().map(|queue| {
        let name = &queue.name;
        let metrics = metrics.iter().find(|metrics| metrics.queue() == name);
        let health = metrics.map(|metrics| metrics.health());
        let in_flight = metrics.map(|metrics| {
            let handlers = metrics.handlers().iter();
            handlers.map(HandlerMetrics::in_flight).sum::<u64>()
        });
        let rate = rates.get(name).copied().unwrap_or_default();
        QueueRow {
            queue: name.clone(),
            state: state(health),
            in_flight: in_flight.map_or_else(|| NOT_KNOWN.to_owned(), text::count),
            rate: text::rate(rate),
            is_paused: health.is_some_and(|health| health.paused_by().is_some()),
            ..QueueRow::of_depths(&depths, name)
        }
    });
    (rows.collect(), depths.error)
}

impl QueueRow {
    fn of_depths(depths: &Known, queue: &str) -> Self {
        let depths = depths.of(queue);
        let number =
            |number: Option<usize>| number.map_or_else(|| NOT_KNOWN.to_owned(), text::count);
        let waiting =
            |depths: &QueueDepths| depths.waiting.iter().map(|waiting| waiting.messages).sum();
        Self {
            queue: queue.to_owned(),
            state: (String::new(), ""),
            ready: number(depths.and_then(|depths| depths.ready)),
            in_flight: String::new(),
            rate: String::new(),
            retry: number(depths.map(waiting)),
            dead: match depths {
                Some(QueueDepths {
                    dead_letters: None, ..
                }) => "the broker's".to_owned(),
                depths => number(depths.map(|depths| depths.dead)),
            },
            is_paused: false,
        }
    }
}

/// What health says of a queue, and how bad that is.
fn state(health: Option<&QueueHealth>) -> (String, &'static str) {
    let Some(health) = health else {
        return ("not consumed".to_owned(), "warn");
    };
    let (consuming, consumers) = (health.consuming(), health.consumers());
    let mut words = vec![format!("{consuming} of {consumers} consuming")];
    let troubles = health
        .not_consuming()
        .iter()
        .chain(health.unwired())
        .chain(health.copies());
    words.extend(troubles.map(ToString::to_string));
    words.extend(health.paused_by().map(|by| format!("paused by {by}")));
    for braked in health.brakes() {
        if braked.cause() != BrakeCause::Paused || health.paused_by().is_none() {
            words.push(braked.to_string());
        }
    }
    words.extend(
        health
            .blocking()
            .iter()
            .map(|trouble| format!("a handler blocks its thread {trouble}")),
    );
    let colour = match words.len() {
        _ if !health.is_healthy() => "bad",
        1 => "ok",
        _ => "warn",
    };
    (words.join("; "), colour)
}

/// The numbers of one handler.
pub(super) struct HandlerRow {
    pub(super) done: String,
    pub(super) failed: String,
    pub(super) in_flight: String,
    pub(super) p50: String,
    pub(super) p99: String,
}

/// Those of each handler of the program, in its order.
pub(super) fn handlers(site: &Site) -> Vec<HandlerRow> {
    let life = site.life();
    let queues = life.controls().map(|controls| controls.metrics.queues());
    let queues = queues.unwrap_or_default();
    let mut by_name: BTreeMap<&str, Vec<&HandlerMetrics>> = BTreeMap::new();
    for queue in &queues {
        for handler in queue.handlers() {
            by_name.entry(handler.handler()).or_default().push(handler);
        }
    }
    let row = |handler: &HandlerInfo| {
        let metrics = by_name
            .get(handler.function.as_str())
            .map_or(&[][..], Vec::as_slice);
        let durations: Vec<_> = metrics.iter().map(|metrics| metrics.duration()).collect();
        let sum = |of: fn(&HandlerMetrics) -> u64| {
            text::count(metrics.iter().map(|metrics| of(metrics)).sum::<u64>())
        };
        HandlerRow {
            done: sum(HandlerMetrics::consumed),
            failed: sum(failures),
            in_flight: sum(HandlerMetrics::in_flight),
            p50: bound(&durations, 0.5),
            p99: bound(&durations, 0.99),
        }
    };
    site.ops.program().handlers.iter().map(row).collect()
}

/// How many messages failed, for whatever reason.
fn failures(metrics: &HandlerMetrics) -> u64 {
    Reason::ALL
        .iter()
        .map(|reason| metrics.failed(*reason))
        .sum()
}

/// The bound below which such a part of all lies.
fn bound(durations: &[Distribution], part: f64) -> String {
    let total: u64 = durations.iter().map(Distribution::count).sum();
    if total == 0 {
        return NOT_KNOWN.to_owned();
    }
    let mut buckets: Vec<(Duration, u64)> = Vec::new();
    for duration in durations {
        for (at, (bound, count)) in duration.buckets().enumerate() {
            match buckets.get_mut(at) {
                Some((_, sum)) => *sum += count,
                None => buckets.push((bound, count)),
            }
        }
    }
    let wanted = (total as f64 * part).ceil() as u64;
    match buckets.iter().find(|(_, count)| *count >= wanted) {
        Some((bound, _)) => format!("≤ {}", text::time(*bound)),
        None => "> 60 min".to_owned(),
    }
}
