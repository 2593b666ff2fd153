//! A RabbitMQ, on which tests take turns.
//!
//! A thread of its own talks to the broker, so that a test can ask without waiting in its runtime, and so that all is
//! removed even while the test panics.

use std::{
    sync::mpsc as blocking,
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use self::keeper::Keeper;
pub(super) use self::names::{Names, of_no_test};
use crate::{message::Message, rabbit::RabbitUrl, topology::Wiring};

mod keeper;
mod names;

/// How long a test waits until it is its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);

/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

type Job = Box<dyn for<'k> FnOnce(&'k mut Keeper) -> BoxFuture<'k, ()> + Send>;

/// A broker that a test has for itself, as long as it has this.
#[derive(Debug)]
pub(super) struct Ground {
    jobs: Option<mpsc::UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// A queue of another program, which is made for the test.
pub(super) struct Foreign {
    pub(super) name: String,
    pub(super) arguments: Vec<(String, crate::Value)>,
    pub(super) wiring: Wiring,
}

impl Ground {
    /// Waits until it is this test's turn, and prepares the broker.
    pub(super) async fn take(
        url: RabbitUrl,
        names: Names,
        foreign: Vec<Foreign>,
        mut makes: mpsc::UnboundedReceiver<Names>,
    ) -> Result<Self, String> {
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let talk = async move {
            let mut keeper = Keeper::new(url);
            loop {
                // cancel safety: both keep what they have not given
                tokio::select! {
                    biased;
                    Some(names) = makes.recv() => keeper.write_down_others(names).await,
                    job = queue.recv() => match job {
                        Some(job) => job(&mut keeper).await,
                        None => break,
                    },
                }
            }
            while let Ok(names) = makes.try_recv() {
                keeper.knows_of(names);
            }
            keeper.clean_up().await;
        };
        let thread = thread::Builder::new().name("ploomby-testing".to_owned());
        let thread = thread.spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.expect("the system gives a runtime").block_on(talk);
        });
        let ground = Self {
            jobs: Some(jobs),
            thread: Some(thread.expect("the system gives a thread")),
        };
        let until = Instant::now() + LONGEST_WAIT;
        while !ground.ask(|keeper| keeper.take_turn().boxed()).await? {
            if Instant::now() > until {
                return Err(format!(
                    "other tests have had the virtual host for {LONGEST_WAIT:?}: tests take turns on one, so that each \
                     finds it empty. Give each group of tests a virtual host of its own"
                ));
            }
            sleep(LOOK).await;
        }
        ground
            .ask(|keeper| keeper.prepare(names, foreign).boxed())
            .await?;
        Ok(ground)
    }

    /// How many messages are ready in these queues; None for one that is not there.
    pub(super) async fn ready(&self, queues: Vec<String>) -> Result<Vec<Option<u32>>, String> {
        self.ask(|keeper| keeper.ready(queues).boxed()).await
    }

    /// The same, in the middle of a test.
    pub(super) fn ready_now(&self, queues: Vec<String>) -> Result<Vec<Option<u32>>, String> {
        self.ask_now(|keeper| keeper.ready(queues).boxed())
    }

    /// What is in a queue.
    pub(super) fn messages_now(&self, queue: String) -> Result<Vec<Message>, String> {
        self.ask_now(|keeper| keeper.messages(queue).boxed())
    }

    async fn ask<T: Send + 'static>(
        &self,
        job: impl for<'k> FnOnce(&'k mut Keeper) -> BoxFuture<'k, T> + Send + 'static,
    ) -> T {
        let (sender, answer) = oneshot::channel();
        self.send(job, move |answer| drop(sender.send(answer)));
        answer.await.expect(LIVES)
    }

    /// Blocks the thread, for what is no future.
    fn ask_now<T: Send + 'static>(
        &self,
        job: impl for<'k> FnOnce(&'k mut Keeper) -> BoxFuture<'k, T> + Send + 'static,
    ) -> T {
        let (sender, answer) = blocking::channel();
        self.send(job, move |answer| drop(sender.send(answer)));
        answer.recv().expect(LIVES)
    }

    fn send<T: Send + 'static>(
        &self,
        job: impl for<'k> FnOnce(&'k mut Keeper) -> BoxFuture<'k, T> + Send + 'static,
        tell: impl FnOnce(T) + Send + 'static,
    ) {
        let job: Job = Box::new(move |keeper| {
            let asked = job(keeper);
            async move { tell(asked.await) }.boxed()
        });
        let jobs = self.jobs.as_ref().expect(LIVES);
        drop(jobs.send(job));
    }
}

const LIVES: &str = "the thread lives as long as the test";

/// All is removed before the next test begins.
impl Drop for Ground {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // a panic of it was told
            let _ = thread.join();
        }
    }
}
