use std::{fmt, pin::pin, sync::Arc, time::Duration};

use futures_util::future::poll_immediate;
use serde::Serialize;

use tokio::{
    sync::Mutex,
    time::{Instant, timeout, timeout_at},
};

use super::{
    app::Settings,
    director::{Now, SENDER, Sender},
    journal::{Journal, What},
    place::Place,
    run::Run,
    scope::Scope,
};
use crate::{
    app::Running,
    delivery::KeySource,
    memory::MemoryBroker,
    publisher::{Outgoing, Publisher},
    rpc::RpcClient,
    stage::Stage,
};

mod look;
mod on_rabbit;

/// An app under test, that consumes.
///
/// What it does takes a `Run` to its end before it returns: see [when a run ends](crate::testing#when-a-run-ends).
///
/// # Panics
///
/// Methods that run messages do, where the run does not end within the [limit](super::TestApp::limit), and where what they send
/// cannot be sent, such as to a queue that is not there. The text has the [`Journal`].
pub struct TestRunning {
    /// The programs that run. None only while it crashes. They end before what they run on.
    running: Mutex<Vec<Option<Running>>>,
    publisher: Publisher,
    settings: Settings,
    /// The first entry of the journal that no run has had.
    next: Mutex<usize>,
}

impl TestRunning {
    pub(super) async fn start(settings: Settings) -> Self {
        let publisher = match Publisher::to_destination(settings.place.destination()).await {
            Ok(publisher) => publisher,
            Err(error) => panic!("the test cannot send: {error}"),
        };
        let app = Self {
            publisher,
            running: Mutex::default(),
            settings,
            next: Mutex::new(0),
        };
        for instance in 0..app.settings.instances {
            app.running.lock().await.push(None);
            app.start_instance(instance).await;
        }
        app.settings.director.starts();
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
        let horizon = self.settings.horizon.unwrap_or(HORIZON);
        let end = now.checked_add(horizon).unwrap_or(now);
        self.work_off(Until::Horizon(end)).await;
        self.finish().await
    }

    /// Calls a handler, as an [`RpcClient`] does. The run knows the [reply](Run::reply).
    pub async fn call<T: Serialize + ?Sized>(&self, queue: &str, key: &str, payload: &T) -> Run {
        /// Whether a reply comes is known when the run ends.
        const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

        /// How long one is on its way from RabbitMQ.
        const REPLY: Duration = Duration::from_secs(1);

        let publisher = self.publisher.clone().key(self.key_of(queue));
        let client = RpcClient::beside(&publisher).await;
        let client = client.expect("the broker of the test is there");
        let call = client.to(queue).key(key).payload(payload).timeout(NEVER);
        let mut call = pin!(SENDER.scope(Sender::Test, call.call_raw()));
        let mut reply = poll_immediate(call.as_mut()).await;
        let mut run = self.run().await;
        if reply.is_none() {
            reply = match &self.settings.place {
                Place::Embedded(_) => poll_immediate(call).await,
                // the handler has sent it, and it is on its way
                Place::Rabbit(_) => timeout(REPLY, call).await.ok(),
            };
        }
        run.called(reply);
        run
    }

    /// Moves the clock on, through all that is due until then, in its order. On RabbitMQ it waits for so long.
    ///
    /// # Panics
    ///
    /// On RabbitMQ, if that is longer than the [limit](super::TestApp::limit).
    pub async fn advance(&self, time: Duration) -> Run {
        if let Place::Rabbit(_) = self.settings.place {
            assert!(
                time <= self.settings.limit,
                "a test cannot wait for {time:?} on RabbitMQ, where time is real: let what it waits for take less than \
                 {:?}, raise `TestApp::limit`, or keep the test on the embedded broker by `TestApp::embedded`",
                self.settings.limit
            );
        }
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

    /// Lets the time be over of all handlers that are at work and have a `timeout`, and runs what comes of that. How long a
    /// handler takes is real time, of which the clock of the test knows nothing. A handler of a [`Batch`](crate::extract::Batch)
    /// keeps its time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ploomby::{HandlerOptions, HandlerRegistry, Queue, Reason, testing::TestApp};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let hangs = async |_: u32| std::future::pending::<()>().await;
    /// let options = HandlerOptions::new().timeout(Duration::from_secs(60));
    /// let handlers = HandlerRegistry::new().register_with("resize", options, hangs);
    /// let app = TestApp::with(handlers).queue(Queue::new("images")).start().await;
    /// app.put("images", "resize", &640).await;
    /// let run = app.time_out().await;
    /// run.handled("resize").once().reason(Reason::Timeout);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If no handler with a timeout comes to be at work within the [limit](super::TestApp::limit), and where the run does.
    pub async fn time_out(&self) -> Run {
        let director = &self.settings.director;
        let limit = Instant::now() + self.settings.limit;
        while director.times_out() == 0 {
            self.wait(limit, "no handler with a `timeout` is at work")
                .await;
        }
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

    /// All that happened since the start.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.settings.director.journal_from(0)
    }

    async fn post(&self, message: Outgoing<'_>) {
        // what is sent is written down before anything is waited for
        let sending = async { message.send().await };
        if let Err(error) = SENDER.scope(Sender::Test, sending).await {
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
        let broker = match &self.settings.place {
            Place::Embedded(broker) => &broker.0,
            Place::Rabbit(on) => return self.wait_it_off(until, &on.ground).await,
        };
        let director = &self.settings.director;
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
                Until::Horizon(_) => return self.check(next_of_any, broker),
                Until::Time(end) => match next_of_any.filter(|next| *next <= end) {
                    Some(next) => director.move_to(next, broker),
                    None if self.now() >= end => return self.check(None, broker),
                    None => director.move_to(end, broker),
                },
            }
        }
    }

    /// In a simulation, promises hold whenever nothing goes on.
    fn check(&self, next: Option<Instant>, broker: &MemoryBroker) {
        let director = &self.settings.director;
        if let Some(problem) = director.broken_promise(broker, next.is_some()) {
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
        self.is_over(what, &[]);
    }

    /// A run takes too long. `others` are reasons beside the handlers at work.
    fn is_over(&self, what: &str, others: &[String]) -> ! {
        let director = &self.settings.director;
        let at_work = match &*director.at_work() {
            [] => "no handler is at work in this moment".to_owned(),
            handlers => format!("at work: {}", handlers.join(", ")),
        };
        let others = match others {
            [] => String::new(),
            others => format!("; {}", others.join(", ")),
        };
        panic!(
            "{what} within {:?} of real time; {at_work}{others}\n{}",
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

/// How far a run moves the clock for what waits, unless the test says.
const HORIZON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How far a run goes.
#[derive(Clone, Copy)]
pub(super) enum Until {
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
