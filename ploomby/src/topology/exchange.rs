use std::fmt;

use super::Binding;
use crate::message::Value;

/// An exchange, as the program describes it: by [`Queue::bind`](crate::Queue::bind) its messages come to a queue, and
/// [`Publisher::through`](crate::Publisher::through) sends to it.
///
/// ```standalone_crate
/// use ploomby::{App, Exchange, Publisher, Queue};
///
/// #[ploomby::handler("order_placed")]
/// async fn order_placed(order: u64) {
///     println!("order {order}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let events = Exchange::topic("shop.events");
/// let url = "memory://exchange-example";
/// let running = App::new(url)
///     .queue(Queue::new("billing").bind(&events, "order.*.placed"))
///     .start()
///     .await?;
/// let publisher = Publisher::connect(url).await?;
/// let event = publisher.through(&events, "order.eu.placed").key("order_placed");
/// event.payload(&17).send().await?;
/// # running.shut_down().await?;
/// # Ok(())
/// # }
/// ```
///
/// A program declares it when it starts and after a lost connection, with the exchanges that it gets messages from, and
/// then the bindings. One that is there already is used as it is, with a warning that names what differs; one of another
/// type is an error. It is durable, unless [`transient`](Self::transient) says otherwise.
///
/// Bindings add up in the broker: one that the program has no more stays until somebody deletes it.
///
/// Source: [exchanges](https://www.rabbitmq.com/docs/exchanges).
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    pub(crate) name: String,
    /// `None` for one that is there already, and is used as it is.
    pub(crate) kind: Option<Kind>,
    pub(crate) is_durable: bool,
    pub(crate) is_auto_delete: bool,
    pub(crate) alternate: Option<Box<Exchange>>,
    pub(crate) arguments: Vec<(String, Value)>,
    /// Where it gets messages from.
    pub(crate) sources: Vec<(Exchange, Binding)>,
}

/// How an exchange routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Direct,
    Topic,
    Fanout,
    Headers,
    /// As a plugin of the broker does.
    Other(String),
}

/// The argument that names where messages go that no binding takes.
const ALTERNATE: &str = "alternate-exchange";

impl Exchange {
    /// An exchange that brings a message to the queues whose key is the message's routing key.
    #[must_use]
    pub fn direct(name: impl Into<String>) -> Self {
        Self::described(name, Some(Kind::Direct))
    }

    /// An exchange that brings a message to the queues whose pattern fits its routing key: `order.*.placed`, `order.#`.
    #[must_use]
    pub fn topic(name: impl Into<String>) -> Self {
        Self::described(name, Some(Kind::Topic))
    }

    /// An exchange that brings a message to all queues that are bound to it.
    #[must_use]
    pub fn fanout(name: impl Into<String>) -> Self {
        Self::described(name, Some(Kind::Fanout))
    }

    /// An exchange that brings a message to the queues whose headers it has: see [`Binding::all_of`].
    #[must_use]
    pub fn headers(name: impl Into<String>) -> Self {
        Self::described(name, Some(Kind::Headers))
    }

    /// An exchange of a type that a plugin of the broker brings, such as `x-consistent-hash`. The embedded broker has
    /// none of them.
    #[must_use]
    pub fn of_type(name: impl Into<String>, kind: impl Into<String>) -> Self {
        Self::described(name, Some(Kind::read(&kind.into())))
    }

    /// An exchange that others declare, of whatever type, such as `amq.topic`. If the exchange is missing, the start fails.
    #[must_use]
    pub fn existing(name: impl Into<String>) -> Self {
        Self::described(name, None)
    }

    fn described(name: impl Into<String>, kind: Option<Kind>) -> Self {
        Self {
            name: name.into(),
            kind,
            is_durable: true,
            is_auto_delete: false,
            alternate: None,
            arguments: Vec::new(),
            sources: Vec::new(),
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Does not survive a restart of the broker.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.is_durable = false;
        self
    }

    /// Is deleted by the broker with the last of its bindings.
    #[must_use]
    pub fn auto_delete(mut self) -> Self {
        self.is_auto_delete = true;
        self
    }

    /// Messages that no binding takes go to this exchange, which is declared first.
    ///
    /// Source: [alternate exchanges](https://www.rabbitmq.com/docs/ae).
    #[must_use]
    pub fn alternate(mut self, exchange: &Exchange) -> Self {
        self.alternate = Some(Box::new(exchange.clone()));
        self
    }

    /// An argument for declaring the exchange, in the place of one of the same name.
    #[must_use]
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let name = name.into();
        self.arguments.retain(|(known, _)| *known != name);
        self.arguments.push((name, value.into()));
        self
    }

    /// Gets messages from another exchange as well: those of a routing key, or those that a [`Binding`] says.
    ///
    /// ```
    /// use ploomby::{Exchange, Queue};
    ///
    /// let events = Exchange::topic("shop.events");
    /// let audited = Exchange::fanout("audited").bind(&events, "order.#");
    /// let queue = Queue::new("audit").bind(&audited, "");
    /// ```
    #[must_use]
    pub fn bind(mut self, source: &Exchange, binding: impl Into<Binding>) -> Self {
        self.sources.push((source.clone(), binding.into()));
        self
    }

    /// The arguments as they are declared.
    pub(crate) fn all_arguments(&self) -> Vec<(String, Value)> {
        let mut arguments = self.arguments.clone();
        if let Some(alternate) = &self.alternate {
            arguments.retain(|(name, _)| name != ALTERNATE);
            arguments.push((ALTERNATE.to_owned(), alternate.name.as_str().into()));
        }
        arguments
    }

    /// Whether nothing is said of how it is declared, beside its type.
    pub(super) fn is_plain(&self) -> bool {
        let has_arguments = self.alternate.is_some() || !self.arguments.is_empty();
        self.is_durable && !self.is_auto_delete && !has_arguments
    }

    /// Whether both say the same of the exchange itself.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.is_durable == other.is_durable
            && self.is_auto_delete == other.is_auto_delete
            && sorted(self.all_arguments()) == sorted(other.all_arguments())
    }
}

/// The order of arguments means nothing.
fn sorted(mut arguments: Vec<(String, Value)>) -> Vec<(String, Value)> {
    arguments.sort_by(|(one, _), (other, _)| one.cmp(other));
    arguments
}

impl AsRef<str> for Exchange {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

impl Kind {
    pub(crate) fn read(name: &str) -> Self {
        match name {
            "direct" => Self::Direct,
            "topic" => Self::Topic,
            "fanout" => Self::Fanout,
            "headers" => Self::Headers,
            other => Self::Other(other.to_owned()),
        }
    }

    /// As AMQP calls it.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Direct => "direct",
            Self::Topic => "topic",
            Self::Fanout => "fanout",
            Self::Headers => "headers",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
