use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tower::{BoxError, Layer, Service};
use tracing::{debug, warn};

use super::{Claim, DedupStore};
use crate::{delivery::Delivery, outcome::Outcome, reply::Answer};

/// A layer that runs a handler once for each message id, as far as its store remembers.
///
/// What was handled before is acknowledged without the handler. A message whose twin is being handled
/// waits for it, and takes its place of the prefetch for as long; after a crash that is until the
/// store lets go of the claim. One that fails may be tried again: its id counts only once its handler is
/// done. An id counts for its queue: a message that was routed to two queues is handled in both.
///
/// A message without an id is handled each time, and so is one that asks for a reply, since who asks
/// needs the reply; [`Publisher`](crate::Publisher) gives an id to all that it sends.
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
    store: Arc<S>,
}

impl<S: DedupStore> Dedup<S> {
    /// With this store. A clone shares it, so that one layer serves several queues.
    pub fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
        }
    }
}

impl<S> Clone for Dedup<S> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
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
            store: self.store.clone(),
            inner,
        }
    }
}

/// The service of [`Dedup`].
pub struct DedupService<S, T> {
    store: Arc<S>,
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
        let store = self.store.clone();
        Box::pin(async move {
            let Some(id) = id_of(&delivery) else {
                return inner.call(delivery).await.map_err(Into::into);
            };
            let Some(claimed) = claim(&store, id).await? else {
                debug!(
                    queue = delivery.queue(),
                    "a message was handled before, discarding it"
                );
                return Ok(Outcome::Discard.into());
            };
            let result = inner.call(delivery).await.map_err(Into::into);
            let is_done = result
                .as_ref()
                .is_ok_and(|answer| matches!(answer.outcome(), Outcome::Ack | Outcome::Discard));
            claimed.finish(is_done).await;
            result
        })
    }
}

/// What a message is known by, where it is to be handled once: its id, in its queue. No name of a queue
/// holds the byte between them.
fn id_of(delivery: &Delivery) -> Option<String> {
    let properties = delivery.properties();
    if properties.reply_to().is_some() {
        return None;
    }
    let id = properties.message_id()?;
    Some(format!("{}\0{id}", delivery.queue()))
}

/// How often a message looks whether its twin is done.
const PAUSE: Duration = Duration::from_millis(100);

/// Claims an id; none where its handler is done.
async fn claim<S: DedupStore>(store: &Arc<S>, id: String) -> Result<Option<Claimed<S>>, BoxError> {
    loop {
        match store.claim(&id).await? {
            Claim::New => {
                return Ok(Some(Claimed {
                    store: store.clone(),
                    id: Some(id),
                    is_done: false,
                }));
            }
            Claim::Done => return Ok(None),
            Claim::InProgress => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// An id that is the handler's. Dropped with it, as at its timeout, it is released; dropped while the store is
/// told that it is done, the store is told again.
struct Claimed<S: DedupStore> {
    store: Arc<S>,
    id: Option<String>,
    is_done: bool,
}

impl<S: DedupStore> Claimed<S> {
    async fn finish(mut self, is_done: bool) {
        self.is_done = is_done;
        if let Some(id) = &self.id {
            note(&*self.store, id, is_done).await;
        }
        self.id = None;
    }
}

async fn note<S: DedupStore>(store: &S, id: &str, is_done: bool) {
    let noted = match is_done {
        true => store.complete(id).await,
        false => store.release(id).await,
    };
    if let Err(error) = noted {
        warn!(
            %error,
            "the store did not note what became of a message, which may be handled twice, or wait for its claim \
             to end"
        );
    }
}

impl<S: DedupStore> Drop for Claimed<S> {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let (store, is_done) = (self.store.clone(), self.is_done);
        // without a runtime the process ends, and the claim with its window
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { note(&*store, &id, is_done).await });
        }
    }
}
