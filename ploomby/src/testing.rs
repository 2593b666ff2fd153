//! Tests of handlers: the whole service in one process, with all its queues, in no time.
//!
//! ```
//! use std::time::Duration;
//! use ploomby::{HandlerRegistry, Outcome, Publisher, Queue, Retry, testing::TestApp};
//!
//! async fn charge(cents: u64, publisher: Publisher) -> anyhow::Result<()> {
//!     anyhow::ensure!(cents > 0, "nothing to pay");
//!     publisher.send("mail", "receipt", &cents).await?;
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let app = TestApp::with(HandlerRegistry::new().register("charge", charge))
//!     .queue(Queue::new("billing").retry(Retry::fixed(3, Duration::from_secs(60 * 60))))
//!     .foreign_queue(Queue::new("mail"))
//!     .start()
//!     .await;
//! let run = app.send("billing", "charge", &100).await;
//! run.handled("charge").once().outcome(Outcome::Ack);
//! run.sent::<u64>("mail").once().with(&100);
//!
//! // three attempts, an hour apart
//! let run = app.send("billing", "charge", &0).await;
//! run.handled("charge").attempts(3).outcome(Outcome::DeadLetter).error("nothing to pay");
//! app.dead_letters("billing").once();
//! # }
//! ```
//!
//! # Layout
//!
//! - `app`: what is tested;
//! - `running`: what a test does with it;
//! - `run`, `letters`: what a test asks afterwards;
//! - `journal`: what happened;
//! - `director`, `clock`: what goes on, and time;
//! - `place`, `ground`: the embedded broker, or a RabbitMQ on which tests take turns;
//! - `scope`: which handler sends what;
//! - `simulation`: what goes wrong, and when;
//! - `runtime`: the test's own.
//!
//! # When a run ends
//!
//! [`send`](TestRunning::send) and its like return when all that follows from the message is done: no message is with a
//! handler, none is on its way to one, and none waits for another attempt or by a delay. That is known, not guessed: deliveries
//! and their tasks are counted, and no time is waited. What waits for later comes at once, as the clock of the test is moved to
//! where it is due, up to the [horizon](TestApp::horizon). A message that waits in a queue that the app does not consume is no
//! longer the app's.
//!
//! A run that does not end within ten seconds of real time, or what [`limit`](TestApp::limit) says, fails the test, with the
//! names of the handlers that are still at work.
//!
//! A run does not know of tasks that a handler spawns and does not wait for.
//!
//! # Time
//!
//! Each test has a clock, which stands still but for [`advance`](TestRunning::advance) and the waits that a run works off. It
//! counts for all that waits in the broker: another attempt ([`Retry`](crate::Retry)), a delay
//! ([`Outgoing::delay`](crate::Outgoing::delay)), the time to live of messages and queues; for how long a
//! [`Batch`](crate::extract::Batch) waits for more; for a [`Rate`](crate::Rate); and for the pauses of a
//! [`Brake`](crate::Brake) and of a handler that is [`Unavailable`](crate::Unavailable).
//!
//! So does the pause before ploomby tries again to keep a copy that was not kept. All else keeps real time, so that sockets,
//! pools and timers of other crates work as ever: in particular a handler's `timeout`, since the time that a handler takes is
//! real ([`time_out`](TestRunning::time_out) lets it be over), an [`App::check`](crate::App::check), the timeouts of
//! publishers and calls, and what [`Dedup`](crate::dedup::Dedup) remembers.
//!
//! # While things go wrong
//!
//! [`simulate`] runs a test again and again, while the app crashes and connections are lost.
//!
//! # What it runs on
//!
//! Each test has an [embedded broker](crate::memory) of its own. It does what RabbitMQ does, or refuses: what it does not model
//! is an error at the start.
//!
//! # On RabbitMQ
//!
//! [`TestApp::on`] brings a test to a RabbitMQ, and the environment variable `PLOOMBY_TESTING_URL` all of them. What a test
//! asserts stays the same:
//!
//! - Time is real. A run waits for what is due within its [limit](TestApp::limit) of ten seconds, and
//!   [`advance`](TestRunning::advance) waits for as long as it says. More is refused, with a panic that says so, unless what
//!   waits is beyond the [horizon](TestApp::horizon). Such a test stays on the embedded broker by [`TestApp::embedded`], and
//!   so does each test in a [simulation](simulate).
//! - A run ends when each message that the program or the test sent to a queue of the app is settled, nothing runs, and
//!   RabbitMQ says three times in a row that the queues of the app are empty. A message that somebody else sends counts from
//!   when it is ready in its queue.
//! - Tests take turns, also those of several processes: who is on a virtual host has it alone. Groups of tests that are to run
//!   side by side need a virtual host each.
//! - Queues and exchanges have the names that the program gives them, and are removed at the end, also if the test fails. What
//!   a test that was killed has left is removed by the next one.
//! - A test does not start if one of its queues, of their dead-letter queues or of its exchanges is there already, and no test
//!   has made it. Later it fails if another queue or exchange that the app is to make is there already. No test deletes what
//!   no test has made.
//! - Handlers under test send to whatever real queue or exchange they name, if the test does not name it: give tests a virtual
//!   host of their own.
//! - The user needs the rights to configure, write and read the queues and exchanges of the app, and those whose names begin
//!   with `ploomby.testing.`.

#[doc(hidden)]
pub use self::runtime::run_test;
pub use self::{
    app::TestApp,
    journal::Journal,
    letters::Letters,
    run::{Handled, Run, Sent},
    running::TestRunning,
    simulation::{Fault, Simulation, simulate},
};

mod app;
mod clock;
mod director;
mod ground;
mod journal;
mod letters;
mod place;
mod run;
mod running;
mod runtime;
mod scope;
mod simulation;
