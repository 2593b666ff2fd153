use std::{
    fmt,
    marker::PhantomData,
    ops::Deref,
    slice,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    vec,
};

use serde::Serialize;

use super::{Argument, Extracting, Payload, Place, Requirements, payload::now};
use crate::{
    delivery::Delivery,
    layer::guard_one,
    message::Message,
    outcome::{Failure, Outcome, Reason},
    reply::Answer,
};

/// Several messages at once, in place of a payload: for a handler that does its work for many about as
/// fast as for one, such as a bulk insert.
///
/// A batch has up to `batch_size` messages (default: 32, or what can be here at the same time, if
/// that is less), and is handled `batch_wait` after its first message came (default: 100 ms), however
/// many there are by then. It has them in the order in which they came.
///
/// What the handler returns is what becomes of all its messages: with an error or a panic each is
/// tried again or dead-lettered as if it had been alone. An [item](BatchItem) that has an end of its
/// own is settled by itself, once and for all: its methods take it. All this is done when the
/// handler has returned.
///
/// ```
/// use ploomby::extract::Batch;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Reading {
///     sensor: u32,
///     celsius: f64,
/// }
///
/// #[ploomby::handler("reading", batch_size = 500, batch_wait = "1s")]
/// async fn store(readings: Batch<Reading>) -> anyhow::Result<()> {
///     let mut rows = Vec::with_capacity(readings.len());
///     for reading in readings {
///         if reading.celsius < -273.15 {
///             reading.fail(anyhow::anyhow!("colder than cold"));
///         } else {
///             rows.push(reading.into_payload());
///         }
///     }
///     println!("{} stored", rows.len()); // an error here would be that of all rows
///     Ok(())
/// }
/// # use ploomby as _;
/// ```
///
/// A message that does not fit `T` is dead-lettered by itself, and no part of the batch. `T` is any
/// payload, one that borrows from its message, too.
///
/// # What else the handler takes
///
/// [`State`](super::State), [`Publisher`](crate::Publisher), and extractors of your own that do not
/// look at a message: there is none. What belongs to one message stands with the
/// [item](BatchItem::delivery); to take it as an argument is an error at startup.
///
/// # Limits
///
/// - Messages that wait for their batch take slots of the prefetch and of the queue's concurrency. A
///   `batch_size` for which there are not enough is an error at startup. Several handlers of a queue share
///   them: where all slots are taken by messages that wait, each batch begins with what it has.
/// - Messages that wait for their batch as the connection is lost are left out of it: they come again.
/// - The `concurrency` of the handler counts batches; one that waits for another goes on taking
///   messages.
/// - The `timeout` is that of the whole batch, without the time that it came together.
/// - Layers are around each message, so that the time of one includes the wait for the batch.
/// - With `ordered_by`, messages of the same value are never in one batch.
/// - What the handler returns beside an [`Outcome`] is sent to nobody: see [`BatchItem::reply`].
/// - On shutdown a batch does not wait for more messages, but is handled as it is.
pub struct Batch<T> {
    items: Vec<BatchItem<T>>,
}

/// A message in a [`Batch`].
///
/// One that is dropped becomes what the handler returns.
pub struct BatchItem<T> {
    payload: T,
    index: usize,
    collected: Arc<Collected>,
}

impl<T> Batch<T> {
    /// How many messages there are, at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none: only in a batch that a test made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The messages, to be settled all alike.
    pub fn iter(&self) -> slice::Iter<'_, BatchItem<T>> {
        self.items.iter()
    }

    /// The payloads alone, to be settled all alike.
    #[must_use]
    pub fn into_payloads(self) -> Vec<T> {
        let items = self.items.into_iter();
        items.map(BatchItem::into_payload).collect()
    }
}

impl<T> BatchItem<T> {
    /// What the message holds.
    pub fn payload(&self) -> &T {
        &self.payload
    }

    /// What the message holds, for good: it becomes what the handler returns.
    pub fn into_payload(self) -> T {
        self.payload
    }

    /// The message, with its headers and how it came.
    pub fn delivery(&self) -> &Delivery {
        &self.collected.deliveries[self.index]
    }

    /// The message failed: it is tried again or dead-lettered with this error.
    pub fn fail(self, error: impl Into<anyhow::Error>) {
        self.become_of(Err(Failure::of(error)));
    }

    /// Says what becomes of the message.
    pub fn settle(self, outcome: Outcome) {
        self.become_of(Ok(outcome.into()));
    }

    /// The work is done, and `value` is the reply, where the message asks for one.
    pub fn reply<V: Serialize + ?Sized>(self, value: &V) {
        let answer = Answer::reply(value, self.delivery());
        self.become_of(answer.map_err(Failure::handler));
    }

    fn become_of(self, result: Result<Answer, Failure>) {
        self.collected.settle(self.index, result);
    }
}

impl<T> Deref for BatchItem<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.payload
    }
}

impl<T> IntoIterator for Batch<T> {
    type Item = BatchItem<T>;
    type IntoIter = vec::IntoIter<BatchItem<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Batch<T> {
    type Item = &'a BatchItem<T>;
    type IntoIter = slice::Iter<'a, BatchItem<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// For the test of a handler: messages with these payloads and nothing else.
///
/// ```
/// use ploomby::extract::Batch;
///
/// let batch: Batch<u32> = [1, 2, 3].into_iter().collect();
/// assert_eq!(batch.len(), 3);
/// assert_eq!(batch.into_payloads(), [1, 2, 3]);
/// ```
impl<T> FromIterator<T> for Batch<T> {
    fn from_iter<I: IntoIterator<Item = T>>(payloads: I) -> Self {
        let payloads: Vec<_> = payloads.into_iter().collect();
        let messages = payloads.iter().map(|_| Message::default());
        let collected = Collected::new(messages.map(Delivery::new).collect());
        Self::new(payloads.into_iter().enumerate(), &Arc::new(collected))
    }
}

impl<T> Batch<T> {
    /// Keeps what passes the check; the others are settled by themselves.
    #[cfg(feature = "garde")]
    pub(super) fn keep(
        &mut self,
        check: impl Fn(&T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.items
            .retain(|item| match guard_one(|| check(&item.payload)) {
                Ok(()) => true,
                Err(failure) => {
                    item.collected.settle(item.index, Err(failure));
                    false
                }
            });
        if self.is_empty() {
            return Err(nothing_to_take());
        }
        Ok(())
    }

    fn new(payloads: impl Iterator<Item = (usize, T)>, collected: &Arc<Collected>) -> Self {
        let items = payloads.map(|(index, payload)| BatchItem {
            payload,
            index,
            collected: collected.clone(),
        });
        Self {
            items: items.collect(),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Payload> for Batch<T>
where
    T: Argument<'d, Payload> + 'd,
{
    fn extract<'a>(delivery: &'d Delivery, place: &'a mut Place<Self>) -> Extracting<'a>
    where
        'd: 'a,
    {
        Extracting::ready(decode(delivery), place)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Payload>,
        requirements: &mut Requirements,
    ) {
        requirements.batch();
        T::require(PhantomData, PhantomData, requirements);
    }
}

/// Decodes the messages; those that do not fit are settled by themselves.
fn decode<'d, T>(delivery: &'d Delivery) -> Result<Batch<T>, Failure>
where
    T: Argument<'d, Payload> + 'd,
{
    let collected: Option<&Arc<Collected>> = delivery.extensions().get();
    let collected = collected.ok_or_else(nothing_to_take)?;
    let payloads = collected.deliveries.iter().enumerate();
    let payloads = payloads.filter_map(|(index, delivery)| {
        let payload = guard_one(|| now(delivery));
        let payload = payload.map_err(|failure| collected.settle(index, Err(failure)));
        Some((index, payload.ok()?))
    });
    let batch = Batch::new(payloads, collected);
    if batch.is_empty() {
        Err(nothing_to_take())
    } else {
        Ok(batch)
    }
}

#[cold]
fn nothing_to_take() -> Failure {
    Failure::new(
        Reason::Undecodable,
        "no message fits the payload".to_owned(),
    )
}

/// Neither payloads nor what stands in headers.
impl<T> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} messages)", self.items.len())
    }
}

impl<T> fmt::Debug for BatchItem<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchItem")
            .field("delivery", self.delivery())
            .finish_non_exhaustive()
    }
}

/// The messages of a batch, and what becomes of those that are settled by themselves.
pub(crate) struct Collected {
    deliveries: Vec<Delivery>,
    settled: Mutex<Vec<Option<Result<Answer, Failure>>>>,
}

impl Collected {
    pub(crate) fn new(deliveries: Vec<Delivery>) -> Self {
        Self {
            settled: Mutex::new(deliveries.iter().map(|_| None).collect()),
            deliveries,
        }
    }

    /// What is settled by itself until now. What comes later is too late.
    pub(crate) fn take_all(&self) -> Vec<Option<Result<Answer, Failure>>> {
        std::mem::take(&mut *self.lock())
    }

    fn settle(&self, index: usize, result: Result<Answer, Failure>) {
        if let Some(settled) = self.lock().get_mut(index) {
            *settled = Some(result);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Result<Answer, Failure>>>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
