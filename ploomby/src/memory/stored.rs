use std::{sync::Arc, time::Duration};

use super::{arguments::MAX_TTL, error::MemoryError};
use crate::{
    delivery::Published,
    message::{Message, Properties, Value, wire::short_str},
};

/// The largest body that RabbitMQ 4 takes by default (`max_message_size`).
pub(super) const MAX_BODY: usize = 16 * 1024 * 1024;

/// What is left of a frame of 131,072 bytes for properties and headers: without the frame's own
/// 8 bytes, and the 12 bytes of class, weight and size of the body.
pub(super) const MAX_PROPERTIES: usize = 131_072 - 8 - 12;

const CC: &str = "CC";
const BCC: &str = "BCC";

/// A message that was published, shared by the queues it was routed to.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) published: Arc<Published>,
    /// What `CC` and `BCC` name.
    also: Vec<String>,
    pub(super) expiration: Option<Duration>,
    /// The queues that it expired in, or was dropped from for length.
    deaths: Vec<Arc<str>>,
}

impl Stored {
    /// A message through an exchange. Refuses what RabbitMQ would.
    pub(super) fn through(
        exchange: &str,
        routing_key: &str,
        mut message: Message,
    ) -> Result<Self, MemoryError> {
        short_str("routing key", routing_key)?;
        if message.body().len() > MAX_BODY {
            return Err(MemoryError::BodyTooLarge(message.body().len()));
        }
        let properties = message.properties();
        match properties.encoded_len() {
            0..=MAX_PROPERTIES => {}
            size => return Err(MemoryError::PropertiesTooLarge(size)),
        }
        if properties.user_id().is_some_and(|user| user != "guest") {
            return Err(MemoryError::UserId);
        }
        let expiration = properties.expiration().map(milliseconds).transpose()?;
        let mut also = names(&message, CC)?;
        also.extend(names(&message, BCC)?);
        if message.headers().contains(BCC) {
            message.properties = without(&message, Some(BCC));
            if let Some(expiration) = expiration {
                message.properties = message.properties.with_expiration(expiration);
            }
        }
        let mut published = Published::by_default(message, routing_key);
        exchange.clone_into(&mut published.exchange);
        Ok(Self {
            published: Arc::new(published),
            also,
            expiration,
            deaths: Vec::new(),
        })
    }

    pub(super) fn routing_key(&self) -> &str {
        &self.published.routing_key
    }

    /// Empty for the default exchange.
    pub(super) fn exchange(&self) -> &str {
        &self.published.exchange
    }

    /// The routing keys that it is for, each once: names of queues, if it goes through the default exchange.
    pub(super) fn routes(&self) -> impl Iterator<Item = &str> {
        let also = || self.also.iter().map(String::as_str);
        let keys = move || std::iter::once(self.routing_key()).chain(also());
        keys()
            .enumerate()
            .filter(move |(at, key)| !keys().take(*at).any(|earlier| earlier == *key))
            .map(|(_, key)| key)
    }

    /// The message as it leaves `queue` for an exchange, with this routing key, or with the one that it was
    /// published with. It does not expire again.
    pub(super) fn dead_letter(
        mut self,
        queue: &Arc<str>,
        reason: Death,
        (exchange, key): (&str, Option<&str>),
    ) -> Self {
        self.deaths.push(queue.clone());
        let routing_key = self.routing_key().to_owned();
        let came_through = self.exchange().to_owned();
        if exchange != came_through {
            exchange.clone_into(&mut self.published_mut().exchange);
        }
        if let Some(key) = key {
            key.clone_into(&mut self.published_mut().routing_key);
            // the header stays, and names nothing any more
            self.also.clear();
        }
        if self.expiration.take().is_some() {
            let message = &mut self.published_mut().message;
            message.properties = without(message, None);
        }
        let message = &mut self.published_mut().message;
        message.properties = with_death(message, queue, reason, (&came_through, &routing_key));
        self
    }

    fn published_mut(&mut self) -> &mut Published {
        Arc::make_mut(&mut self.published)
    }

    /// A consumer rejected it: that ends no cycle, wherever it was before.
    pub(super) fn rejected(mut self) -> Self {
        self.deaths.clear();
        self
    }

    /// Whether going to `queue` would close a cycle, which RabbitMQ ends by dropping the message.
    pub(super) fn died_in(&self, queue: &str) -> bool {
        self.deaths.iter().any(|death| **death == *queue)
    }
}

/// Why a message left its queue for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    Expired,
    TooMany,
    Rejected,
}

impl Death {
    fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::TooMany => "maxlen",
            Self::Rejected => "rejected",
        }
    }
}

/// The properties, with one more death before the others; a queue and a reason have one entry, that counts.
///
/// Source: [dead letter exchanges](https://www.rabbitmq.com/docs/dlx#effects).
fn with_death(
    message: &Message,
    queue: &str,
    reason: Death,
    (exchange, routing_key): (&str, &str),
) -> Properties {
    let mut headers = message.headers().to_fields();
    let mut deaths = match message.headers().get(DEATHS) {
        Some(Value::Array(deaths)) => deaths,
        _ => Vec::new(),
    };
    let is_the_same = |death: &Value| {
        let Value::Table(death) = death else {
            return false;
        };
        let says = |name: &str, text: &str| {
            let mut entries = death.iter();
            entries.any(|(found, value)| {
                found == name && matches!(value, Value::Text(value) if value == text)
            })
        };
        says("queue", queue) && says("reason", reason.as_str())
    };
    let mut count = 1;
    if let Some(at) = deaths.iter().position(is_the_same) {
        if let Value::Table(death) = deaths.remove(at) {
            let before = death.into_iter().find(|(name, _)| name == "count");
            if let Some((_, Value::I64(before))) = before {
                count = before.saturating_add(1);
            }
        }
    }
    let entry = |name: &str, value: Value| (name.to_owned(), value);
    deaths.insert(
        0,
        Value::Table(vec![
            entry("count", Value::I64(count)),
            entry("reason", reason.as_str().into()),
            entry("queue", queue.into()),
            entry("exchange", exchange.into()),
            entry("routing-keys", Value::Array(vec![routing_key.into()])),
        ]),
    );
    let set = headers.set(DEATHS, Value::Array(deaths));
    let properties = set.and_then(|()| message.properties.for_copy(headers, true));
    properties.expect("headers that a message has had can be set again")
}

/// Where the broker tells in which queues a message died.
const DEATHS: &str = "x-death";

/// Milliseconds in decimal digits, a sign allowed, as Erlang reads them.
fn milliseconds(text: &str) -> Result<Duration, MemoryError> {
    match text.parse() {
        Ok(number) if number <= MAX_TTL => Ok(Duration::from_millis(number)),
        _ => Err(MemoryError::InvalidExpiration),
    }
}

/// The queues that a header names. RabbitMQ skips what is not text.
fn names(message: &Message, header: &'static str) -> Result<Vec<String>, MemoryError> {
    match message.headers().get(header) {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) => Ok(values
            .into_iter()
            .filter_map(|value| match value {
                Value::Text(name) => Some(name),
                _ => None,
            })
            .collect()),
        Some(_) => Err(MemoryError::NotAnArray(header)),
    }
}

/// The properties without the expiration, and without this header.
fn without(message: &Message, header: Option<&str>) -> Properties {
    let mut headers = message.headers().to_fields();
    headers.retain(|name| Some(name) != header);
    message
        .properties
        .for_copy(headers, true)
        .expect("headers that a message has had can be set again")
}
