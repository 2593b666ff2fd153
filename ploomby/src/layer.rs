//! What runs around handlers: `tower`'s layers.

use std::{
    fmt,
    future::ready,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, ServiceExt, timeout::error::Elapsed, util::BoxService};
use tower_layer::Layer;
use tower_service::Service;

#[cfg(feature = "testing")]
pub(crate) use self::panics::quietly;
pub(crate) use self::panics::{watch as watch_panics, words as panic_words};
pub use self::work::HandlerFuture;
pub(crate) use self::work::start;
pub(crate) use self::work::{guard, guard_one};
use crate::{
    delivery::Delivery,
    outcome::{Failure, Outcome, Reason, cause},
    reply::Answer,
};

mod panics;
mod work;

/// A `tower::Layer` that can be put around handlers. It is implemented for all that can.
///
/// Its service takes a [`Delivery`] and responds with an [`Answer`]; its error is one that converts to
/// `tower::BoxError`. What it wraps is a [`HandlerService`]. `tower`'s own layers do, and so do
/// those that are made of functions:
///
/// ```standalone_crate
/// use std::time::Duration;
/// use ploomby::{App, Delivery, KeySource, Queue, extract::Extension};
/// use tower::{ServiceBuilder, limit::ConcurrencyLimitLayer, util::MapRequestLayer};
///
/// #[derive(Clone)]
/// struct Tenant(String);
///
/// fn tenant(mut delivery: Delivery) -> Delivery {
///     let tenant = delivery.headers().text("tenant").unwrap_or("nobody").to_owned();
///     delivery.extensions_mut().insert(Tenant(tenant));
///     delivery
/// }
///
/// #[ploomby::handler("bill")]
/// async fn bill(Extension(tenant): Extension<Tenant>, cents: u64) {
///     println!("{} owes {cents}", tenant.0);
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let running = App::new("memory://layer-example")
///     .queue(Queue::new("bills").key(KeySource::header("task_name")))
///     .layer(
///         ServiceBuilder::new()
///             .layer(MapRequestLayer::new(tenant))
///             .layer(ConcurrencyLimitLayer::new(8)),
///     )
///     .start()
///     .await?;
/// running.shut_down().await?;
/// # Ok(())
/// # }
/// ```
///
/// Layers run for a message that has a handler, before its arguments are made. An error of a layer
/// counts as an error of the handler, and is retried where the handler is; that of `tower`'s timeout
/// counts as a [timeout](crate::Reason::Timeout). A handler's `timeout` includes its layers, and what
/// waits for one takes a place of the queue's concurrency. What still waits for a layer to be ready, a
/// limit for one, when the program is told to stop goes back to the queue; the layers around it see
/// [`Outcome::Requeue`].
///
/// A layer that answers by itself, without its service, decides about the message:
/// `Ok(Outcome::Discard.into())`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a layer around handlers",
    label = "not a `tower::Layer` for handlers",
    note = "a layer is a `tower::Layer<ploomby::HandlerService>` whose service takes a \
            `ploomby::Delivery` and responds with a `ploomby::Answer`",
    note = "its error converts to `tower::BoxError`, and it, its service and its future are `Send` \
            and borrow nothing"
)]
pub trait HandlerLayer: Send + Sync + 'static {
    /// Puts the layer around a service.
    #[doc(hidden)]
    fn wrap(&self, service: HandlerService, stop: &CancellationToken) -> HandlerService;
}

#[diagnostic::do_not_recommend]
impl<L> HandlerLayer for L
where
    L: Layer<HandlerService> + Send + Sync + 'static,
    L::Service: Service<Delivery, Response = Answer> + Send + 'static,
    <L::Service as Service<Delivery>>::Error: Into<BoxError>,
    <L::Service as Service<Delivery>>::Future: Send + 'static,
{
    fn wrap(&self, service: HandlerService, stop: &CancellationToken) -> HandlerService {
        let service = self.layer(service).map_err(Into::into);
        HandlerService(Inner::Layered(Arc::new(Layered {
            service: Mutex::new(BoxService::new(service)),
            stop: stop.clone(),
        })))
    }
}

/// A layer without the name of its type.
#[derive(Clone)]
pub struct AnyLayer(Arc<dyn HandlerLayer>);

impl AnyLayer {
    pub(crate) fn new(layer: impl HandlerLayer) -> Self {
        Self(Arc::new(layer))
    }
}

impl HandlerLayer for AnyLayer {
    fn wrap(&self, service: HandlerService, stop: &CancellationToken) -> HandlerService {
        self.0.wrap(service, stop)
    }
}

impl fmt::Debug for AnyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyLayer").finish_non_exhaustive()
    }
}

/// A handler, or all handlers of a queue, with the layers so far: what a layer wraps.
///
/// It is always ready; a layer inside that is not keeps the call waiting.
#[derive(Clone)]
pub struct HandlerService(Inner);

#[derive(Clone)]
enum Inner {
    Bare(Arc<Bare>),
    /// The handler that was found for the delivery.
    Found,
    Layered(Arc<Layered>),
}

/// A handler without what is around it.
pub(crate) type Bare = dyn Fn(Delivery) -> HandlerFuture + Send + Sync;

/// A layer's service.
struct Layered {
    service: Mutex<BoxService<Delivery, Answer, BoxError>>,
    /// Shutdown has begun.
    stop: CancellationToken,
}

impl HandlerService {
    pub(crate) fn bare(handler: Arc<Bare>) -> Self {
        Self(Inner::Bare(handler))
    }

    /// What queue-wide layers wrap.
    pub(crate) fn found() -> Self {
        Self(Inner::Found)
    }

    pub(crate) fn run(&self, mut delivery: Delivery) -> HandlerFuture {
        match &self.0 {
            Inner::Bare(handler) => handler(delivery),
            Inner::Found => {
                let found = delivery.take_found();
                match found.as_ref().and_then(|found| found.get::<Self>()) {
                    Some(handler) => handler.run(delivery),
                    None => start(delivery, |_| ready(Err(not_ours()))),
                }
            }
            Inner::Layered(layered) => {
                let layered = layered.clone();
                start(delivery, move |delivery| layered.clone().call(delivery))
            }
        }
    }
}

impl Layered {
    async fn call(self: Arc<Self>, delivery: Delivery) -> Result<Answer, Failure> {
        // cancel safety: dropped before it is called, it is told of nothing
        let calling = async {
            // locked while the service becomes ready, not while it works
            let mut service = self.service.lock().await;
            Ok(service.ready().await.map_err(failure)?.call(delivery))
        };
        match self.stop.run_until_cancelled(calling).await {
            Some(answering) => answering?.await.map_err(failure),
            // what has not begun when shutdown does goes back
            None => Ok(Outcome::Requeue.into()),
        }
    }
}

impl Service<Delivery> for HandlerService {
    type Response = Answer;
    type Error = HandlerError;
    type Future = futures_util::future::MapErr<HandlerFuture, fn(Failure) -> HandlerError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), HandlerError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, delivery: Delivery) -> Self::Future {
        futures_util::TryFutureExt::map_err(self.run(delivery), HandlerError)
    }
}

impl fmt::Debug for HandlerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerService").finish_non_exhaustive()
    }
}

/// Why a message could not be handled, as layers see it.
pub struct HandlerError(Failure);

impl HandlerError {
    /// The reason that the message goes to the dead-letter queue with, unless it is tried again.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The handler's own error, or the first of its causes, that is an `E`: so a layer tells an
    /// [`ErrorReply`](crate::ErrorReply) from a failure. None where there is no error, as of a panic.
    ///
    /// An error may quote what the message held, which [`Display`](fmt::Display) does not.
    pub fn downcast_ref<E: std::error::Error + Send + Sync + 'static>(&self) -> Option<&E> {
        self.0.error().and_then(cause)
    }
}

/// Without what a message held.
impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.log_text())
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for HandlerError {}

/// A handler's failure comes through as it was; anything else is a layer's own.
fn failure(error: BoxError) -> Failure {
    match error.downcast::<HandlerError>() {
        Ok(error) => error.0,
        Err(error) => {
            let reason = if error.is::<Elapsed>() {
                Reason::Timeout
            } else {
                Reason::HandlerError
            };
            Failure::from_error(reason, anyhow::Error::from_boxed(error))
        }
    }
}

#[cold]
fn not_ours() -> Failure {
    let text = "a layer passed on a delivery that it made itself: pass on the one it was given";
    Failure::new(Reason::HandlerError, text.to_owned())
}

/// Layers in the order in which they were added: each goes around those before it.
#[derive(Clone, Default)]
pub(crate) struct Layers(Vec<AnyLayer>);

impl Layers {
    pub(crate) fn push(&mut self, layer: impl HandlerLayer) {
        self.0.push(AnyLayer::new(layer));
    }

    /// Puts others around these.
    pub(crate) fn extend(&mut self, others: &Self) {
        self.0.extend(others.0.iter().cloned());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn around(
        &self,
        service: HandlerService,
        stop: &CancellationToken,
    ) -> HandlerService {
        self.0
            .iter()
            .fold(service, |service, layer| layer.wrap(service, stop))
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} layers", self.0.len())
    }
}
