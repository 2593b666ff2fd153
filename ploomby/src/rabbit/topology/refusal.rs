use std::{fmt, time::Duration};

use thiserror::Error;

use super::difference::Difference;
use crate::{
    consumer::companions::Purpose,
    message::PropertyError,
    rabbit::{
        connection::{ConnectError, Link},
        session::events::Closed,
    },
    topology::OtherExchange,
};

/// Why a queue that must be there is not, or cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TopologyError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("an argument of a declaration cannot be sent: {0}")]
    Argument(#[from] PropertyError),
    #[error("{subject}: {}{closed}", Advice(subject, *asked, closed))]
    Refused {
        subject: Subject,
        asked: Asked,
        closed: Closed,
    },
    // boxed, as below
    #[error("{0}")]
    OtherExchange(Box<OtherExchange>),
    #[error("queue `{queue}`, {} ({closed})", Consequence(*purpose, difference))]
    Different {
        queue: String,
        purpose: Purpose,
        // boxed: every result of the publisher would be as large
        difference: Box<Difference>,
        closed: Closed,
    },
    #[error("queue `{0}` is not there, and is not to be declared: waiting for it")]
    Missing(String),
    /// A test does not use it, and says why.
    #[error("{0}")]
    OfNoTest(String),
    #[error("the connection was lost while queues were declared: {0}")]
    Lost(String),
    #[error("the broker did not answer within {0:?} while queues were declared")]
    NoAnswer(Duration),
}

/// What the broker was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Queue(String),
    Exchange(String),
    Binding {
        /// A queue or an exchange, with its kind.
        destination: String,
        source: String,
        routing_key: String,
    },
}

/// What the broker was asked to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To say whether it is there.
    Look,
    /// To make it: it is not there, or may not be as it should.
    Declare,
    Consume,
}

impl TopologyError {
    pub(in crate::rabbit) fn refused(queue: &str, asked: Asked, closed: Closed) -> Self {
        Self::Refused {
            subject: Subject::Queue(queue.to_owned()),
            asked,
            closed,
        }
    }

    /// What was asked over a connection came to nothing, where amqprs says `error`.
    pub(in crate::rabbit) fn lost(link: &Link, error: &amqprs::error::Error) -> Self {
        match link.failed(error) {
            error if error.is_hopeless() => Self::Connect(error),
            _ => Self::Lost(link.told(error)),
        }
    }

    /// Whether the queue that was to be consumed is not there.
    pub(in crate::rabbit) fn is_missing_queue(&self) -> bool {
        match self {
            Self::Refused {
                subject: Subject::Queue(_),
                closed,
                ..
            } => closed.is_not_found(),
            // a binding has two ends, and the broker says which one is missing
            Self::Refused {
                subject: Subject::Binding { .. },
                closed,
                ..
            } => closed.is_not_found() && closed.text.contains("no queue '"),
            _ => false,
        }
    }

    /// Whether there was no connection to ask over, or none any more.
    pub(crate) fn is_about_the_connection(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Lost(_) | Self::NoAnswer(_))
    }

    /// Whether the broker has closed the whole connection over what it was asked.
    pub(in crate::rabbit) fn has_closed_the_connection(&self) -> bool {
        matches!(self, Self::Refused { closed, .. } if closed.code == Closed::COMMAND_INVALID)
    }

    /// Whether it was the broker that did not do its part, so that another one may.
    pub(in crate::rabbit) fn is_brokers_fault(&self) -> bool {
        match self {
            Self::Lost(_) | Self::NoAnswer(_) => true,
            Self::Refused { closed, .. } => closed.is_ill(),
            Self::Connect(_)
            | Self::Argument(_)
            | Self::Missing(_)
            | Self::OfNoTest(_)
            | Self::OtherExchange(_)
            | Self::Different { .. } => false,
        }
    }

    /// Whether a later try may go better, without anybody's help.
    pub(in crate::rabbit) fn is_passing(&self) -> bool {
        match self {
            Self::Connect(error) => !error.is_hopeless(),
            Self::Lost(_) | Self::NoAnswer(_) | Self::Missing(_) => true,
            Self::Refused { closed, .. } => closed.is_passing(),
            Self::Argument(_)
            | Self::OfNoTest(_)
            | Self::OtherExchange(_)
            | Self::Different { .. } => false,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue `{name}`"),
            Self::Exchange(name) => write!(f, "exchange `{name}`"),
            Self::Binding {
                destination,
                source,
                routing_key,
            } => write!(
                f,
                "the binding of {destination} to exchange `{source}` for `{routing_key}`"
            ),
        }
    }
}

/// What to do about a refusal, before the broker's own words.
struct Advice<'a>(&'a Subject, Asked, &'a Closed);

impl Advice<'_> {
    /// What to do about a right that the user lacks. The broker's words name the user, and since RabbitMQ 3.11 the right.
    fn on_rights(&self) -> &'static str {
        let Self(subject, asked, closed) = self;
        let says = |words: &str| closed.text.contains(words);
        let is_about = |kind: &str, name: &str| says(&format!("access to {kind} '{name}'"));
        if says("contains reserved prefix") {
            return "the broker keeps names that start with `amq.` for itself, choose another name: ";
        }
        if says("access to topic '") {
            return "the user has topic permissions for the exchange, and they do not allow this routing key: change \
                    them by `rabbitmqctl set_topic_permissions`: ";
        }
        match (subject, asked) {
            (Subject::Binding { source, .. }, _) => {
                let is_source = is_about("exchange", source) && !says("write access to");
                match is_source {
                    true => {
                        "the user may not have messages come from this exchange: give the user the right `read` for \
                         it, or have somebody else bind it and leave `bind` out: "
                    }
                    false => {
                        "the user may not bind it: give the user the right `write` for what the messages go to, or \
                         have somebody else bind it and leave `bind` out: "
                    }
                }
            }
            (_, Asked::Look) => "the user may not even look for it, give the user a right to it: ",
            // what leads on to an exchange needs rights of its own
            (Subject::Queue(_), Asked::Declare) if says("access to exchange '") => {
                "its dead letters go through an exchange: give the user the right `write` for that exchange, and \
                 `read` for the queue: "
            }
            (Subject::Queue(_), Asked::Declare) if says("read access to") => {
                "its dead letters go through an exchange, for which the user has to read it: give the user the right \
                 `read` for it: "
            }
            (Subject::Exchange(name), Asked::Declare) if !is_about("exchange", name) => {
                "what nobody takes goes to its alternate exchange: give the user the right `write` for that one, and \
                 `read` for this one: "
            }
            (Subject::Exchange(_), Asked::Declare) if says("read access to") => {
                "what nobody takes goes to its alternate exchange, for which the user has to read this one: give the \
                 user the right `read` for it: "
            }
            (_, Asked::Declare) if says("configure access to") => {
                "it is not there, and the user may not declare it: give the user the right `configure` for it, or \
                 have somebody else declare it: "
            }
            // an older broker does not say which right
            (_, Asked::Declare) => {
                "it is not there, and the user may not declare it: give the user the right `configure` for it, and \
                 `read` as well if it has a dead-letter or an alternate exchange, or have somebody else declare it: "
            }
            (_, Asked::Consume) => {
                "the user may not consume it, give the user the right `read` for it: "
            }
        }
    }
}

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(subject, _, closed) = self;
        if closed.is_no_right() {
            return f.write_str(self.on_rights());
        }
        if closed.is_not_found()
            && matches!(subject, Subject::Binding { .. })
            && closed.text.contains("no queue '")
        {
            return f.write_str("the queue is not there, somebody has deleted it: ");
        }
        if closed.code == Closed::COMMAND_INVALID {
            return f.write_str(
                "the broker does not know this type: enable the plugin that has it on each node, or choose another type: ",
            );
        }
        if closed.is_not_found() && !matches!(subject, Subject::Queue(_)) {
            return f.write_str(
                "it is not there: start what declares it, or describe it by `Exchange::topic` or its like: ",
            );
        }
        if closed.is_limit() {
            return f.write_str(
                "it is not there, and no more queues may be made: raise the limit, or delete queues \
                 that nobody needs: ",
            );
        }
        if closed.code == Closed::RESOURCE_LOCKED {
            return f.write_str(
                "it belongs to one connection alone, as exclusive queues do: end the program that \
                 has it, or choose another name: ",
            );
        }
        Ok(())
    }
}

/// What an argument that differs may lead to, and what to do.
struct Consequence<'a>(Purpose, &'a Difference);

impl fmt::Display for Consequence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(purpose, difference) = self;
        match purpose {
            Purpose::DeadLetters if difference.is_there() => write!(
                f,
                "which keeps messages that failed, exists with other arguments and might drop what it \
                 is given, since {difference}: move its messages and delete it, or name another \
                 dead-letter queue with `dead_letter_queue`"
            ),
            Purpose::DeadLetters => write!(
                f,
                "which keeps messages that failed, exists with other arguments than the program asks \
                 for, since {difference}: ask for what it has, or name another dead-letter queue with \
                 `dead_letter_queue`"
            ),
            Purpose::Waiting => write!(
                f,
                "in which messages wait, exists with other arguments and might not bring them back \
                 when and where they should, since {difference}: move its messages and delete it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(subject: Subject, code: u16, text: &str) -> String {
        let (asked, text) = (Asked::Declare, text.to_owned());
        let closed = Closed { code, text };
        let refused = TopologyError::Refused {
            subject,
            asked,
            closed,
        };
        refused.to_string()
    }

    fn binding() -> Subject {
        Subject::Binding {
            destination: "queue `q`".to_owned(),
            source: "events".to_owned(),
            routing_key: "order.#".to_owned(),
        }
    }

    #[test]
    fn a_binding_whose_queue_is_missing_is_not_told_of_exchanges() {
        let text = "NOT_FOUND - no queue 'q' in vhost '/'";
        let error = told(binding(), 404, text);
        assert!(error.contains("the queue is not there"), "{error}");
        assert!(!error.contains("`Exchange::topic`"), "{error}");
        let text = "NOT_FOUND - no exchange 'events' in vhost '/'";
        let error = told(binding(), 404, text);
        assert!(error.contains("`Exchange::topic`"), "{error}");
    }

    #[test]
    fn the_right_that_is_named_is_the_one_that_is_missing() {
        let queue = || Subject::Queue("q_retry_10ms".to_owned());
        let exchange = || Subject::Exchange("events".to_owned());
        let cases = [
            (
                queue(),
                "read access to queue 'q_retry_10ms'",
                "`read`",
                "`configure`",
            ),
            (
                queue(),
                "configure access to queue 'q_retry_10ms'",
                "`configure`",
                "`read`",
            ),
            (
                exchange(),
                "read access to exchange 'events'",
                "`read`",
                "`configure`",
            ),
            (
                exchange(),
                "configure access to exchange 'events'",
                "`configure`",
                "`read`",
            ),
            (
                binding(),
                "read access to exchange 'events'",
                "`read`",
                "`write`",
            ),
            (
                binding(),
                "access to exchange 'events'",
                "`read`",
                "`write`",
            ),
            (
                binding(),
                "access to exchange 'audited'",
                "`write`",
                "`read`",
            ),
        ];
        for (subject, access, named, other) in cases {
            let text = format!("ACCESS_REFUSED - {access} in vhost '/' refused for user 'u'");
            let error = told(subject, 403, &text);
            assert!(error.contains(named), "{error}");
            assert!(!error.contains(other), "{error}");
        }
        for (subject, kind) in [
            (queue(), "queue 'q_retry_10ms'"),
            (exchange(), "exchange 'events'"),
        ] {
            let text =
                format!("ACCESS_REFUSED - access to {kind} in vhost '/' refused for user 'u'");
            let error = told(subject, 403, &text);
            assert!(
                error.contains("`configure`") && error.contains("`read`"),
                "{error}"
            );
        }
    }
}
