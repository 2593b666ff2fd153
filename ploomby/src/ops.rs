//! Operations: what a program handles, how much waits, and its dead letters.
//!
//! [`Ops`] knows the queues and the handlers of an [`App`], without running it, on both brokers:
//!
//! ```standalone_crate
//! use ploomby::{App, Queue, ops::{Filter, GroupBy, Groups, Replay}};
//!
//! #[ploomby::handler("charge")]
//! async fn charge(cents: u64) -> anyhow::Result<()> {
//!     anyhow::bail!("the card of order {cents} has expired")
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! # let app = || App::new("memory://ops-example").queue(Queue::new("billing"));
//! # let running = app().start().await?;
//! # running.publisher().await?.send("billing", "charge", &100).await?;
//! # running.publisher().await?.send("billing", "charge", &200).await?;
//! # while ploomby::memory::MemoryBroker::named("ops-example").ready_count("billing_dlq") < 2 {
//! #     tokio::task::yield_now().await;
//! # }
//! let ops = app().ops()?;
//! let mut groups = Groups::new(GroupBy::Error);
//! let mut look = ops.look("billing").await?;
//! while let Some(letter) = look.next().await? {
//!     groups.add(&letter);
//! }
//! look.end().await?;
//! let [group] = &groups.into_groups()[..] else { panic!() };
//! assert_eq!(group.name.as_deref(), Some("the card of order # has expired"));
//! assert_eq!(group.count, 2);
//!
//! let mut replaying = ops.replay("billing", Replay::new(Filter::all().key("charge"))).await?;
//! while let Some(replayed) = replaying.next().await? {
//!     println!("{} is in {} again", replayed.id, replayed.queue);
//! }
//! assert_eq!(replaying.end().await?.done, 2);
//! # running.shut_down().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a look changes
//!
//! Nothing: letters that were looked at go back to their places, but for a quorum queue without a limit that somebody else
//! declared: RabbitMQ 3 puts them behind the others there. They count as delivered once more, in a quorum queue by
//! its `x-delivery-count`, which matters in a dead-letter queue to nothing up to its `x-delivery-limit` (a thousand million,
//! where ploomby declared the queue). A look that is killed changes no more than that.
//!
//! # What moves a letter
//!
//! [`Ops::replay`], [`Ops::discard`] and [`Ops::import`] move one letter at a time. A replayed letter is confirmed in its
//! new queue before it is taken out of the old one: whatever ends the process, it is in one of them, or in both.
//! Each act leaves an event in the log, at the target `ploomby::ops`: who, what, how many, and the first hundred names.

use std::{collections::BTreeMap, fmt, sync::OnceLock};

use tokio::sync::OnceCell;
use tracing::info;

#[cfg(feature = "asyncapi")]
pub use self::contract::{Contract, Undescribed};
#[cfg(feature = "admin")]
pub(crate) use self::groups::kind_of_error;
use self::source::Source;
pub use self::{
    check::{Finding, Level},
    depths::{QueueDepths, Waiting},
    discard::Discarding,
    edit::Edit,
    error::OpsError,
    filter::Filter,
    groups::{Group, GroupBy, Groups},
    health::{CheckInfo, HealthInfo, QueueHealthInfo, Status, TroubleInfo, WaitingHandler},
    letter::{Letter, Summary},
    look::Look,
    program::{HandlerInfo, Program, QueueInfo},
    rehearsal::{Fate, Rehearsal, Rehearsed, WouldSend},
    replay::{Replay, Replayed, Replaying},
    time::time_of,
    topology::{Declaration, Deletion, Leftover, QueuePurpose},
    tried::Fit,
    wiring::{BindingDeclaration, BindingTarget, ExchangeDeclaration},
    written::{ToHandler, Written},
};
use crate::{
    app::{App, Error},
    dispatcher::Dispatcher,
    handler::HandlerRegistry,
    publisher::{BrokerUrl, Destination, PublishError, Publisher},
};

mod check;
#[cfg(feature = "asyncapi")]
mod contract;
mod depths;
mod discard;
mod edit;
mod error;
#[cfg(any(feature = "admin", feature = "cli"))]
pub(crate) mod faces;
mod filter;
mod groups;
mod health;
mod letter;
mod look;
mod program;
mod rehearsal;
mod replay;
mod source;
mod time;
mod topology;
mod transfer;
mod tried;
mod wiring;
mod written;

/// Looks at the queues and dead letters of an app, and moves letters.
///
/// Nothing is connected before it is needed, and no state of the app's is made.
pub struct Ops {
    program: Program,
    handlers: HandlerRegistry,
    source: Source,
    destination: Destination,
    publisher: OnceCell<Publisher>,
    /// What decodes the messages of each queue, and hands them to nobody.
    trials: OnceLock<BTreeMap<String, Dispatcher>>,
}

/// What was done to letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Done {
    /// How many letters it was done to.
    pub done: usize,
    /// The names of the first hundred.
    pub ids: Vec<String>,
    /// How many letters there were at the beginning.
    pub total: usize,
    /// How many of them were not looked at.
    pub not_looked_at: usize,
}

impl App {
    /// The operations of this app, which is not run.
    ///
    /// # Errors
    ///
    /// A URL that means no broker.
    pub fn ops(self) -> Result<Ops, Error> {
        self.ops_beside()
    }

    /// The same, beside which the app is still there.
    pub(crate) fn ops_beside(&self) -> Result<Ops, Error> {
        Ok(Ops::of(self.program(), self.registry(), self.broker()?))
    }
}

impl Ops {
    pub(crate) fn of(program: Program, handlers: HandlerRegistry, url: BrokerUrl) -> Self {
        Self {
            program,
            handlers,
            source: Source::new(url.clone()),
            destination: Destination::new(url, "ops publisher"),
            publisher: OnceCell::new(),
            trials: OnceLock::new(),
        }
    }

    /// Those of a program that runs.
    #[cfg(feature = "admin")]
    pub(crate) fn of_described(program: &crate::app::Described) -> Self {
        let crate::app::Described {
            name,
            queues,
            handlers,
            url,
        } = program.clone();
        Self::of(Program::of(name, queues, &handlers), handlers, url)
    }

    /// The queues and the handlers.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Begins to look at the letters of a queue of the program.
    ///
    /// # Errors
    ///
    /// A queue that the program does not have, or whose letters the broker keeps; a broker that is not there.
    pub async fn look(&self, queue: &str) -> Result<Look<'_>, OpsError> {
        let dead_letters = self.dead_letters(queue)?;
        match self.source.hold(dead_letters).await? {
            Some((held, total)) => Ok(Look::new(self, dead_letters, held, total)),
            // nothing has failed yet, and the queue is declared with the first consumer
            None => Err(OpsError::NotThere(dead_letters.to_owned())),
        }
    }

    /// A letter by its name, or by the last eight characters of it or more. It is looked for from the oldest on, among so many as `scan` says.
    ///
    /// # Errors
    ///
    /// As those of [`look`](Self::look), and [`OpsError::NoLetter`].
    pub async fn letter(&self, queue: &str, id: &str, scan: usize) -> Result<Letter, OpsError> {
        let mut look = self.look(queue).await?.scan(scan);
        let mut found = None;
        while let Some(letter) = look.next().await? {
            if letter.is_named(id) {
                found = Some(letter);
                break;
            }
        }
        look.end().await?;
        found.ok_or_else(|| OpsError::NoLetter(id.to_owned()))
    }

    /// Sends to the app's broker, connected by the first call.
    ///
    /// # Errors
    ///
    /// A broker that is not there or does not let the program in.
    pub async fn publisher(&self) -> Result<&Publisher, PublishError> {
        let connect = || Publisher::to_destination(self.destination.clone());
        self.publisher.get_or_try_init(connect).await
    }

    /// Closes what is connected.
    pub async fn close(self) {
        if let Some(publisher) = self.publisher.into_inner() {
            publisher.close().await;
        }
        self.source.close().await;
    }

    /// The dead-letter queue of a queue.
    fn dead_letters(&self, queue: &str) -> Result<&str, OpsError> {
        let queue = self.program.queue(queue)?;
        let name = queue.dead_letters.as_deref();
        name.ok_or_else(|| OpsError::NoDeadLetterQueue(queue.name.clone()))
    }

    /// Leaves an event of what was done.
    fn tell(&self, act: &str, queue: &str, done: &Done) {
        self.tell_of(None, act, queue, done);
    }

    /// The same of what somebody did.
    pub(crate) fn tell_of(&self, who: Option<&str>, act: &str, queue: &str, done: &Done) {
        let who = who
            .map(str::to_owned)
            .or_else(|| std::env::var("USER").ok());
        let who = who.unwrap_or_else(|| "somebody".to_owned());
        let user = self.source.user();
        let (count, ids) = (done.done, done.ids.join(" "));
        info!(target: "ploomby::ops", who, user, act, queue, count, ids);
    }
}

impl Done {
    fn note(&mut self, id: String) {
        const MOST: usize = 100;

        self.done += 1;
        if self.ids.len() < MOST {
            self.ids.push(id);
        }
    }
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ops")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}
