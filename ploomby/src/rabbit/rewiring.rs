//! What leads to a queue, where the broker refused it after a lost connection: it is tried again beside the consumer.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, error, info};

use super::{connection::SharedConnection, topology};
use crate::{consumer::Declare, dispatcher::Dispatcher, topology::Wiring};

/// Nobody but another program or a person can help.
pub(super) const HOPELESS_PAUSE: Duration = Duration::from_secs(30);

/// Exchanges and bindings that are missing.
pub(super) struct Rewiring {
    pub(super) connection: Arc<SharedConnection>,
    pub(super) queue: String,
    pub(super) declare: Declare,
    pub(super) wiring: Wiring,
}

impl Rewiring {
    /// Tries until it succeeds, or what is returned is dropped.
    pub(super) fn spawn(self, dispatcher: &Dispatcher) -> DropGuard {
        let token = CancellationToken::new();
        let guard = token.clone().drop_guard();
        let dispatcher = dispatcher.clone();
        tokio::spawn(async move {
            // a question is asked to its end: what is dropped halfway leaves the client in disorder
            while token
                .run_until_cancelled(sleep(HOPELESS_PAUSE))
                .await
                .is_some()
            {
                if self.is_done(&dispatcher).await {
                    return;
                }
            }
        });
        guard
    }

    async fn is_done(&self, dispatcher: &Dispatcher) -> bool {
        let queue = &*self.queue;
        let wired = topology::wire_beside(&self.connection, queue, self.declare, &self.wiring);
        match wired.await {
            Ok(()) => {
                dispatcher.wired();
                info!(queue, "declared again what leads to the queue");
                true
            }
            Err(error) if error.has_closed_the_connection() => {
                error!(queue, %error, "cannot declare again what leads to the queue, and does not try it again");
                true
            }
            Err(error) => {
                debug!(queue, %error, "cannot declare again what leads to the queue");
                false
            }
        }
    }
}
