use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use super::{
    arguments::QueueArguments,
    error::MemoryError,
    queue::Queue,
    state::{Shared, State},
    stored::Stored,
};
use crate::{
    consumer::companions::Declared,
    message::{Addressed, Message, Routing, Value},
    stage::{Asked, Fate, Stage},
};

/// A handle on the broker of a name: all handles of one name in a process are on the same broker.
///
/// It is cheap to clone. A broker lives, with its queues and their messages, until the process
/// ends, so tests that run side by side take names of their own.
///
/// ```
/// use ploomby::{Message, memory::MemoryBroker};
///
/// let broker = MemoryBroker::named("broker-example");
/// broker.declare_queue("users", [])?;
/// broker.publish("users", Message::new("hello"))?;
/// let message = MemoryBroker::named("broker-example").get("users").expect("it was published");
/// assert_eq!(message.body(), "hello");
/// # Ok::<(), ploomby::memory::MemoryError>(())
/// ```
#[derive(Clone)]
pub struct MemoryBroker {
    pub(super) name: Arc<str>,
    pub(super) shared: Arc<Shared>,
}

pub(super) static BROKERS: Mutex<BTreeMap<Arc<str>, MemoryBroker>> = Mutex::new(BTreeMap::new());

impl MemoryBroker {
    /// The broker that `memory://name` means.
    #[must_use]
    pub fn named(name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        let mut brokers = BROKERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(broker) = brokers.get(name) {
            return broker.clone();
        }
        let broker = Self {
            name: name.into(),
            shared: Shared::new(Stage::default()),
        };
        brokers.insert(broker.name.clone(), broker.clone());
        broker
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes a queue, or checks that the one of this name has these arguments (`queue.declare`).
    ///
    /// ```
    /// use ploomby::{Value, memory::MemoryBroker};
    ///
    /// let broker = MemoryBroker::named("declare-example");
    /// let arguments = [("x-message-ttl".to_owned(), Value::from(60_000))];
    /// broker.declare_queue("offers", arguments)?;
    /// assert!(broker.declare_queue("offers", []).is_err());
    /// # Ok::<(), ploomby::memory::MemoryError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A name or an argument that RabbitMQ refuses, an argument that is not modelled, and a queue
    /// that exists with other arguments.
    pub fn declare_queue(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<(), MemoryError> {
        let arguments = QueueArguments::new(name, arguments)?;
        self.shared.lock().declare(name, &arguments)?;
        Ok(())
    }

    /// Whether there is a queue of this name.
    #[must_use]
    pub fn queue_exists(&self, name: &str) -> bool {
        self.shared.lock().find(name).is_some()
    }

    /// Deletes a queue and all that is in it, also what is delivered and not settled, and cancels
    /// its consumers (`queue.delete`). As in RabbitMQ, it is no error that there is no such queue.
    pub fn delete_queue(&self, name: &str) {
        let deleted = self.shared.lock().delete(name);
        // without the lock, since that can be many messages
        drop(deleted);
    }

    /// Drops the ready messages of a queue and returns how many there were (`queue.purge`).
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoSuchQueue`].
    pub fn purge_queue(&self, name: &str) -> Result<usize, MemoryError> {
        let purged = self.up_to_date(name, Queue::purge);
        match purged {
            Some(purged) => Ok(purged.len()),
            None => Err(MemoryError::NoSuchQueue(name.to_owned())),
        }
    }

    /// Publishes to the default exchange, `mandatory`, with the queue's name as the routing key.
    /// The message is in the queue when it returns, as if RabbitMQ had confirmed it.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Unroutable`] if there is no such queue, [`MemoryError::QueueFull`], and
    /// whatever [RabbitMQ would refuse](crate::memory#what-is-modelled).
    pub fn publish(&self, queue: &str, message: Message) -> Result<(), MemoryError> {
        self.publish_addressed(Addressed::to_queue(queue, message))
    }

    /// Publishes to the exchange that the message is for.
    pub(crate) fn publish_addressed(&self, addressed: Addressed) -> Result<(), MemoryError> {
        let Addressed {
            exchange,
            routing_key,
            routing,
            message,
        } = addressed;
        let stored = Stored::through(&exchange, &routing_key, message)?;
        match self.publish_watched(stored) {
            Err(MemoryError::Unroutable(_) | MemoryError::Unbound { .. })
                if routing == Routing::Optional =>
            {
                Ok(())
            }
            published => published,
        }
    }

    /// Publishes what a program sends. In a simulation, something may go wrong with it.
    pub(crate) fn send(
        &self,
        message: Addressed,
    ) -> impl Future<Output = Result<(), MemoryError>> + Send + use<> {
        let broker = self.clone();
        let mut message = Some(message);
        // when it is awaited, as everywhere
        poll_fn(move |_| match message.take() {
            Some(message) => broker.try_send(message),
            // the program has crashed
            None => Poll::Pending,
        })
    }

    fn try_send(&self, message: Addressed) -> Poll<Result<(), MemoryError>> {
        let fate = self.shared.stage.fate(Asked::Publish, &message.routing_key);
        Poll::Ready(match fate {
            Fate::Done | Fate::Cut => self.publish_addressed(message),
            Fate::Crash => return Poll::Pending,
            Fate::Twice => {
                let again = Stored::through(
                    &message.exchange,
                    &message.routing_key,
                    message.message.clone(),
                );
                let sent = self.publish_addressed(message);
                if let (Ok(()), Ok(again)) = (&sent, again) {
                    // it goes where the first one went
                    let _ = self.shared.lock().publish(again);
                }
                sent
            }
            Fate::Unconfirmed { arrives } => {
                if arrives {
                    self.publish_addressed(message)?;
                }
                Err(unconfirmed())
            }
        })
    }

    fn publish_watched(&self, stored: Stored) -> Result<(), MemoryError> {
        let mut state = self.shared.lock();
        let watched = state.stage.watch().is_some();
        let watched = watched.then(|| (stored.published.clone(), state.queues_of(&stored)));
        let result = state.publish(stored);
        if let (Some(watch), Some((published, queues))) = (state.stage.watch(), watched) {
            if result.is_ok() || queues.is_empty() {
                watch.sent(&published, &queues);
            }
        }
        result
    }

    /// Makes the queue that a message for `queue` waits in.
    pub(crate) fn declare_waiting(
        &self,
        queue: &str,
        waiting: &Declared,
    ) -> Result<(), MemoryError> {
        let arguments = QueueArguments::of(waiting)?;
        let mut state = self.shared.lock();
        if queue != waiting.name && state.find(queue).is_none() {
            return Err(MemoryError::Unroutable(queue.to_owned()));
        }
        state.declare(&waiting.name, &arguments)?;
        if let Some(watch) = state.stage.watch() {
            watch.waits(&waiting.name, queue);
        }
        Ok(())
    }

    /// Takes the first ready message out of the queue, acknowledged (`basic.get` with `no-ack`).
    /// None if the queue is empty, or not there.
    #[must_use]
    pub fn get(&self, queue: &str) -> Option<Message> {
        let entry = self.up_to_date(queue, Queue::get)??;
        let stored = Arc::unwrap_or_clone(entry.stored);
        Some(Arc::unwrap_or_clone(stored.published).message)
    }

    /// How many messages wait in the queue to be delivered; 0 if there is no such queue.
    #[must_use]
    pub fn ready_count(&self, queue: &str) -> usize {
        self.count(queue, Queue::ready_count)
    }

    /// How many messages of the queue are delivered and not settled; 0 if there is no such
    /// queue.
    #[must_use]
    pub fn unacked_count(&self, queue: &str) -> usize {
        self.count(queue, Queue::unacked_count)
    }

    /// How many consumers the queue has; 0 if there is no such queue.
    #[must_use]
    pub fn consumer_count(&self, queue: &str) -> usize {
        self.count(queue, Queue::consumer_count)
    }

    fn count(&self, name: &str, count: impl FnOnce(&Queue) -> usize) -> usize {
        self.up_to_date(name, |queue| count(queue)).unwrap_or(0)
    }

    /// Expires what is due, then does something with the queue.
    fn up_to_date<T>(&self, name: &str, then: impl FnOnce(&mut Queue) -> T) -> Option<T> {
        let mut state = self.shared.lock();
        let state: &mut State = &mut state;
        // other queues may hold what this one is to get
        state.expire();
        let id = state.find(name)?;
        let result = then(state.queue_mut(id));
        state.pump(id);
        Some(result)
    }
}

#[cfg(feature = "testing")]
pub(super) fn unconfirmed() -> MemoryError {
    MemoryError::Unconfirmed
}

#[cfg(not(feature = "testing"))]
pub(super) fn unconfirmed() -> MemoryError {
    unreachable!("confirms are lost in simulations alone")
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
