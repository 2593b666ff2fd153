use std::{collections::BTreeMap, fmt, time::Duration};

use super::error::MemoryError;
use crate::{
    consumer::companions::Declared,
    message::{Value, wire::short_str},
};

/// The largest TTL that RabbitMQ takes, in milliseconds: ten years.
pub(super) const MAX_TTL: u64 = 315_360_000_000;

const MESSAGE_TTL: &str = "x-message-ttl";
const EXPIRES: &str = "x-expires";
const MAX_LENGTH: &str = "x-max-length";
const MAX_BYTES: &str = "x-max-length-bytes";
const MAX_PRIORITY: &str = "x-max-priority";
const SINGLE_ACTIVE: &str = "x-single-active-consumer";
const OVERFLOW: &str = "x-overflow";
const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";
const DEAD_LETTER_ROUTING_KEY: &str = "x-dead-letter-routing-key";
const QUEUE_TYPE: &str = "x-queue-type";
const STRATEGY: &str = "x-dead-letter-strategy";
const KNOWN: [&str; 11] = [
    MESSAGE_TTL,
    EXPIRES,
    MAX_LENGTH,
    MAX_BYTES,
    MAX_PRIORITY,
    SINGLE_ACTIVE,
    OVERFLOW,
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_ROUTING_KEY,
    QUEUE_TYPE,
    STRATEGY,
];
const MODELLED: &str = "x-message-ttl, x-expires, x-max-length, x-max-length-bytes, x-max-priority, \
                        x-single-active-consumer, x-overflow, x-dead-letter-exchange, \
                        x-dead-letter-routing-key, x-dead-letter-strategy and x-queue-type";
const REJECT_PUBLISH: &str = "reject-publish";
const CLASSIC: &str = "classic";
const QUORUM: &str = "quorum";
const AT_LEAST_ONCE: &str = "at-least-once";

/// What a queue is declared with, checked.
#[derive(Clone, Debug, Default)]
pub(super) struct QueueArguments(BTreeMap<&'static str, Setting>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Setting {
    Number(u64),
    Text(String),
    Flag(bool),
}

/// What the arguments mean to the queue.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) ttl: Option<Duration>,
    /// The queue is deleted once nobody has used it for so long.
    pub(super) expires: Option<Duration>,
    pub(super) max_length: Option<usize>,
    /// Of the bodies that are ready.
    pub(super) max_bytes: Option<u64>,
    pub(super) priorities: Priorities,
    /// One consumer is served, and the next one when that is gone.
    pub(super) single_active: bool,
    pub(super) overflow: Overflow,
    /// `None` where they are dropped.
    pub(super) dead_letters: Option<DeadLetters>,
    /// What dies stays until another queue has taken it.
    pub(super) keeps: bool,
}

/// What the priority of a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priorities {
    None,
    /// A message of a higher priority counts as one of this.
    UpTo(u8),
    /// A message is of high or of normal priority, and for two of the first one of the others comes.
    High,
}

/// What a queue at its `x-max-length` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    DropHead,
    RejectPublish,
}

/// Where messages go that expire or are dropped for length.
#[derive(Debug)]
pub(super) struct DeadLetters {
    pub(super) exchange: String,
    /// `None` where they keep their own.
    pub(super) key: Option<String>,
}

impl QueueArguments {
    /// Checks the arguments for a queue, and its name.
    pub(super) fn new(
        queue: &str,
        arguments: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Self, MemoryError> {
        short_str("queue name", queue)?;
        if queue.is_empty() || queue.starts_with("amq.") {
            return Err(MemoryError::InvalidName(queue.to_owned()));
        }
        let mut settings = BTreeMap::new();
        for (name, value) in arguments {
            if let Some(known) = KNOWN.into_iter().find(|known| *known == name) {
                let setting = setting(known, value).map_err(|fault| fault.of(queue, known))?;
                settings.insert(known, setting);
            } else if name.starts_with("x-") {
                return Err(Fault::NotModelled(MODELLED).of(queue, &name));
            }
        }
        if settings.contains_key(DEAD_LETTER_ROUTING_KEY)
            && !settings.contains_key(DEAD_LETTER_EXCHANGE)
        {
            let problem = "needs an x-dead-letter-exchange beside it";
            return Err(Fault::Invalid(problem).of(queue, DEAD_LETTER_ROUTING_KEY));
        }
        let settings = Self(settings);
        if settings.0.contains_key(STRATEGY) && settings.queue_type() != QUORUM {
            let problem = "needs an x-queue-type of quorum beside it";
            return Err(Fault::Invalid(problem).of(queue, STRATEGY));
        }
        if settings.0.contains_key(MAX_PRIORITY) && settings.queue_type() == QUORUM {
            let problem = "is for classic queues alone";
            return Err(Fault::Invalid(problem).of(queue, MAX_PRIORITY));
        }
        Ok(settings)
    }

    /// The arguments of a queue of ours, but for the limit of deliveries, which means nothing here.
    pub(super) fn of(declared: &Declared) -> Result<Self, MemoryError> {
        let arguments = declared.arguments.iter();
        let modelled = arguments.filter(|(name, _)| name != "x-delivery-limit");
        Self::new(&declared.name, modelled.cloned())
    }

    /// Compares with what the queue is declared with.
    pub(super) fn check_equivalent(&self, queue: &str, received: &Self) -> Result<(), MemoryError> {
        let differs = |name: &&str| match *name {
            QUEUE_TYPE => self.queue_type() != received.queue_type(),
            name => self.0.get(name) != received.0.get(name),
        };
        KNOWN.into_iter().find(differs).map_or(Ok(()), |argument| {
            Err(MemoryError::InequivalentArgument {
                queue: queue.to_owned(),
                argument,
                received: described(received.0.get(argument)),
                current: described(self.0.get(argument)),
            })
        })
    }

    pub(super) fn policy(&self) -> Policy {
        Policy {
            ttl: self.number(MESSAGE_TTL).map(Duration::from_millis),
            expires: self.number(EXPIRES).map(Duration::from_millis),
            max_length: self
                .number(MAX_LENGTH)
                .map(|length| usize::try_from(length).unwrap_or(usize::MAX)),
            max_bytes: self.number(MAX_BYTES),
            priorities: match self.number(MAX_PRIORITY) {
                _ if self.queue_type() == QUORUM => Priorities::High,
                Some(most) => Priorities::UpTo(u8::try_from(most).unwrap_or(u8::MAX)),
                None => Priorities::None,
            },
            single_active: matches!(self.0.get(SINGLE_ACTIVE), Some(Setting::Flag(true))),
            overflow: match self.text(OVERFLOW) {
                Some(REJECT_PUBLISH) => Overflow::RejectPublish,
                _ => Overflow::DropHead,
            },
            dead_letters: self.text(DEAD_LETTER_EXCHANGE).map(|exchange| DeadLetters {
                exchange: exchange.to_owned(),
                key: self.text(DEAD_LETTER_ROUTING_KEY).map(str::to_owned),
            }),
            keeps: self.text(STRATEGY) == Some(AT_LEAST_ONCE)
                && self.text(OVERFLOW) == Some(REJECT_PUBLISH)
                && self.0.contains_key(DEAD_LETTER_EXCHANGE),
        }
    }

    fn queue_type(&self) -> &str {
        self.text(QUEUE_TYPE).unwrap_or(CLASSIC)
    }

    fn number(&self, name: &str) -> Option<u64> {
        match self.0.get(name)? {
            Setting::Number(number) => Some(*number),
            Setting::Text(_) | Setting::Flag(_) => None,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Setting::Number(_) | Setting::Flag(_) => None,
            Setting::Text(text) => Some(text),
        }
    }
}

fn setting(name: &'static str, value: Value) -> Result<Setting, Fault> {
    match name {
        MESSAGE_TTL => match number(&value)? {
            ttl if ttl > MAX_TTL => Err(Fault::Invalid("has to be at most 315360000000")),
            ttl => Ok(Setting::Number(ttl)),
        },
        EXPIRES => match number(&value)? {
            0 => Err(Fault::Invalid("has to be 1 or more")),
            time if time > MAX_TTL => Err(Fault::Invalid("has to be at most 315360000000")),
            time => Ok(Setting::Number(time)),
        },
        MAX_LENGTH | MAX_BYTES => number(&value).map(Setting::Number),
        MAX_PRIORITY => match number(&value)? {
            most if most > u8::MAX.into() => Err(Fault::Invalid("has to be at most 255")),
            most => Ok(Setting::Number(most)),
        },
        SINGLE_ACTIVE => match value {
            Value::Bool(is_set) => Ok(Setting::Flag(is_set)),
            _ => Err(Fault::Invalid("has to be true or false")),
        },
        OVERFLOW => one_of(
            value,
            &["drop-head", REJECT_PUBLISH],
            "drop-head and reject-publish",
        ),
        QUEUE_TYPE => one_of(value, &[CLASSIC, QUORUM], "classic and quorum"),
        STRATEGY => one_of(
            value,
            &["at-most-once", AT_LEAST_ONCE],
            "at-most-once and at-least-once",
        ),
        _ => {
            let key = text(value)?;
            match short_str("exchange or routing key", &key) {
                Ok(_) => Ok(Setting::Text(key)),
                Err(_) => Err(Fault::Invalid("has to be at most 255 bytes long")),
            }
        }
    }
}

fn number(value: &Value) -> Result<u64, Fault> {
    let number = match *value {
        Value::I8(v) => v.into(),
        Value::U8(v) => v.into(),
        Value::I16(v) => v.into(),
        Value::U16(v) => v.into(),
        Value::I32(v) => v.into(),
        Value::U32(v) => v.into(),
        Value::I64(v) => v,
        _ => return Err(Fault::Invalid("has to be an integer")),
    };
    u64::try_from(number).map_err(|_| Fault::Invalid("has to be 0 or more"))
}

fn text(value: Value) -> Result<String, Fault> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(Fault::Invalid("has to be text")),
    }
}

fn one_of(value: Value, allowed: &[&str], modelled: &'static str) -> Result<Setting, Fault> {
    let text = text(value)?;
    if allowed.contains(&text.as_str()) {
        Ok(Setting::Text(text))
    } else {
        Err(Fault::NotModelled(modelled))
    }
}

/// What is wrong with a value, before it is known whose.
enum Fault {
    Invalid(&'static str),
    NotModelled(&'static str),
}

impl Fault {
    fn of(self, queue: &str, argument: &str) -> MemoryError {
        let queue = queue.to_owned();
        let argument = argument.to_owned();
        match self {
            Self::Invalid(problem) => MemoryError::InvalidArgument {
                queue,
                argument,
                problem,
            },
            Self::NotModelled(modelled) => MemoryError::NotModelled {
                queue,
                argument,
                modelled,
            },
        }
    }
}

fn described(setting: Option<&Setting>) -> String {
    setting.map_or_else(
        || "none".to_owned(),
        |setting| format!("the value '{setting}'"),
    )
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Flag(is_set) => is_set.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: impl Into<Value>) -> Result<QueueArguments, MemoryError> {
        QueueArguments::new("q", [(name.to_owned(), value.into())])
    }

    fn refusal(name: &str, value: impl Into<Value>) -> String {
        given(name, value).unwrap_err().to_string()
    }

    #[test]
    fn integers_of_any_width_are_the_same_argument() {
        let short = given("x-message-ttl", 1000_i16).unwrap();
        let long = given("x-message-ttl", 1000_i64).unwrap();
        short.check_equivalent("q", &long).unwrap();
        assert_eq!(long.policy().ttl, Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_queue_is_classic_unless_told_otherwise() {
        let told = given("x-queue-type", "classic").unwrap();
        let untold = QueueArguments::default();
        told.check_equivalent("q", &untold).unwrap();
        untold.check_equivalent("q", &told).unwrap();
        let quorum = given("x-queue-type", "quorum").unwrap();
        let error = quorum
            .check_equivalent("q", &untold)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("received none but current is the value 'quorum'"),
            "{error}"
        );
    }

    #[test]
    fn an_argument_of_the_wrong_type_or_size_is_refused() {
        assert_eq!(
            refusal("x-message-ttl", "1000"),
            "invalid arg 'x-message-ttl' for queue 'q': it has to be an integer"
        );
        assert!(refusal("x-message-ttl", 315_360_000_001_i64).ends_with("at most 315360000000"));
        assert!(given("x-message-ttl", 315_360_000_000_i64).is_ok());
        assert!(refusal("x-expires", 0).ends_with("1 or more"));
        assert!(refusal("x-max-length", -1).ends_with("0 or more"));
        assert!(refusal("x-max-priority", 256).ends_with("at most 255"));
        assert!(refusal("x-single-active-consumer", "true").ends_with("true or false"));
        assert!(refusal("x-overflow", 1).ends_with("has to be text"));
        assert!(refusal("x-dead-letter-routing-key", "q").contains("x-dead-letter-exchange"));
        assert!(refusal("x-dead-letter-strategy", "at-least-once").contains("quorum"));
    }

    #[test]
    fn what_is_not_modelled_is_refused_and_what_is_modelled_is_named() {
        assert!(refusal("x-queue-mode", "lazy").contains("models x-message-ttl, x-expires"));
        assert!(refusal("x-queue-type", "stream").contains("models classic and quorum"));
        assert!(given("note", "not RabbitMQ's").is_ok());
    }

    #[test]
    fn a_name_that_rabbitmq_refuses_is_refused() {
        for name in ["", "amq.direct", &"x".repeat(256)] {
            assert!(QueueArguments::new(name, []).is_err(), "{name}");
        }
    }
}
