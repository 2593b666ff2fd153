use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tower_layer::Layer;
use tower_service::Service;

use super::director::{Director, SENDER, Sender, Stepping};
use crate::{
    delivery::Delivery,
    layer::{HandlerError, HandlerService},
    reply::Answer,
};

/// Goes around all handlers, and says whose the messages are that they send.
pub(super) struct Scope(pub(super) Director);

pub(super) struct Scoped {
    director: Director,
    inner: HandlerService,
}

impl Layer<HandlerService> for Scope {
    type Service = Scoped;

    fn layer(&self, inner: HandlerService) -> Scoped {
        Scoped {
            director: self.0.clone(),
            inner,
        }
    }
}

impl Service<Delivery> for Scoped {
    type Response = Answer;
    type Error = HandlerError;
    type Future = BoxFuture<'static, Result<Answer, HandlerError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandlerError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, delivery: Delivery) -> Self::Future {
        let working = self.director.begins(&delivery);
        let sender = Sender::Handler(working.number);
        if self.director.is_simulating() {
            let mut inner = self.inner.clone();
            let named = delivery.clone();
            let work = async move { inner.call(delivery).await };
            let work = Stepping::new(work, &self.director, &named);
            return Box::pin(SENDER.scope(sender, async move {
                let _working = working;
                work.await
            }));
        }
        // a handler may send before it waits for the first time
        let work = SENDER.sync_scope(sender, || self.inner.call(delivery));
        Box::pin(SENDER.scope(sender, work))
    }
}
