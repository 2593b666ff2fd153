//! Whether a program does its work, in a form that other programs read.

use serde::Serialize;

use super::time;
use crate::{
    brake::{Braked, CheckHealth},
    health::{Health, QueueHealth, Trouble},
};

/// [`Health`] as it is written in JSON: version 1 of the form.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct HealthInfo {
    /// The version of this form.
    pub v: u32,
    /// Whether messages are handled.
    pub status: Status,
    /// Each queue, by name.
    pub queues: Vec<QueueHealthInfo>,
    /// The program's own checks, by name.
    pub checks: Vec<CheckInfo>,
}

/// Whether a program handles messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// It has not begun.
    Starting,
    /// It consumes all its queues.
    Ready,
    /// Something does not work, which may come back by itself.
    Unhealthy,
    /// It was told to stop, and finishes what it has begun.
    Draining,
    /// It has ended, or a consumer of it has: that does not come back.
    Ended,
}

/// One queue of [`HealthInfo`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct QueueHealthInfo {
    /// Its name.
    pub queue: String,
    /// [`QueueHealth::is_healthy`].
    pub healthy: bool,
    /// [`QueueHealth::consumers`].
    pub consumers: usize,
    /// [`QueueHealth::consuming`].
    pub consuming: usize,
    /// [`QueueHealth::reconnects`].
    pub reconnects: u64,
    /// [`QueueHealth::not_consuming`].
    pub not_consuming: Vec<TroubleInfo>,
    /// [`QueueHealth::unwired`].
    pub unwired: Option<TroubleInfo>,
    /// [`QueueHealth::copies`].
    pub copies: Option<TroubleInfo>,
    /// [`QueueHealth::blocking`].
    pub blocking: Vec<TroubleInfo>,
    /// [`QueueHealth::paused_by`].
    pub paused_by: Option<String>,
    /// [`QueueHealth::brakes`].
    pub waiting: Vec<WaitingHandler>,
}

/// What does not work.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TroubleInfo {
    /// Since when, in UTC after RFC 3339.
    pub since: String,
    /// Why.
    pub reason: String,
}

/// A handler that gets no messages, or few.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct WaitingHandler {
    /// The path of the function.
    pub handler: String,
    /// What it waits for: `unavailable`, `failures`, `check`, `paused`.
    pub cause: String,
    /// The same in words.
    pub reason: String,
}

/// A check of the program's own.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CheckInfo {
    /// Its name.
    pub check: String,
    /// Whether it succeeded the last time.
    pub passing: bool,
    /// The last error, if it fails.
    pub error: Option<String>,
}

impl HealthInfo {
    /// That of a program that consumes.
    pub fn of(health: &Health) -> Self {
        let queues = health.queues();
        let status = match queues.iter().all(QueueHealth::is_healthy) {
            _ if queues.iter().any(|queue| queue.ended() > 0) => Status::Ended,
            true => Status::Ready,
            false => Status::Unhealthy,
        };
        Self {
            v: 1,
            status,
            queues: queues.iter().map(QueueHealthInfo::of).collect(),
            checks: health.checks().iter().map(CheckInfo::of).collect(),
        }
    }

    /// That of a program that does not consume yet, or not any more.
    pub fn without_queues(status: Status) -> Self {
        Self {
            v: 1,
            status,
            queues: Vec::new(),
            checks: Vec::new(),
        }
    }
}

impl QueueHealthInfo {
    fn of(queue: &QueueHealth) -> Self {
        Self {
            queue: queue.queue().to_owned(),
            healthy: queue.is_healthy(),
            consumers: queue.consumers(),
            consuming: queue.consuming(),
            reconnects: queue.reconnects(),
            not_consuming: queue.not_consuming().iter().map(TroubleInfo::of).collect(),
            unwired: queue.unwired().map(TroubleInfo::of),
            copies: queue.copies().map(TroubleInfo::of),
            blocking: queue.blocking().iter().map(TroubleInfo::of).collect(),
            paused_by: queue.paused_by().map(str::to_owned),
            waiting: queue.brakes().iter().map(WaitingHandler::of).collect(),
        }
    }
}

impl TroubleInfo {
    fn of(trouble: &Trouble) -> Self {
        Self {
            since: time::written(trouble.since()),
            reason: trouble.reason().to_owned(),
        }
    }
}

impl WaitingHandler {
    fn of(braked: &Braked) -> Self {
        Self {
            handler: braked.handler().to_owned(),
            cause: braked.cause().as_str().to_owned(),
            reason: braked.reason().to_owned(),
        }
    }
}

impl CheckInfo {
    fn of(check: &CheckHealth) -> Self {
        Self {
            check: check.name().to_owned(),
            passing: check.is_passing(),
            error: check.error().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_for_ever() {
        let trouble = || TroubleInfo {
            since: "2026-11-29T22:43:29Z".to_owned(),
            reason: "refused".to_owned(),
        };
        let health = HealthInfo {
            v: 1,
            status: Status::Unhealthy,
            queues: vec![QueueHealthInfo {
                queue: "billing".to_owned(),
                healthy: false,
                consumers: 2,
                consuming: 1,
                reconnects: 3,
                not_consuming: vec![trouble()],
                unwired: None,
                copies: Some(trouble()),
                blocking: Vec::new(),
                paused_by: Some("ada".to_owned()),
                waiting: vec![WaitingHandler {
                    handler: "shop::charge".to_owned(),
                    cause: "check".to_owned(),
                    reason: "the check `bank` fails".to_owned(),
                }],
            }],
            checks: vec![CheckInfo {
                check: "bank".to_owned(),
                passing: false,
                error: Some("closed".to_owned()),
            }],
        };
        let trouble = r#"{"since":"2026-11-29T22:43:29Z","reason":"refused"}"#;
        let expected = format!(
            r#"{{"v":1,"status":"unhealthy","queues":[{{"queue":"billing","healthy":false,"consumers":2,"consuming":1,"reconnects":3,"not_consuming":[{trouble}],"unwired":null,"copies":{trouble},"blocking":[],"paused_by":"ada","waiting":[{{"handler":"shop::charge","cause":"check","reason":"the check `bank` fails"}}]}}],"checks":[{{"check":"bank","passing":false,"error":"closed"}}]}}"#
        );
        assert_eq!(serde_json::to_string(&health).unwrap(), expected);
        let statuses = [
            Status::Starting,
            Status::Ready,
            Status::Draining,
            Status::Ended,
        ];
        let written = serde_json::to_string(&statuses).unwrap();
        assert_eq!(written, r#"["starting","ready","draining","ended"]"#);
    }
}
