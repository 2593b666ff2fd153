//! The contract between a source of messages and the rest: what [`rabbit`](crate::rabbit) and
//! [`memory`](crate::memory) implement, and what a source of your own does.

use std::future::Future;

use crate::{dispatcher::Dispatcher, handler::QueuePolicy, settle::ConsumerError};

pub(crate) use self::registry::{Registration, check_dispatcher};
pub(crate) use self::signals::Signals;
pub use self::{
    companions::DeadLetters,
    declare::Declare,
    registry::{MessageConsumerRegistry, RegisterError, RunError},
};

pub(crate) mod companions;
mod declare;
mod life;
pub(crate) mod options;
mod registry;
mod signals;

/// Makes consumers of one kind, that share what they can, such as a connection.
pub trait MessageConsumerFactory: Send + Sync + 'static {
    /// What it makes.
    type Consumer: MessageConsumer;
    /// What can be chosen for each queue.
    type Options: Send + Sync + 'static;

    /// A consumer of `listen_for`, not connected yet.
    ///
    /// # Errors
    ///
    /// A name or an option that the source cannot serve.
    fn create(
        &self,
        listen_for: &str,
        options: &Self::Options,
    ) -> Result<Self::Consumer, ConsumerError>;

    /// How the deliveries of one queue are handled, all `consumers_count` consumers together.
    fn policy(&self, options: &Self::Options, consumers_count: usize) -> QueuePolicy {
        let _ = (options, consumers_count);
        QueuePolicy::new()
    }

    /// Closes what the consumers shared, after the last of them has disconnected.
    fn close(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A source of messages.
///
/// [`MessageConsumerRegistry::register`] calls `connect`, then runs `consume` on a task of its
/// own. On shutdown it tells the dispatcher to stop, waits for the handlers in flight, drops the
/// future of `consume` and calls `disconnect`.
pub trait MessageConsumer: Send + 'static {
    /// Opens what the source needs, so that what is wrong shows at startup. The dispatcher tells
    /// what the handlers will ask for, such as [`retry_delays`](Dispatcher::retry_delays).
    ///
    /// # Errors
    ///
    /// Whatever keeps the source from delivering.
    fn connect(
        &mut self,
        dispatcher: &Dispatcher,
    ) -> impl Future<Output = Result<(), ConsumerError>> + Send;

    /// Gives each message to [`Dispatcher::dispatch`]; returns when there will be no more.
    ///
    /// A consumer that can tell its source to send nothing more does so once
    /// [`Dispatcher::stopped`] resolves, and goes on settling until it is dropped. One that loses
    /// its source for a while says so by [`Dispatcher::not_consuming`]. One that wraps another awaits
    /// the other's `consume` in its own, and not on another task: shutdown would not wait for the
    /// handlers that compute there.
    ///
    /// # Errors
    ///
    /// What the consumer cannot recover from. The program ends with it.
    ///
    /// # Cancel safety
    ///
    /// It is dropped at any of its await points, once no handler is in flight.
    fn consume(
        &mut self,
        dispatcher: Dispatcher,
    ) -> impl Future<Output = Result<(), ConsumerError>> + Send;

    /// Sends what is still to be settled, gives unsettled messages back, and closes.
    fn disconnect(&mut self) -> impl Future<Output = ()> + Send;
}

#[cfg(test)]
mod tests;
