use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tower::{BoxError, Layer, Service};
use tracing::debug;

use super::{
    DedupStore,
    claimed::{Asked, Claiming, Id},
    outage::Outage,
};
use crate::{
    delivery::{Delivery, HandlerTime},
    outcome::Outcome,
    reply::Answer,
};

/// A layer that runs a handler once for each message id, as far as its store remembers.
///
/// What was handled before is acknowledged without the handler. A message whose twin is being handled
/// waits for it, and takes its slot of the prefetch for as long; after a crash that is until the
/// store lets go of the claim. One that fails may be tried again: its id counts only once its handler is
/// done. An id counts for its queue: a message that was routed to two queues is handled in both.
///
/// A message without an id, or with an empty one, is handled each time, and so is one that asks for a reply, since
/// who asks needs the reply. [`Publisher`](crate::Publisher) gives an id to all that it sends, and a new one to what
/// a handler sends on or sends again: that is another message.
///
/// # While the store is away
///
/// A store that fails, panics or does not answer within [`answers_within`](Self::answers_within) is asked again,
/// after pauses of 0.2 to 10 seconds. Its messages are held meanwhile: no handler runs, no attempt is counted, and
/// nothing is dead-lettered for it. What was handled by then waits to be acknowledged until the store has noted it.
/// The wait for the store, or for a twin, takes nothing of the handler's `timeout`.
///
/// A message that waited for 25 minutes goes back to its queue, which counts towards
/// [`max_deliveries`](crate::Queue::max_deliveries): with its default, an outage of more than six hours gives messages
/// up. One that waits when the program is told to stop goes back, too; one that was handled is acknowledged then, and
/// a duplicate of it is handled again once its claim has ended.
///
/// ```standalone_crate
/// use ploomby::{App, Publisher, Queue, dedup::{Dedup, MemoryDedup}};
///
/// #[ploomby::handler("charge")]
/// async fn charge(cents: u64) {
///     println!("charged {cents}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let running = App::new("memory://dedup-example")
///     .queue(Queue::new("payments").layer(Dedup::new(MemoryDedup::new())))
///     .start()
///     .await?;
/// running.shut_down().await?;
/// # Ok(())
/// # }
/// ```
///
/// All that is around a handler counts for it: put this layer where what it skips may be skipped.
pub struct Dedup<S> {
    asked: Arc<Asked<S>>,
}

/// How long the store may take, unless the program says otherwise.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

impl<S: DedupStore> Dedup<S> {
    /// With this store. A clone shares it, so that one layer serves several queues.
    pub fn new(store: S) -> Self {
        Self {
            asked: Arc::new(Asked {
                store,
                answers_within: ANSWERS_WITHIN,
                outage: Outage::default(),
            }),
        }
    }

    /// How long the store may take for one answer (default: 5 s). It is asked again after that.
    ///
    /// # Panics
    ///
    /// Where the layer was cloned before: its clones share it.
    #[must_use]
    pub fn answers_within(mut self, limit: Duration) -> Self {
        let asked = Arc::get_mut(&mut self.asked);
        asked
            .expect("the limit is set before the layer is cloned")
            .answers_within = limit;
        self
    }
}

impl<S> Clone for Dedup<S> {
    fn clone(&self) -> Self {
        Self {
            asked: self.asked.clone(),
        }
    }
}

impl<S> fmt::Debug for Dedup<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dedup").finish_non_exhaustive()
    }
}

impl<S, T> Layer<T> for Dedup<S> {
    type Service = DedupService<S, T>;

    fn layer(&self, inner: T) -> Self::Service {
        DedupService {
            asked: self.asked.clone(),
            inner,
        }
    }
}

/// The service of [`Dedup`].
pub struct DedupService<S, T> {
    asked: Arc<Asked<S>>,
    inner: T,
}

impl<S, T> fmt::Debug for DedupService<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DedupService").finish_non_exhaustive()
    }
}

impl<S, T> Service<Delivery> for DedupService<S, T>
where
    S: DedupStore,
    T: Service<Delivery, Response = Answer, Error: Into<BoxError>, Future: Send + 'static>,
    T: Clone + Send + 'static,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, delivery: Delivery) -> Self::Future {
        // the one that is ready goes along
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let asked = self.asked.clone();
        Box::pin(async move {
            let Some(id) = Id::of(&delivery) else {
                return inner.call(delivery).await.map_err(Into::into);
            };
            let (time, stop) = (delivery.handler_time(), delivery.stopping());
            let paused = time.as_ref().map(HandlerTime::pause);
            let claimed = match asked.claim(id, stop.clone()).await {
                Claiming::Claimed(claimed) => claimed,
                Claiming::Done => {
                    debug!(
                        queue = delivery.queue(),
                        "a message was handled before, discarding it"
                    );
                    return Ok(Outcome::Discard.into());
                }
                Claiming::Unknown => return Ok(Outcome::Requeue.into()),
            };
            drop(paused);
            let result = inner.call(delivery).await.map_err(Into::into);
            let is_done = result
                .as_ref()
                .is_ok_and(|answer| matches!(answer.outcome(), Outcome::Ack | Outcome::Discard));
            let _paused = time.as_ref().map(HandlerTime::pause);
            claimed.finish(is_done, stop).await;
            result
        })
    }
}
