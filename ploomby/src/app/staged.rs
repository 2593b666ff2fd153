//! An app in a test.

use super::{App, Error, Queue};
use crate::{handler::HandlerRegistry, layer::HandlerLayer, stage::Stage, topology::Exchange};

impl App {
    /// The same app on the broker of a test.
    pub(crate) fn at(mut self, url: String) -> Self {
        self.url = url;
        self.credentials = None;
        self.wait_for_broker = None;
        self
    }

    /// The exchanges that it sends through, and that no queue of its own is bound to.
    pub(crate) fn own_exchanges(&self) -> &[Exchange] {
        &self.exchanges
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

    /// The same once more on this stage, with the state that was made, and with one more layer.
    pub(crate) fn again(&self, stage: Stage, layer: impl HandlerLayer) -> Self {
        let again = Self {
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
            trace: self.trace,
            stage,
            #[cfg(feature = "admin")]
            attend: None,
            #[cfg(feature = "admin")]
            said: http::Extensions::new(),
        };
        again.layer(layer)
    }
}
