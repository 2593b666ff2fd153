//! An app in a test.

use super::{App, Error, Queue};
use crate::{handler::HandlerRegistry, layer::HandlerLayer, stage::Stage};

impl App {
    /// The same app on the broker of a test.
    pub(crate) fn on_stage(mut self, url: String, stage: Stage, layer: impl HandlerLayer) -> Self {
        self.url = url;
        self.stage = stage;
        self.credentials = None;
        self.wait_for_broker = None;
        self.layer(layer)
    }

    /// With these queues, all of which it consumes, and these handlers.
    pub(crate) fn with_queues(mut self, queues: Vec<Queue>, handlers: HandlerRegistry) -> Self {
        (self.queues, self.only) = (queues, None);
        self.handlers(handlers)
    }

    /// Makes its state. From then on there is [another one](Self::again) like it.
    pub(crate) async fn with_state_made(mut self) -> Result<Self, Error> {
        self.make_state().await?;
        Ok(self)
    }

    /// The same once more, with the state that was made.
    pub(crate) fn again(&self) -> Self {
        Self {
            url: self.url.clone(),
            queues: self.queues.clone(),
            handlers: self.handlers.clone(),
            deadline: self.deadline,
            reconnect: self.reconnect,
            state: self.state.clone(),
            lazy_state: Vec::new(),
            name: self.name.clone(),
            layers: self.layers.clone(),
            only: self.only.clone(),
            declare: self.declare,
            exchanges: self.exchanges.clone(),
            wait_for_broker: None,
            credentials: None,
            brake: self.brake,
            checks: self.checks.clone(),
            stage: self.stage.clone(),
        }
    }
}
