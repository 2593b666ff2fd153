use std::{fmt, pin::pin, sync::Arc, time::Duration};

use futures_util::future::poll_immediate;
use serde::Serialize;

use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    app::Settings,
    director::{Now, SENDER, Sender},
    journal::{Journal, What},
    letters::Letters,
    run::Run,
    scope::Scope,
};
use crate::{
    app::Running,
    delivery::{KeySource, is_retry_queue},
    publisher::{Destination, Outgoing, Publisher},
    rpc::RpcClient,
    stage::Stage,
};

/// An app under test, that consumes.
///
/// What it does takes a `Run` to its end before it returns: see [when a run ends](crate::testing#when-a-run-ends).
///
/// # Panics
///
/// Methods that run messages do, where the run does not end within the [limit](super::TestApp::limit), and where what they send
/// cannot be sent, such as to a queue that is not there. The text has the [`Journal`].
pub struct TestRunning {
    settings: Settings,
    /// The programs that run. None only while it crashes.
    running: Mutex<Vec<Option<Running>>>,
    publisher: Publisher,
    /// The first entry of the journal that no run has had.
    next: Mutex<usize>,
}

impl TestRunning {
    pub(super) async fn start(settings: Settings) -> Self {
        let destination = Destination::Memory(settings.broker.0.clone());
        let publisher = Publisher::to_destination(destination).await;
        let app = Self {
            publisher: publisher.expect("the embedded broker is there"),
            running: Mutex::default(),
            settings,
            next: Mutex::new(0),
        };
        for instance in 0..app.settings.instances {
            app.running.lock().await.push(None);
            app.start_instance(instance).await;
        }
        app
    }

    async fn start_instance(&self, instance: usize) {
        let director = self.settings.director.of(instance);
        let stage = Stage::set(Arc::new(director.clone()));
        let app = self.settings.app.again(stage, Scope(director));
        match app.start().await {
            Ok(running) => self.running.lock().await[instance] = Some(running),
            Err(error) => panic!("the app does not start: {error}"),
        }
    }

    /// Sends a payload to the handler of this key, by its queue. The key stands where the queue has its keys.
    pub async fn send<T: Serialize + ?Sized>(&self, queue: &str, key: &str, payload: &T) -> Run {
        self.put(queue, key, payload).await;
        self.run().await
    }

    /// Sends a payload through an exchange, with the key in the property `type`.
    pub async fn publish<T: Serialize + ?Sized>(
        &self,
        exchange: &str,
        routing_key: &str,
        key: &str,
        payload: &T,
    ) -> Run {
        self.send_with(|publisher| {
            let message = publisher.through(exchange, routing_key);
            message.key(key).payload(payload)
        })
        .await
    }

    /// Sends a message with all that one can have, such as headers and a delay.
    ///
    /// ```
    /// # use ploomby::{HandlerRegistry, Outcome, Queue, testing::TestApp};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let handlers = HandlerRegistry::new().register("remind", async |_: u64| {});
    /// # let app = TestApp::with(handlers).queue(Queue::new("reminders")).start().await;
    /// let run = app
    ///     .send_with(|publisher| {
    ///         let reminder = publisher.to("reminders").key("remind").payload(&7);
    ///         reminder.header("tenant", "acme")
    ///     })
    ///     .await;
    /// run.handled("remind").once();
    /// # }
    /// ```
    pub async fn send_with<'a>(
        &'a self,
        message: impl FnOnce(&'a Publisher) -> Outgoing<'a>,
    ) -> Run {
        self.post(message(&self.publisher)).await;
        self.run().await
    }

    /// Puts a message for a handler into its queue, and runs nothing: for several that are there together, as for a
    /// [`Batch`](crate::extract::Batch). [`run`](Self::run) then runs them.
    pub async fn put<T: Serialize + ?Sized>(&self, queue: &str, key: &str, payload: &T) {
        let publisher = self.publisher.clone().key(self.key_of(queue));
        self.post(publisher.to(queue).key(key).payload(payload))
            .await;
    }

    /// Takes all that is there to its end. What was put, and what happened since the last run, is of this one.
    pub async fn run(&self) -> Run {
        let now = self.now();
        let end = now.checked_add(self.settings.horizon).unwrap_or(now);
        self.work_off(Until::Horizon(end)).await;
        self.finish().await
    }

    /// Calls a handler, as an [`RpcClient`] does. The run knows the [reply](Run::reply).
    pub async fn call<T: Serialize + ?Sized>(&self, queue: &str, key: &str, payload: &T) -> Run {
        /// Whether a reply comes is known when the run ends.
        const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

        let publisher = self.publisher.clone().key(self.key_of(queue));
        let client = RpcClient::beside(&publisher).await;
        let client = client.expect("the embedded broker is there");
        let call = client.to(queue).key(key).payload(payload).timeout(NEVER);
        let mut call = pin!(SENDER.scope(Sender::Test, call.call_raw()));
        let mut reply = poll_immediate(call.as_mut()).await;
        let mut run = self.run().await;
        if reply.is_none() {
            reply = poll_immediate(call).await;
        }
        run.called(reply);
        run
    }

    /// Moves the clock on, through all that is due until then, in its order.
    pub async fn advance(&self, time: Duration) -> Run {
        self.settings.director.note(What::Advanced(time));
        let now = self.now();
        self.work_off(Until::Time(now.checked_add(time).unwrap_or(now)))
            .await;
        self.finish().await
    }

    /// Lets the program crash and start again: handlers are dropped where they wait, and what was not settled is delivered
    /// again. What the [state](super::TestApp::state) holds stays, as what it stands for would: a database, another service.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
    /// use ploomby::{HandlerRegistry, Queue, testing::TestApp};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let hangs = Arc::new(AtomicBool::new(true));
    /// let first = hangs.clone();
    /// let handlers = HandlerRegistry::new().register("resize", move |_: u32| {
    ///     let hangs = first.swap(false, Ordering::Relaxed);
    ///     async move { if hangs { std::future::pending::<()>().await } }
    /// });
    /// let app = TestApp::with(handlers).queue(Queue::new("images")).start().await;
    /// app.put("images", "resize", &640).await;
    /// while hangs.load(Ordering::Relaxed) {
    ///     tokio::task::yield_now().await;
    /// }
    /// let run = app.crash().await;
    /// run.handled("resize").once();
    /// # }
    /// ```
    pub async fn crash(&self) -> Run {
        let instances: Vec<_> = (0..self.settings.instances).collect();
        self.restart(&instances).await;
        self.run().await
    }

    async fn restart(&self, instances: &[usize]) {
        let director = &self.settings.director;
        for instance in instances {
            // what it has begun is gone; its tasks end where the runtime comes to them
            drop(self.running.lock().await[*instance].take());
        }
        let limit = Instant::now() + self.settings.limit;
        for instance in instances {
            while !director.is_deserted(*instance) {
                self.wait(limit, "the app does not end").await;
            }
        }
        director.crashed(instances);
        for instance in instances {
            self.start_instance(*instance).await;
        }
    }

    /// What is in the dead-letter queue of a queue.
    ///
    /// # Panics
    ///
    /// If the app consumes no such queue, or leaves its dead letters to the broker.
    #[track_caller]
    pub fn dead_letters(&self, queue: &str) -> Letters {
        let Some(known) = self
            .settings
            .queues
            .iter()
            .find(|known| known.name == queue)
        else {
            panic!("the app consumes no queue `{queue}`");
        };
        let companions = known.options.companions(queue);
        let name = companions
            .ok()
            .and_then(|companions| companions.dead_letters);
        let Some(name) = name.map(|declared| declared.name) else {
            panic!(
                "queue `{queue}` leaves its dead letters to the broker: ask `waiting` for the queue that they go to"
            );
        };
        let messages = self.settings.broker.0.ready(&name).unwrap_or_default();
        Letters::new(queue, messages, self.journal())
    }

    /// How many messages wait in a queue, for another attempt at one of its messages, or by a delay until they come to it.
    ///
    /// # Panics
    ///
    /// If there is no such queue.
    #[must_use]
    #[track_caller]
    pub fn waiting(&self, queue: &str) -> usize {
        let broker = &self.settings.broker.0;
        let Some(ready) = broker.ready(queue) else {
            panic!("there is no queue `{queue}`");
        };
        let beside = broker.queue_names(|name| {
            let as_retry = name.replacen("_delay_", "_retry_", 1);
            is_retry_queue(name, queue) || is_retry_queue(&as_retry, queue)
        });
        let beside = beside.iter().filter_map(|name| broker.ready(name));
        ready.len() + beside.map(|messages| messages.len()).sum::<usize>()
    }

    /// All that happened since the start.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.settings.director.journal_from(0)
    }

    async fn post(&self, message: Outgoing<'_>) {
        if let Err(error) = SENDER.scope(Sender::Test, message.send()).await {
            panic!(
                "the message cannot be sent: {error}\n{}",
                self.what_happened()
            );
        }
    }

    fn key_of(&self, queue: &str) -> KeySource {
        let mut known = self.settings.queues.iter();
        let known = known.find(|known| known.name == queue);
        known.map_or(KeySource::MessageType, |queue| queue.key.clone())
    }

    fn now(&self) -> Instant {
        crate::stage::Watch::now(&self.settings.director)
    }

    /// Takes all that goes on to its end, and what waits, each when it is due.
    async fn work_off(&self, until: Until) {
        let (director, broker) = (&self.settings.director, &self.settings.broker.0);
        let limit = Instant::now() + self.settings.limit;
        loop {
            if let Some(instance) = director.dead() {
                self.restart(&[instance]).await;
                continue;
            }
            let (next, next_of_any) = match director.look(broker) {
                Now::Quiet { next, next_of_any } => (next, next_of_any),
                Now::Busy => {
                    self.wait(limit, "the run does not end").await;
                    continue;
                }
            };
            match until {
                // what is due before comes before, in its order
                Until::Horizon(end) if next.is_some_and(|next| next <= end) => {
                    director.move_to(next_of_any.or(next).unwrap_or(end), broker);
                }
                Until::Horizon(_) => return self.check(next_of_any),
                Until::Time(end) => match next_of_any.filter(|next| *next <= end) {
                    Some(next) => director.move_to(next, broker),
                    None if self.now() >= end => return self.check(None),
                    None => director.move_to(end, broker),
                },
            }
        }
    }

    /// In a simulation, promises hold whenever nothing goes on.
    fn check(&self, next: Option<Instant>) {
        let Settings {
            director, broker, ..
        } = &self.settings;
        if let Some(problem) = director.broken_promise(&broker.0, next.is_some()) {
            panic!("{problem}\n{}", self.what_happened());
        }
    }

    /// Waits until something happens, for a limited time.
    async fn wait(&self, limit: Instant, what: &str) {
        let director = &self.settings.director;
        let in_time = timeout_at(limit, director.something_happens()).await;
        if in_time.is_ok() && Instant::now() < limit {
            return;
        }
        let at_work = match &*director.at_work() {
            [] => "no handler is at work in this moment".to_owned(),
            handlers => format!("at work: {}", handlers.join(", ")),
        };
        panic!(
            "{what} within {:?} of real time; {at_work}\n{}",
            self.settings.limit,
            self.what_happened()
        );
    }

    async fn finish(&self) -> Run {
        let mut next = self.next.lock().await;
        let director = &self.settings.director;
        let journal = director.journal_from(*next);
        *next = director.entries();
        Run::new(journal)
    }

    fn what_happened(&self) -> String {
        format!("what happened:\n{}", self.journal())
    }
}

/// How far a run goes.
#[derive(Clone, Copy)]
enum Until {
    /// To what waits to be delivered again, and is due by then.
    Horizon(Instant),
    Time(Instant),
}

impl fmt::Debug for TestRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRunning")
            .field("queues", &self.settings.queues)
            .finish_non_exhaustive()
    }
}
