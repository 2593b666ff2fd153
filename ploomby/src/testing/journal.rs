use std::{fmt, sync::Arc, time::Duration};

use super::clock::Time;
use crate::{
    message::Message,
    outcome::{Outcome, Reason},
};

/// Something that happened, and when by the clock of the test.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Duration,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// The test sent a message.
    Put(Sent),
    Handled(Handled),
    /// A message was sent by none of the handlers that ran.
    Sent(Sent),
    /// The clock was moved by the test.
    Advanced(Duration),
    /// All that was not settled came back. These handlers were at work.
    Crashed {
        /// Which program of several that run.
        of_several: Option<usize>,
        at_work: Vec<String>,
    },
    /// Something went wrong in a simulation.
    Fault(String),
}

/// A delivery, and what became of it.
#[derive(Debug)]
pub(super) struct Handled {
    pub(super) queue: String,
    pub(super) key: Option<String>,
    pub(super) handler: &'static str,
    pub(super) message_id: Option<String>,
    pub(super) attempt: u32,
    pub(super) is_redelivered: bool,
    /// None if it waits for what its handler needs.
    pub(super) outcome: Option<Outcome>,
    pub(super) after: Option<Duration>,
    pub(super) failure: Option<(Reason, String)>,
    pub(super) sent: Vec<Sent>,
}

/// A message that was sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// Empty for the default exchange.
    pub(super) exchange: String,
    pub(super) routing_key: String,
    /// Those that have it, or will have it after the delay.
    pub(super) queues: Vec<String>,
    pub(super) delay: Option<Duration>,
    pub(super) message: Message,
}

/// What happened, one line for each delivery, in the order in which they ended.
///
/// It is written by `Display`, as a failed assertion prints it.
#[derive(Clone)]
pub struct Journal(pub(super) Vec<Arc<Entry>>);

impl Journal {
    pub(super) fn handled(&self) -> impl Iterator<Item = &Handled> {
        self.0.iter().filter_map(|entry| match &entry.what {
            What::Handled(handled) => Some(handled),
            _ => None,
        })
    }

    /// What the program has sent.
    pub(super) fn sent(&self) -> impl Iterator<Item = &Sent> {
        self.0.iter().flat_map(|entry| match &entry.what {
            What::Handled(handled) => handled.sent.as_slice(),
            What::Sent(sent) => std::slice::from_ref(sent),
            _ => &[],
        })
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("  nothing happened\n");
        }
        for entry in &self.0 {
            write!(f, "  +{:<7} ", Time(entry.at).to_string())?;
            match &entry.what {
                What::Put(sent) => writeln!(f, "the test sent {sent}")?,
                What::Handled(handled) => writeln!(f, "{handled}")?,
                What::Sent(sent) => writeln!(f, "sent {sent}")?,
                What::Advanced(time) => writeln!(f, "the test moved the clock by {}", Time(*time))?,
                What::Crashed {
                    of_several,
                    at_work,
                } => {
                    f.write_str("a crash")?;
                    if let Some(instance) = of_several {
                        write!(f, " of instance {instance}")?;
                    }
                    if !at_work.is_empty() {
                        write!(f, ", in the middle of {}", at_work.join(", "))?;
                    }
                    f.write_str("\n")?;
                }
                What::Fault(what) => writeln!(f, "fault: {what}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: ", self.queue)?;
        match &self.key {
            Some(key) => write!(f, "`{key}`")?,
            None => f.write_str("a message without a key")?,
        }
        write!(f, ", attempt {}", self.attempt)?;
        if self.is_redelivered {
            f.write_str(", redelivered")?;
        }
        write!(f, ", {}: ", self.handler)?;
        f.write_str(match self.outcome {
            Some(Outcome::Ack) => "ack",
            Some(Outcome::Discard) => "discard",
            Some(Outcome::DeadLetter) => "dead letter",
            Some(Outcome::Requeue) => "requeue",
            Some(Outcome::Retry) => "retry",
            None => "held",
        })?;
        if let Some(after) = self.after {
            write!(f, " in {}", Time(after))?;
        }
        if let Some((reason, error)) = &self.failure {
            write!(f, " ({reason}: {error})")?;
        }
        for sent in &self.sent {
            write!(f, "\n             sent {sent}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.properties().message_type() {
            Some(key) => write!(f, "`{key}`")?,
            None => f.write_str("a message")?,
        }
        if !self.exchange.is_empty() {
            write!(
                f,
                " through `{}` with `{}`",
                self.exchange, self.routing_key
            )?;
        }
        match &*self.queues {
            [] => f.write_str(" to no queue")?,
            queues => write!(f, " to `{}`", queues.join("`, `"))?,
        }
        if let Some(delay) = self.delay {
            write!(f, " in {}", Time(delay))?;
        }
        write!(f, ": {}", Body(&self.message))
    }
}

/// A body as far as it is text, and not long.
struct Body<'m>(&'m Message);

/// How much of a body is printed.
const LONGEST_BODY: usize = 200;

impl fmt::Display for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.0.body();
        match std::str::from_utf8(body) {
            Ok(text) if text.chars().count() <= LONGEST_BODY => f.write_str(text),
            Ok(text) => {
                let cut: String = text.chars().take(LONGEST_BODY).collect();
                write!(f, "{cut}… ({} bytes)", body.len())
            }
            Err(_) => write!(f, "{} bytes", body.len()),
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
