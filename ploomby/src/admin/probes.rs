//! What probes and Prometheus ask.

use std::sync::Arc;

use axum::{Json, extract::State, response::IntoResponse};
use http::{StatusCode, header::CONTENT_TYPE};

use super::site::Site;
use crate::{
    app::Life,
    health::QueueHealth,
    ops::{HealthInfo, Status},
};

/// Whether the program is worth to be left alone: the runtime answers, and no consumer has ended by itself. The start and the end of the
/// program are its own.
pub(super) async fn live(State(site): State<Arc<Site>>) -> impl IntoResponse {
    let has_ended = |queue: &QueueHealth| queue.ended() > 0;
    let is_dead = match site.life() {
        Life::Running(controls) => controls.health.queues().iter().any(has_ended),
        _ => false,
    };
    match is_dead {
        false => (StatusCode::OK, "live\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "a consumer has ended\n"),
    }
}

/// Whether messages are handled. Why not is for those alone who may read it.
pub(super) async fn ready(State(site): State<Arc<Site>>) -> impl IntoResponse {
    let status = site.health().status;
    let text = match status {
        Status::Starting => "starting\n",
        Status::Ready => "ready\n",
        Status::Unhealthy => "unhealthy\n",
        Status::Draining => "draining\n",
        Status::Ended => "ended\n",
    };
    (code(status), text)
}

pub(super) async fn health(State(site): State<Arc<Site>>) -> (StatusCode, Json<HealthInfo>) {
    let health = site.health();
    (code(health.status), Json(health))
}

pub(super) async fn metrics(State(site): State<Arc<Site>>) -> impl IntoResponse {
    match site.life().controls() {
        Some(controls) => {
            let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            (StatusCode::OK, kind, controls.metrics.prometheus())
        }
        None => {
            let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
            let text = "nothing is consumed, and nothing counted\n".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, kind, text)
        }
    }
}

fn code(status: Status) -> StatusCode {
    match status {
        Status::Ready => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use axum::response::Response;
    use tokio::sync::watch;

    use super::*;
    use crate::{
        admin::door::Door,
        app::{App, Controls},
        health::{ConsumerHealth, Health},
        metrics::{Meters, Metrics},
    };

    async fn codes(life: Life) -> [u16; 3] {
        let ops = App::new("memory://probes").ops().unwrap();
        let (_sender, life) = watch::channel(life);
        let site = State(Arc::new(Site::new(ops, life, Door::of_the_machine())));
        let code = |response: Response| response.status().as_u16();
        [
            code(live(site.clone()).await.into_response()),
            code(ready(site.clone()).await.into_response()),
            code(metrics(site).await.into_response()),
        ]
    }

    #[tokio::test]
    async fn a_consumer_that_ended_by_itself_is_a_reason_to_kill_and_a_broker_that_is_down_is_none()
    {
        let consumer = Arc::new(ConsumerHealth::default());
        let health = Health::default();
        health.watch("billing", vec![consumer.clone()]);
        let controls = Controls {
            metrics: Metrics::new(
                Meters::default(),
                health.clone(),
                Default::default(),
                || false,
            ),
            health,
        };
        assert_eq!(codes(Life::Starting).await, [200, 503, 503]);
        let running = Life::Running(controls.clone());
        assert_eq!(codes(running.clone()).await, [200, 200, 200]);
        consumer.not_consuming("the broker is down");
        assert_eq!(codes(running.clone()).await, [200, 503, 200]);
        consumer.ended();
        assert_eq!(codes(running).await, [503, 503, 200]);
        // as it was told to
        assert_eq!(codes(Life::Draining(controls)).await, [200, 503, 200]);
        assert_eq!(codes(Life::Ended).await, [200, 503, 503]);
    }
}
