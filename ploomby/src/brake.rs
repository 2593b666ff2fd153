//! Brakes: a handler whose dependency is away gets one message at a time, until that dependency is back.
//!
//! - `state`: what a brake does, without a clock and a lock of its own;
//! - `handler`: the brake of one handler on one queue, as the dispatcher asks it;
//! - `check`: what the program knows itself about what handlers need;
//! - `brakes`: those of a queue, and whether it rests;
//! - `settings`: what a program chose;
//! - `mode`: whether anything of a queue is out of the ordinary, for each message to see at one look.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

pub use self::check::CheckHealth;
pub(crate) use self::{
    brakes::Brakes,
    check::{Check, Checks},
    handler::{Candidate, HandlerBrake, Judged, Permit},
    mode::Mode,
    settings::Settings,
};

mod brakes;
mod check;
mod handler;
mod mode;
mod settings;
mod state;

/// After how many failures in a row a handler's brake goes on by itself.
///
/// It is for errors that do not say [`Unavailable`](crate::Unavailable): if so many different messages fail one after
/// another without one success, and over at least five seconds, something that the handler needs is likely to be
/// away. From then on the handler gets one message a second, until one succeeds. Each of these failures counts as
/// ever, as an attempt: truly bad messages pass slowly, and never block the queue for ever.
///
/// Messages without a handler, undecodable ones, those that end in a [`Permanent`](crate::Permanent) error or an
/// [`ErrorReply`](crate::ErrorReply) count for nothing.
///
/// ```
/// use ploomby::{Brake, Queue, Retry};
///
/// let queue = Queue::new("billing").retry(Retry::exponential(5)).brake(Brake::after(50));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brake {
    failures: Option<u32>,
}

impl Brake {
    /// After so many failures in a row; zero means one.
    #[must_use]
    pub fn after(failures: u32) -> Self {
        Self {
            failures: Some(failures.max(1)),
        }
    }

    /// Never (default): only an [`Unavailable`](crate::Unavailable) error, a failing check or a pause stops the handler.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
}

/// After so many failures in a row.
impl From<u32> for Brake {
    fn from(failures: u32) -> Self {
        Self::after(failures)
    }
}

/// A handler that gets no messages, or few, since something that it needs is away.
#[derive(Clone, Debug)]
pub struct Braked {
    handler: &'static str,
    cause: BrakeCause,
    reason: String,
    since: SystemTime,
    next_probe: Option<SystemTime>,
}

impl Braked {
    /// The name of the function.
    #[must_use]
    pub fn handler(&self) -> &str {
        self.handler
    }

    /// What pulled the brake.
    #[must_use]
    pub fn cause(&self) -> BrakeCause {
        self.cause
    }

    /// The last error.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// When it went on.
    #[must_use]
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// When the handler gets its next message: `None` if it is at one, or if something else releases the brake.
    #[must_use]
    pub fn next_probe(&self) -> Option<SystemTime> {
        self.next_probe
    }
}

impl fmt::Display for Braked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // a clock that was set back counts as no time
        let age = self.since.elapsed().unwrap_or(Duration::ZERO).as_secs();
        write!(f, "`{}` for {age} s: {}", self.handler, self.reason)
    }
}

/// What pulled a brake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrakeCause {
    /// An error that says [`Unavailable`](crate::Unavailable).
    Unavailable,
    /// Many failures in a row: see [`Brake`].
    Failures,
    /// A check of the program: see [`App::check`](crate::App::check).
    Check,
    /// The program paused the queue, or the handler: see [`Running::pause`](crate::Running::pause) and
    /// [`Running::pause_handler`](crate::Running::pause_handler).
    Paused,
}

impl BrakeCause {
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 4] =
        [Self::Unavailable, Self::Failures, Self::Check, Self::Paused];

    /// As metrics and JSON have it: `unavailable`, `failures`, `check`, `paused`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Failures => "failures",
            Self::Check => "check",
            Self::Paused => "paused",
        }
    }
}

impl fmt::Display for BrakeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
