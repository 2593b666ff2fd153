use std::time::Duration;

use super::options::{OptionError, check_name};
use crate::{
    message::Value,
    settle::{DeadLettering, whole_milliseconds},
};

/// Where the messages of a queue go that cannot be handled.
///
/// ```
/// use std::time::Duration;
/// use ploomby::{DeadLetters, Queue};
///
/// let queue = Queue::new("users").dead_letters(
///     DeadLetters::to("users_failed")
///         .max_length(100_000)
///         .ttl(Duration::from_secs(14 * 24 * 60 * 60)),
/// );
/// ```
#[derive(Clone, Debug, Default)]
pub struct DeadLetters {
    dead_lettering: DeadLettering,
    queue: Option<String>,
    ttl: Option<Duration>,
    max_length: Option<u64>,
}

impl DeadLetters {
    /// To the queue of this name. It is declared, durable and without a limit.
    #[must_use]
    pub fn to(queue: impl Into<String>) -> Self {
        Self {
            queue: Some(queue.into()),
            ..Self::default()
        }
    }

    /// To where the queue's own dead-letter exchange sends them, by `basic.reject`.
    ///
    /// The message then carries the broker's `x-death` header, and ploomby's reason is in the log
    /// alone. A queue that has no dead-letter exchange **drops** the message: give it one, by a
    /// policy or by `queue_argument("x-dead-letter-exchange", …)`.
    ///
    /// Source: [dead letter exchanges](https://www.rabbitmq.com/docs/dlx).
    #[must_use]
    pub fn by_broker() -> Self {
        Self {
            dead_lettering: DeadLettering::ByBroker,
            ..Self::default()
        }
    }

    /// How long they are kept (default: for ever). The broker drops what is older.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How many are kept (default: all). A full queue takes no more; the messages that cannot be
    /// handled then stay in their own queue and are tried again, with growing pauses.
    #[must_use]
    pub fn max_length(mut self, messages: u64) -> Self {
        self.max_length = Some(messages);
        self
    }

    /// The name of the queue, if one was chosen.
    pub(crate) fn name(&self) -> Option<&str> {
        self.queue.as_deref()
    }

    /// How many are kept at most.
    pub(crate) fn most_kept(&self) -> Option<u64> {
        self.max_length
    }

    /// Whether the broker keeps them.
    pub(crate) fn is_by_broker(&self) -> bool {
        self.dead_lettering == DeadLettering::ByBroker
    }

    pub(crate) fn longest_kept(&self) -> Option<Duration> {
        self.ttl
    }

    pub(crate) fn dead_lettering(&self) -> DeadLettering {
        self.dead_lettering
    }
}

/// The queues that stand beside a consumed one: where its messages wait, and where they are kept.
#[derive(Clone, Debug)]
pub(crate) struct Companions {
    queue: String,
    is_quorum: bool,
    /// `None` where the broker does it by itself.
    pub(crate) dead_letters: Option<Declared>,
}

/// RabbitMQ drops what came back more often to a quorum queue, from 4.0 on after 20 times where nothing is said. A
/// negative number means no limit to it, and 0 to RabbitMQ 3.
const NO_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// How long the death of a process is remembered.
const DEATHS_COUNT_FOR: Duration = Duration::from_secs(60 * 60);

/// A queue that may drop its first messages for those that come cannot keep them at least once.
const LIMITS: [&str; 4] = [
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-dead-letter-strategy",
];

/// A queue of ours, as it is declared.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) purpose: Purpose,
    pub(crate) arguments: Vec<(String, Value)>,
}

/// What a queue of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It keeps what cannot be handled.
    DeadLetters,
    /// Messages wait in it until their time comes.
    Waiting,
}

impl Companions {
    pub(super) fn new(
        queue: &str,
        arguments: &[(String, Value)],
        dead_letters: &DeadLetters,
    ) -> Self {
        let is_quorum = arguments.contains(&argument("x-queue-type", "quorum"));
        let kept = match dead_letters.dead_lettering {
            DeadLettering::ByBroker => None,
            DeadLettering::ByCopy => Some(Declared {
                name: match &dead_letters.queue {
                    Some(name) => name.clone(),
                    None => format!("{queue}_dlq"),
                },
                purpose: Purpose::DeadLetters,
                arguments: dead_letter_arguments(dead_letters, is_quorum),
            }),
        };
        Self {
            queue: queue.to_owned(),
            is_quorum,
            dead_letters: kept,
        }
    }

    /// The arguments of the queue, where it is declared. The type is always said: what the virtual host makes of a queue
    /// without one is not known here.
    ///
    /// What a quorum queue gives up would be dropped by the broker: it goes to the dead-letter queue,
    /// unless the program says otherwise, and stays until that has it, unless the program limits the
    /// queue. It gives up nothing that came back often: ploomby knows better which messages crash the process.
    pub(crate) fn queue_arguments(&self, chosen: &[(String, Value)]) -> Vec<(String, Value)> {
        let mut arguments = chosen.to_vec();
        let is_chosen = |name: &str| chosen.iter().any(|(chosen, _)| chosen == name);
        if !is_chosen("x-queue-type") {
            arguments.push(argument("x-queue-type", "classic"));
        }
        let (true, Some(kept)) = (self.is_quorum, &self.dead_letters) else {
            return arguments;
        };
        if !is_chosen("x-delivery-limit") {
            arguments.push(argument("x-delivery-limit", NO_DELIVERY_LIMIT));
        }
        if !is_chosen("x-dead-letter-exchange") {
            arguments.extend(dying_to(&kept.name));
            if !LIMITS.into_iter().any(is_chosen) {
                // else it would give up a message before a dead-letter queue that is full has taken it
                arguments.extend(at_least_once());
            }
        }
        arguments
    }

    /// Makes sure that messages can wait for these delays.
    pub(crate) fn check(&self, delays: &[Duration]) -> Result<(), OptionError> {
        for delay in delays {
            if *delay > LONGEST_WAIT {
                return Err(OptionError::RetryDelay(*delay));
            }
            if !delay.is_zero() {
                check_name(&self.retry_queue(*delay).name)?;
            }
        }
        Ok(())
    }

    /// The queues that have to be there, where messages may wait for these delays.
    pub(crate) fn declared(&self, delays: &[Duration]) -> Vec<Declared> {
        let delays = delays.iter().filter(|delay| !delay.is_zero());
        let retry_queues = delays.map(|delay| self.retry_queue(*delay));
        self.dead_letters
            .iter()
            .cloned()
            .chain(retry_queues)
            .collect()
    }

    /// The queue in which the messages are handled alone that may be what ends the process. It counts how often
    /// each came back.
    pub(crate) fn suspects(&self) -> Declared {
        let mut arguments = vec![
            argument("x-queue-type", "quorum"),
            argument("x-delivery-limit", NO_DELIVERY_LIMIT),
        ];
        if let Some(kept) = &self.dead_letters {
            arguments.extend(dying_to(&kept.name));
            arguments.extend(at_least_once());
        }
        Declared {
            name: format!("{}_suspects", self.queue),
            purpose: Purpose::Waiting,
            arguments,
        }
    }

    /// The queue that tells how often the process died lately. It vanishes when it is not used any more.
    pub(crate) fn crashes(&self) -> Declared {
        Declared {
            name: format!("{}_crashes", self.queue),
            purpose: Purpose::Waiting,
            arguments: vec![
                argument("x-queue-type", "classic"),
                argument("x-message-ttl", milliseconds(DEATHS_COUNT_FOR)),
                argument("x-expires", milliseconds(2 * DEATHS_COUNT_FOR)),
                argument("x-max-length", 100_i64),
            ],
        }
    }

    /// Whether AMQP can carry the names of the queues for what may crash the process.
    pub(crate) fn can_have_suspects(&self) -> bool {
        [self.suspects(), self.crashes()]
            .iter()
            .all(|queue| check_name(&queue.name).is_ok())
    }

    /// The queue that a message waits in, unless it goes straight back: without a delay, and where
    /// the queue's name would be too long for AMQP.
    pub(crate) fn waiting_queue(&self, delay: Duration) -> Option<Declared> {
        let queue = self.retry_queue(delay);
        (!delay.is_zero() && check_name(&queue.name).is_ok()).then_some(queue)
    }

    /// The queue of this delay, under whatever name.
    fn retry_queue(&self, delay: Duration) -> Declared {
        Declared {
            name: format!("{}_retry_{}ms", self.queue, milliseconds(delay)),
            purpose: Purpose::Waiting,
            arguments: waiting_arguments(&self.queue, delay),
        }
    }
}

/// The queue that a message waits in until its delay is over.
pub(crate) fn delay_queue(queue: &str, delay: Duration) -> Declared {
    Declared {
        name: format!("{queue}_delay_{}ms", milliseconds(delay)),
        purpose: Purpose::Waiting,
        arguments: waiting_arguments(queue, delay),
    }
}

/// What expires comes back through the default exchange, so that no other consumer sees it.
///
/// It is a quorum queue, of whatever kind the other one is: it alone keeps a message until the other queue
/// has confirmed it. A classic queue drops what expires while the other one is not there yet, as a
/// quorum queue is where the broker starts.
///
/// It never expires: RabbitMQ counts neither publishing nor declaring as a use of a quorum queue, and
/// would drop it with all that waits in it.
///
/// Source: [at-least-once
/// dead-lettering](https://www.rabbitmq.com/docs/quorum-queues#dead-lettering).
fn waiting_arguments(queue: &str, delay: Duration) -> Vec<(String, Value)> {
    let mut arguments = vec![
        argument("x-queue-type", "quorum"),
        argument("x-message-ttl", milliseconds(delay)),
    ];
    arguments.extend(dying_to(queue));
    arguments.extend(at_least_once());
    arguments
}

/// What dies in a queue goes to this one, through the default exchange.
fn dying_to(queue: &str) -> [(String, Value); 2] {
    [
        argument("x-dead-letter-exchange", ""),
        argument("x-dead-letter-routing-key", queue),
    ]
}

/// What dies in a quorum queue stays until the other one has confirmed it. The second is what the first needs.
fn at_least_once() -> [(String, Value); 2] {
    [
        argument("x-dead-letter-strategy", "at-least-once"),
        argument("x-overflow", "reject-publish"),
    ]
}

fn dead_letter_arguments(dead_letters: &DeadLetters, is_quorum: bool) -> Vec<(String, Value)> {
    let kind = if is_quorum { "quorum" } else { "classic" };
    let mut arguments = vec![argument("x-queue-type", kind)];
    if is_quorum {
        // a letter that is looked at counts as one that came back
        arguments.push(argument("x-delivery-limit", NO_DELIVERY_LIMIT));
    }
    if let Some(ttl) = dead_letters.ttl {
        arguments.push(argument("x-message-ttl", milliseconds(ttl)));
    }
    if let Some(most) = dead_letters.max_length {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        arguments.push(argument("x-max-length", most));
        // what is there already is not dropped for what comes
        arguments.push(argument("x-overflow", "reject-publish"));
    }
    arguments
}

/// The longest that a message may wait in a queue, which is all that RabbitMQ counts: ten years.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_millis(315_360_000_000);

/// As the arguments of queues count. A part of one is a whole one: nothing comes before its time.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(whole_milliseconds(duration).as_millis()).unwrap_or(i64::MAX)
}

fn argument(name: &str, value: impl Into<Value>) -> (String, Value) {
    (name.to_owned(), value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_millisecond_is_waited_for_as_a_whole_one() {
        for (microseconds, milliseconds) in [(1, 1_i64), (1_000, 1), (1_900, 2)] {
            let queue = delay_queue("q", Duration::from_micros(microseconds));
            assert_eq!(queue.name, format!("q_delay_{milliseconds}ms"));
            let ttl = argument("x-message-ttl", milliseconds);
            assert!(queue.arguments.contains(&ttl), "{:?}", queue.arguments);
        }
    }

    #[test]
    fn a_quorum_queue_gives_up_at_least_once_unless_it_is_limited() {
        let added = |chosen: &[(String, Value)]| {
            let kind = argument("x-queue-type", "quorum");
            let chosen = [&[kind], chosen].concat();
            let companions = Companions::new("users", &chosen, &DeadLetters::default());
            let arguments = companions.queue_arguments(&chosen);
            let added = arguments[chosen.len()..].iter();
            added.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let limit = ["x-delivery-limit"];
        let exchange = ["x-dead-letter-exchange", "x-dead-letter-routing-key"];
        let at_least_once = ["x-dead-letter-strategy", "x-overflow"];
        let exchange_at_least_once = [exchange, at_least_once].concat();
        assert_eq!(added(&[]), [&limit[..], &exchange_at_least_once].concat());
        assert_eq!(
            added(&[argument("x-max-length", 10)]),
            [&limit[..], &exchange].concat()
        );
        assert_eq!(
            added(&[argument("x-delivery-limit", 5)]),
            exchange_at_least_once
        );
        assert_eq!(added(&[argument("x-dead-letter-exchange", "dlx")]), limit);
    }

    #[test]
    fn a_message_waits_in_a_quorum_queue_that_stays_whatever_kind_its_own_is_of() {
        let day = Duration::from_secs(24 * 60 * 60);
        for kind in ["classic", "quorum"] {
            let arguments = [argument("x-queue-type", kind)];
            let companions = Companions::new("users", &arguments, &DeadLetters::default());
            let waiting = companions.waiting_queue(day).unwrap();
            assert_eq!(waiting.name, "users_retry_86400000ms");
            for queue in [waiting, delay_queue("users", day)] {
                let argument = |wanted| {
                    let mut arguments = queue.arguments.iter();
                    arguments
                        .find(|(name, _)| name == wanted)
                        .map(|(_, value)| value)
                };
                assert_eq!(argument("x-queue-type"), Some(&"quorum".into()));
                assert_eq!(argument("x-message-ttl"), Some(&86_400_000_i64.into()));
                assert_eq!(argument("x-expires"), None);
            }
        }
    }
}
