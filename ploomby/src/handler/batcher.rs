use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::poll_immediate;
use tokio::{
    sync::{Semaphore, SemaphorePermit, oneshot},
    task::AbortHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Entry, HandlerOptions, QueuePolicy, limits::Pace};
use crate::{
    delivery::Delivery,
    extract::Collected,
    layer::{HandlerFuture, guard, start},
    outcome::{Failure, Outcome},
    reply::Answer,
    stage::{Awake, Parked, Stage},
    trace::{self, Trace, Within},
};

/// As many fit twice into the prefetch where nothing is said of either: one batch comes together
/// while another is at work.
const DEFAULT_SIZE: usize = 32;

const DEFAULT_WAIT: Duration = Duration::from_millis(100);

/// Calls a handler with several messages at once. Each is called for alone, and waits for what
/// becomes of it.
pub(crate) struct Batcher {
    entry: Entry,
    size: usize,
    wait: Duration,
    timeout: Option<Duration>,
    /// For batches, not for messages.
    slots: Option<Arc<Semaphore>>,
    /// The same.
    pace: Option<Arc<Pace>>,
    /// Shutdown has begun: nothing more will come.
    stop: CancellationToken,
    taking: Mutex<Taking>,
    crowd: Arc<Crowd>,
    stage: Stage,
    trace: Option<Trace>,
}

/// The messages of a queue that wait in batches, of all its handlers together.
///
/// Where as many wait as there can be, no batch gets more messages, however long it waits: all begin with what
/// they have.
#[derive(Default)]
pub(super) struct Crowd {
    most: usize,
    waiting: AtomicUsize,
    batchers: Mutex<Vec<Weak<Batcher>>>,
}

/// A message that waits in a batch, until this is dropped.
struct Waiting(Arc<Crowd>);

#[derive(Default)]
struct Taking {
    batches: u64,
    open: Option<Open>,
}

/// A batch that takes messages.
struct Open {
    number: u64,
    items: Vec<Item>,
    full: oneshot::Sender<Vec<Item>>,
    /// Gone where all that waited for the batch are, and it with them.
    task: Weak<Running>,
}

/// A message in a batch.
struct Item {
    delivery: Delivery,
    /// Who waits for what becomes of it.
    told: oneshot::Sender<Result<Answer, Failure>>,
    /// As long as its batch is open.
    parked: Option<Parked>,
    _waiting: Waiting,
}

/// Shutdown came first.
struct NotBegun;

/// The task of a batch, held by all that wait for it.
struct Running(AbortHandle);

impl Crowd {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            waiting: AtomicUsize::new(0),
            batchers: Mutex::default(),
        })
    }

    /// For one more handler.
    pub(super) fn batcher(
        self: &Arc<Self>,
        entry: &Entry,
        policy: &QueuePolicy,
        pace: Option<Arc<Pace>>,
        stop: &CancellationToken,
    ) -> Arc<Batcher> {
        let batcher = Arc::new(Batcher::new(entry, policy, pace, stop, self.clone()));
        self.batchers().push(Arc::downgrade(&batcher));
        batcher
    }

    fn enter(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, SeqCst);
        Waiting(self.clone())
    }

    /// Lets all batches begin, where nothing more can come.
    fn begin_if_all_wait(&self) {
        if self.waiting.load(SeqCst) < self.most {
            return;
        }
        let batchers: Vec<_> = self.batchers().iter().filter_map(Weak::upgrade).collect();
        for batcher in batchers {
            batcher.begin_with_what_is_there();
        }
    }

    fn batchers(&self) -> MutexGuard<'_, Vec<Weak<Batcher>>> {
        self.batchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

impl Batcher {
    fn new(
        entry: &Entry,
        policy: &QueuePolicy,
        pace: Option<Arc<Pace>>,
        stop: &CancellationToken,
        crowd: Arc<Crowd>,
    ) -> Self {
        let options = &entry.options;
        Self {
            entry: entry.clone(),
            size: Self::size_of(options, policy),
            wait: options
                .batch_wait
                .or(policy.batch_wait)
                .unwrap_or(DEFAULT_WAIT),
            timeout: options.timeout.or(policy.timeout),
            slots: options.slots(policy),
            pace,
            stop: stop.clone(),
            taking: Mutex::default(),
            crowd,
            stage: policy.stage.clone(),
            trace: policy.trace,
        }
    }

    /// How many messages a batch of a handler has at most.
    pub(super) fn size_of(options: &HandlerOptions, policy: &QueuePolicy) -> usize {
        let by_default = DEFAULT_SIZE.min(policy.most_in_flight());
        let chosen = options.batch_size.or(policy.batch_size);
        chosen.unwrap_or(by_default).max(1)
    }

    pub(super) fn call(self: &Arc<Self>, delivery: Delivery) -> HandlerFuture {
        let batcher = self.clone();
        start(delivery, move |delivery| {
            let batcher = batcher.clone();
            async move {
                let (told, outcome) = oneshot::channel();
                let _running = batcher.add(Item {
                    delivery,
                    told,
                    parked: None,
                    _waiting: batcher.crowd.enter(),
                });
                batcher.crowd.begin_if_all_wait();
                // the runtime is shut down, and the handler did not return
                outcome
                    .await
                    .unwrap_or_else(|_| Ok(Outcome::Requeue.into()))
            }
        })
    }

    fn add(self: &Arc<Self>, mut item: Item) -> Arc<Running> {
        let mut taking = self.lock();
        let open = taking.open.take();
        let open = open.and_then(|open| Some((open.task.upgrade()?, open)));
        let (running, mut open) = open.unwrap_or_else(|| {
            taking.batches += 1;
            self.begin(taking.batches)
        });
        if open.items.len() + 1 < self.size {
            item.parked = Some(self.stage.park());
            open.items.push(item);
            taking.open = Some(open);
        } else {
            open.items.push(item);
            // the task is there as long as it is held
            let _ = open.full.send(on_their_way(open.items));
        }
        running
    }

    /// The open batch waits no longer for more messages.
    fn begin_with_what_is_there(&self) {
        let open = self.lock().open.take();
        if let Some(open) = open {
            // where the task is gone, so are all that waited for it
            let _ = open.full.send(on_their_way(open.items));
        }
    }

    fn begin(self: &Arc<Self>, number: u64) -> (Arc<Running>, Open) {
        let (full, items) = oneshot::channel();
        let task = tokio::spawn(self.clone().collect(number, items));
        let running = Arc::new(Running(task.abort_handle()));
        let open = Open {
            number,
            items: Vec::with_capacity(self.size.min(1024)),
            full,
            task: Arc::downgrade(&running),
        };
        (running, open)
    }

    /// The life of a batch.
    async fn collect(self: Arc<Self>, number: u64, mut full: oneshot::Receiver<Vec<Item>>) {
        let mut awake = None;
        // cancel safety: what a dropped branch would have brought is still to come
        let items = tokio::select! {
            biased;
            Ok(items) = &mut full => Some(items),
            () = self.stop.cancelled() => None,
            over = self.stage.sleep(self.wait) => {
                awake = Some(over);
                None
            }
        };
        let mut items = items;
        let slot = self.slot_and_turn(&mut full, &mut items, &mut awake).await;
        // it takes messages as long as it waits for its slot and its turn
        let mut items = match items {
            Some(items) => items,
            None => match self.close(number) {
                Some(items) => items,
                None => full.await.unwrap_or_default(),
            },
        };
        drop(awake);
        items.retain(|item| !item.told.is_closed());
        // what waited as its channel ended comes again, or has come again to this very batch
        items = leave_out_lost(items);
        match slot {
            Ok(_slot) => self.run(items).await,
            Err(NotBegun) => items.into_iter().for_each(Item::give_back),
        }
    }

    /// Waits for a slot, then for the turn. What has not begun when shutdown does goes back. `items` are there once the batch is
    /// full.
    async fn slot_and_turn(
        &self,
        full: &mut oneshot::Receiver<Vec<Item>>,
        items: &mut Option<Vec<Item>>,
        awake: &mut Option<Awake>,
    ) -> Result<Option<SemaphorePermit<'_>>, NotBegun> {
        let slot = self.slot(awake).await?;
        let Some(pace) = &self.pace else {
            return Ok(slot);
        };
        if pace.try_begin() {
            return Ok(slot);
        }
        while let Err(wait) = pace.take() {
            // those of a batch that is open wait as long as it is
            let full_ones = items.iter().flatten();
            let parked: Vec<_> = full_ones.map(|_| self.stage.park()).collect();
            let mut over = pin!(self.stage.sleep(wait));
            // from here on it waits, and nothing goes on
            let is_over = poll_immediate(over.as_mut()).await;
            *awake = is_over;
            if awake.is_none() {
                // cancel safety: dropped, nothing has begun, and what would have come is still to come
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return Err(NotBegun),
                    Ok(more) = &mut *full, if items.is_none() => *items = Some(more),
                    over = over => *awake = Some(over),
                }
            }
            drop(parked);
        }
        Ok(slot)
    }

    /// Waits for a slot, where there are slots. What has not begun when shutdown does goes back.
    async fn slot(
        &self,
        awake: &mut Option<Awake>,
    ) -> Result<Option<SemaphorePermit<'_>>, NotBegun> {
        let Some(slots) = &self.slots else {
            return Ok(None);
        };
        if let Ok(slot) = slots.try_acquire() {
            return Ok(Some(slot));
        }
        // another batch may wait for the clock
        *awake = None;
        // cancel safety: dropped, `acquire` takes none
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(NotBegun),
            slot = slots.acquire() => slot.map(Some).map_err(|_| NotBegun),
        }
    }

    /// What is in the batch, unless it is full and closed already.
    fn close(&self, number: u64) -> Option<Vec<Item>> {
        let open = &mut self.lock().open;
        let open = open.take_if(|open| open.number == number);
        open.map(|open| on_their_way(open.items))
    }

    async fn run(&self, items: Vec<Item>) {
        let (deliveries, waiting): (Vec<_>, Vec<_>) = items
            .into_iter()
            .map(|item| (item.delivery, item.told))
            .unzip();
        let Some(first) = deliveries.first() else {
            return;
        };
        let mut delivery = first.without_message();
        let name = self.entry.origin.name;
        let traced = trace::batch(&delivery, &deliveries, self.trace, name);
        let collected = Arc::new(Collected::new(deliveries));
        delivery.extensions_mut().insert(collected.clone());
        let work = Within::new(traced.clone(), self.entry.call(delivery));
        let result = match self.timeout {
            None => work.await,
            // what a handler drops may panic, too
            Some(limit) => {
                guard(async {
                    let in_time = timeout(limit, work).await;
                    in_time.unwrap_or_else(|_| Err(Failure::timed_out(limit)))
                })
                .await
            }
        };
        if let (Some(traced), Err(failure)) = (traced, &result) {
            traced.failed(failure);
        }
        for (waiting, own) in waiting.into_iter().zip(collected.take_all()) {
            // who no longer waits has been told something else, such as a timeout of a layer
            let _ = waiting.send(own.unwrap_or_else(|| result.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taking> {
        self.taking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages of a batch that is closed.
fn on_their_way(mut items: Vec<Item>) -> Vec<Item> {
    for item in &mut items {
        item.parked = None;
    }
    items
}

/// The messages that are still here, without those that the source has taken back.
fn leave_out_lost(items: Vec<Item>) -> Vec<Item> {
    let (lost, here): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|item| item.delivery.is_lost());
    lost.into_iter().for_each(Item::give_back);
    here
}

impl Item {
    fn give_back(self) {
        let _ = self.told.send(Ok(Outcome::Requeue.into()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
