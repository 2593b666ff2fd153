use std::fmt;

use crate::message::Value;

/// An argument of a queue or an exchange that is there, which is not as we declare it.
#[derive(Debug, PartialEq)]
pub(crate) struct Difference {
    argument: String,
    /// What was asked for, as RabbitMQ says it.
    asked: String,
    /// `None`, if the queue has no such argument, or RabbitMQ shows it in a way that nobody can declare.
    current: Option<Value>,
    /// As RabbitMQ says it.
    shown: String,
}

/// Arguments that say how a queue keeps its messages, or what becomes of them elsewhere, and lose none.
const HARMLESS: [&str; 13] = [
    "x-queue-type",
    "x-queue-mode",
    "x-queue-version",
    "x-queue-master-locator",
    "x-queue-leader-locator",
    "x-initial-cluster-size",
    "x-quorum-initial-group-size",
    "x-quorum-target-group-size",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-max-priority",
    "x-single-active-consumer",
    // RabbitMQ 4 drops a letter that was looked at more often: that is worth a warning, and no reason not to start
    "x-delivery-limit",
];

impl Difference {
    /// Reads what RabbitMQ says: `… inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but
    /// current is the value '86400000' of type 'signedint'`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (_, text) = text.split_once("inequivalent arg '")?;
        let (argument, text) = text.split_once("' for ")?;
        if !["queue '", "exchange '"]
            .iter()
            .any(|of| text.starts_with(of))
        {
            return None;
        }
        // the name may say anything: the last one is not part of it
        let (asked, current) = text.rsplit_once(" but current is ")?;
        let (_, asked) = asked.rsplit_once("received ")?;
        let asked = quoted(asked).unwrap_or(asked).to_owned();
        let shown = quoted(current).unwrap_or(current).to_owned();
        let value = match current.strip_prefix("the value ") {
            Some(typed) => value(typed),
            // RabbitMQ 4 says the type of a queue so: `received 'classic' but current is 'quorum'`
            None if argument.starts_with("x-") => quoted(current).map(Value::from),
            None => None,
        };
        Some(Self {
            argument: argument.to_owned(),
            asked,
            current: value,
            shown,
        })
    }

    pub(super) fn argument(&self) -> &str {
        &self.argument
    }

    /// What was asked for.
    pub(super) fn asked(&self) -> &str {
        &self.asked
    }

    /// What is there.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether the queue keeps each message that it is given all the same.
    pub(super) fn is_harmless(&self) -> bool {
        // a stream is kept for a while, and nothing is taken out of it
        HARMLESS.contains(&self.argument.as_str()) && self.shown != "stream"
    }

    /// Whether the queue has the argument, and not we.
    pub(super) fn is_there(&self) -> bool {
        self.shown != "none"
    }

    /// Takes the queue as it is. Says whether that changes what is asked for.
    pub(super) fn accept(&self, arguments: &mut Vec<(String, Value)>) -> bool {
        let before = arguments.clone();
        arguments.retain(|(name, _)| *name != self.argument);
        let current = self.current.clone();
        arguments.extend(current.map(|current| (self.argument.clone(), current)));
        *arguments != before
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}", self.argument, self.shown)
    }
}

/// `'quorum' of type 'longstr'`
fn value(text: &str) -> Option<Value> {
    let (text, kind) = text.rsplit_once(" of type ")?;
    let text = quoted(text)?;
    match quoted(kind)? {
        "longstr" => Some(text.into()),
        "bool" => text.parse::<bool>().ok().map(Value::from),
        _ => text.parse::<i64>().ok().map(Value::from),
    }
}

fn quoted(text: &str) -> Option<&str> {
    let (_, text) = text.split_once('\'')?;
    text.split_once('\'').map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(argument: &str, rest: &str) -> Difference {
        let text = format!(
            "PRECONDITION_FAILED - inequivalent arg '{argument}' for queue 'q' in vhost '/': {rest}"
        );
        Difference::read(&text).unwrap()
    }

    #[test]
    fn what_rabbitmq_says_is_read_and_can_be_accepted() {
        let text = "received none but current is the value 'quorum' of type 'longstr'";
        let kind = read("x-queue-type", text);
        assert!(kind.is_harmless());
        assert_eq!(kind.to_string(), "`x-queue-type` is quorum");
        let mut arguments = Vec::new();
        kind.accept(&mut arguments);
        assert_eq!(arguments, [("x-queue-type".to_owned(), "quorum".into())]);
        let text = "received the value 'quorum' of type 'longstr' but current is none";
        read("x-queue-type", text).accept(&mut arguments);
        assert!(arguments.is_empty());
        let of_version_4 = "received 'classic' but current is 'quorum'";
        read("x-queue-type", of_version_4).accept(&mut arguments);
        assert_eq!(arguments, [("x-queue-type".to_owned(), "quorum".into())]);
        arguments.clear();
        let text = "received none but current is the value '10' of type 'signedint'";
        read("x-max-priority", text).accept(&mut arguments);
        assert_eq!(arguments, [("x-max-priority".to_owned(), 10_i64.into())]);
    }

    #[test]
    fn what_drops_messages_is_not_harmless() {
        let ttl = "received none but current is the value '86400000' of type 'signedint'";
        assert!(!read("x-message-ttl", ttl).is_harmless());
        let stream = "received none but current is the value 'stream' of type 'longstr'";
        assert!(!read("x-queue-type", stream).is_harmless());
        let durable = read("durable", "received 'true' but current is 'false'");
        assert!(!durable.is_harmless());
        assert_eq!(durable.to_string(), "`durable` is false");
        let text = "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'e' in vhost '/': received 'fanout' but \
                    current is 'topic'";
        let kind = Difference::read(text).unwrap();
        let both = (kind.argument(), kind.asked(), kind.shown());
        assert_eq!(both, ("type", "fanout", "topic"));
        assert_eq!(
            Difference::read("PRECONDITION_FAILED - queue limit in vhost '/' (5) is reached"),
            None
        );
    }
}
