use std::{
    collections::HashSet,
    sync::{PoisonError, RwLock},
};

use super::direct;

/// Where a reply goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplyAddress {
    /// Empty for the default exchange, whose routing keys are the names of queues.
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
}

/// Why a reply does not go where its request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "RabbitMQ never made such an address of `amq.rabbitmq.reply-to`, and would close the connection"
    )]
    Malformed,
    #[error("it is a queue that this program consumes, or keeps dead letters in")]
    Own,
    #[error(
        "it has the name of a queue in which ploomby keeps dead letters, or messages that wait"
    )]
    Companion,
    #[error("`reply_addresses` of the queue does not name it")]
    NotListed,
}

impl ReplyAddress {
    /// The address that a request names, if a reply may go there.
    pub(super) fn checked(
        reply_to: &str,
        listed: Option<&[Pattern]>,
        own: &OwnQueues,
    ) -> Result<Self, Refusal> {
        if direct::is_meant(reply_to) {
            return match direct::is_well_formed(reply_to) {
                true => Ok(Self::queue(reply_to)),
                false => Err(Refusal::Malformed),
            };
        }
        if let Some(listed) = listed {
            let mut listed = listed.iter();
            let Some(pattern) = listed.find(|pattern| pattern.matches(reply_to)) else {
                return Err(Refusal::NotListed);
            };
            if let Some((exchange, routing_key)) = pattern.split(reply_to) {
                return Ok(Self {
                    exchange: exchange.to_owned(),
                    routing_key: routing_key.to_owned(),
                });
            }
        }
        if own.contains(reply_to) {
            return Err(Refusal::Own);
        }
        if is_companion(reply_to) {
            return Err(Refusal::Companion);
        }
        Ok(Self::queue(reply_to))
    }

    fn queue(name: &str) -> Self {
        Self {
            exchange: String::new(),
            routing_key: name.to_owned(),
        }
    }

    /// Whether it is that of a client which waits for the reply, and no queue.
    pub(crate) fn is_direct(&self) -> bool {
        self.exchange.is_empty() && direct::is_meant(&self.routing_key)
    }
}

/// Whether the name is one that ploomby gives to a queue beside another, of this program or not.
pub(crate) fn is_companion(queue: &str) -> bool {
    let waits = |infix: &str| {
        let digits = queue
            .rsplit_once(infix)
            .and_then(|(_, delay)| delay.strip_suffix("ms"));
        digits.is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
        })
    };
    queue.ends_with("_dlq") || waits("_retry_") || waits("_delay_")
}

/// The queues that the program consumes, or keeps dead letters in.
#[derive(Debug, Default)]
pub(crate) struct OwnQueues(RwLock<HashSet<String>>);

impl OwnQueues {
    pub(crate) fn add(&self, queue: &str) {
        let mut queues = self.0.write().unwrap_or_else(PoisonError::into_inner);
        queues.insert(queue.to_owned());
    }

    fn contains(&self, queue: &str) -> bool {
        let queues = self.0.read().unwrap_or_else(PoisonError::into_inner);
        queues.contains(queue)
    }
}

/// Addresses that a program allows: an exact one, or with `*` for whatever stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(pattern: String) -> Self {
        Self(pattern)
    }

    fn matches(&self, address: &str) -> bool {
        match (self.0.split_once('/'), address.split_once('/')) {
            (Some((exchange, key)), Some((found, found_key))) => {
                exchange == found && is_like(key, found_key)
            }
            (None, None) => is_like(&self.0, address),
            _ => false,
        }
    }

    /// Exchange and routing key of an address that it matches, if it goes through an exchange.
    fn split<'a>(&self, address: &'a str) -> Option<(&'a str, &'a str)> {
        let (exchange, _) = self.0.split_once('/')?;
        if exchange.is_empty() {
            return None;
        }
        address.split_once('/')
    }
}

/// Whether a text is like a pattern, in which `*` stands for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(reply_to: &str, listed: &[&str]) -> Result<(String, String), Refusal> {
        let own = OwnQueues::default();
        own.add("orders");
        let listed: Vec<_> = listed
            .iter()
            .map(|one| Pattern::new((*one).to_owned()))
            .collect();
        let listed = (!listed.is_empty()).then_some(&*listed);
        ReplyAddress::checked(reply_to, listed, &own).map(|to| (to.exchange, to.routing_key))
    }

    fn queue(name: &str) -> Result<(String, String), Refusal> {
        Ok((String::new(), name.to_owned()))
    }

    #[test]
    fn any_queue_may_be_replied_to_but_the_programs_own_and_companions() {
        for any in [
            "amq.gen-JzTY20BRgKO-HjmUJj0wLg",
            "c7a2-reply",
            "team/replies",
            "x_retry_ms",
        ] {
            assert_eq!(checked(any, &[]), queue(any), "{any}");
        }
        assert_eq!(checked("orders", &[]), Err(Refusal::Own));
        assert_eq!(checked("orders", &["*"]), Err(Refusal::Own));
        for companion in ["orders_dlq", "others_dlq", "a_retry_1000ms", "a_delay_5ms"] {
            assert_eq!(checked(companion, &[]), Err(Refusal::Companion));
            assert_eq!(checked(companion, &[companion]), Err(Refusal::Companion));
        }
        for malformed in [
            "amq.rabbitmq.reply-to",
            "amq.rabbitmq.reply-to.g2gCdwA=.key",
        ] {
            assert_eq!(checked(malformed, &["*"]), Err(Refusal::Malformed));
        }
    }

    #[test]
    fn a_list_allows_what_it_names_alone() {
        let listed = ["replies", "amq.gen-*", "amq.direct/my.*"];
        for named in ["replies", "amq.gen-x"] {
            assert_eq!(checked(named, &listed), queue(named));
        }
        let through = ("amq.direct".to_owned(), "my.replies".to_owned());
        assert_eq!(checked("amq.direct/my.replies", &listed), Ok(through));
        for other in [
            "replies2",
            "amq.direct/your.replies",
            "amq.topic/my.x",
            "amq.gen-x/y",
            "my.x",
        ] {
            assert_eq!(checked(other, &listed), Err(Refusal::NotListed), "{other}");
        }
        let direct = direct::name(7);
        assert_eq!(checked(&direct, &listed), queue(&direct));
    }

    #[test]
    fn an_exchange_takes_no_reply_unless_it_is_named() {
        assert_eq!(checked("amq.direct/x", &[]), queue("amq.direct/x"));
        assert_eq!(checked("amq.direct/x", &["*"]), Err(Refusal::NotListed));
        assert_eq!(checked("/orders", &["/*"]), queue("/orders"));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("*", ""),
            ("a*", "a"),
            ("a*c*e", "abcde"),
            ("*b", "ab"),
            ("a", "a"),
        ] {
            assert!(is_like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a*c", "ab"),
            ("a*b*b", "ab"),
            ("a", "ab"),
            ("*a*", "b"),
        ] {
            assert!(!is_like(pattern, text), "{pattern} {text}");
        }
    }
}
