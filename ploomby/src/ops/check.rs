//! What would keep a program from working: known before it is deployed.

use serde::Serialize;

#[cfg(feature = "asyncapi")]
pub(super) use self::against::pointed;
pub(super) use self::broker::leftover_queues;
use super::{Ops, OpsError, Program};
use crate::app::App;

mod against;
mod broker;
mod program;
mod sample;

/// Something that was checked. In JSON its form has version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The version of this form.
    pub v: u32,
    /// How it is.
    pub level: Level,
    /// What it is about, such as `login`, or `queue billing`.
    pub about: String,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How something is that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// As it should be.
    Good,
    /// The program works, and something may be missed.
    Doubtful,
    /// The program does not start, or messages are lost or not handled.
    Bad,
}

impl Finding {
    fn new(level: Level, about: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            v: 1,
            level,
            about: about.into(),
            text: text.into(),
            remedy: None,
        }
    }

    pub(super) fn good(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Level::Good, about, text)
    }

    pub(super) fn doubtful(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Level::Doubtful, about, text)
    }

    pub(super) fn bad(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Level::Bad, about, text)
    }

    /// Messages could not be looked at.
    #[cfg(feature = "cli")]
    pub(crate) fn of_sample(error: &OpsError) -> Self {
        Self::bad("messages", error.to_string())
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl App {
    /// Checks what can be known without a broker and without state: the URL, the queues, the handlers and what they take.
    ///
    /// ```
    /// use ploomby::{App, HandlerRegistry, Queue, ops::Level};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let handlers = HandlerRegistry::new().register("charge", async |cents: u64| println!("{cents}"));
    /// let app = App::new("amqp://rabbit.example").handlers(handlers).queue(Queue::new("billing"));
    /// let findings = app.check_offline();
    /// assert!(findings.iter().all(|finding| finding.level < Level::Bad));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn check_offline(&self) -> Vec<Finding> {
        program::check(self)
    }
}

impl Ops {
    /// Checks what the broker says: whether it lets the program in, what it is, the queues beside what would be declared,
    /// the rights, and what is left of retries that no handler has any more. A queue that is missing is not declared,
    /// and no message is taken.
    ///
    /// What goes wrong is a finding. So is a broker that is not there.
    pub async fn check(&self) -> Vec<Finding> {
        match broker::check(self).await {
            Ok(findings) | Err(findings) => findings,
        }
    }

    /// Decodes so many messages of each queue that wait for their handlers, with this build, and puts them back. They count
    /// as redelivered then. No handler and no extractor of yours runs.
    ///
    /// For at most some seconds they are kept from the consumers of the queue. A consumer that has room meanwhile gets what
    /// is behind them first, which matters to a queue that is [handled in order](crate::OrderBy). A quorum queue
    /// that has no large `x-delivery-limit` is left alone, since what comes back loses its place there, or is given up.
    ///
    /// # Errors
    ///
    /// A broker that is not there, or does not let the program look.
    pub async fn sample(&self, messages: usize) -> Result<Vec<Finding>, OpsError> {
        sample::check(self, messages).await
    }
}

/// As findings name a queue.
fn of_queue(name: &str) -> String {
    format!("queue {name}")
}

fn names(program: &Program) -> impl Iterator<Item = &str> {
    program.queues.iter().map(|queue| queue.name.as_str())
}
