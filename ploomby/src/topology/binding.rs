use crate::message::Value;

/// Which messages come from an exchange to a queue: those of a routing key, or those with some headers.
///
/// Text is a binding by its routing key, so that only a headers exchange needs more:
///
/// ```
/// use ploomby::{Binding, Exchange, Queue};
///
/// let orders = Exchange::topic("shop.orders");
/// let by_tenant = Exchange::headers("shop.by_tenant");
/// let queue = Queue::new("billing")
///     .bind(&orders, "order.*.placed")
///     .bind(&by_tenant, Binding::all_of([("tenant", "acme"), ("kind", "invoice")]));
/// ```
///
/// A topic exchange reads the words between the dots of a key: `*` stands for one word, `#` for any number. A direct
/// exchange takes the key as it is, and a fanout exchange does not look at it.
///
/// Source: [exchanges](https://www.rabbitmq.com/docs/exchanges).
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    routing_key: String,
    arguments: Vec<(String, Value)>,
}

/// The argument by which a headers exchange compares.
pub(crate) const MATCH: &str = "x-match";

impl Binding {
    /// The messages of this routing key.
    #[must_use]
    pub fn key(routing_key: impl Into<String>) -> Self {
        Self {
            routing_key: routing_key.into(),
            arguments: Vec::new(),
        }
    }

    /// The messages that have all these headers, from a headers exchange. A header whose value is
    /// [`Value::Void`] only has to be there.
    ///
    /// Headers whose names begin with `x-` are not compared, unless
    /// [`with_x_headers`](Self::with_x_headers) says so.
    #[must_use]
    pub fn all_of<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<Value>,
    {
        Self::matching("all", headers)
    }

    /// The messages that have at least one of these headers, from a headers exchange.
    #[must_use]
    pub fn any_of<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<Value>,
    {
        Self::matching("any", headers)
    }

    fn matching<N, V>(how: &str, headers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<String>,
        V: Into<Value>,
    {
        let headers = headers.into_iter();
        let headers = headers.map(|(name, value)| (name.into(), value.into()));
        let matching = Self::key("").argument(MATCH, how);
        headers.fold(matching, |matching, (name, value)| {
            matching.argument(name, value)
        })
    }

    /// Compares headers whose names begin with `x-`, too (`all-with-x`, `any-with-x`).
    #[must_use]
    pub fn with_x_headers(mut self) -> Self {
        for (name, value) in &mut self.arguments {
            let with_x = match value.as_text() {
                Some("all") => "all-with-x",
                Some("any") => "any-with-x",
                _ => continue,
            };
            if name == MATCH {
                *value = with_x.into();
            }
        }
        self
    }

    /// One more argument, such as a header of another type than the others. It takes the place of one of the same name.
    #[must_use]
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let name = name.into();
        self.arguments.retain(|(known, _)| *known != name);
        self.arguments.push((name, value.into()));
        self
    }

    /// The routing key, or the pattern of keys; empty for a binding by headers.
    #[must_use]
    pub fn routing_key(&self) -> &str {
        &self.routing_key
    }

    /// The arguments, the headers among them.
    #[must_use]
    pub fn arguments(&self) -> &[(String, Value)] {
        &self.arguments
    }

    /// Whether it says how headers are compared.
    pub(crate) fn is_by_headers(&self) -> bool {
        self.arguments.iter().any(|(name, _)| name == MATCH)
    }
}

impl Binding {
    /// Whether a headers exchange compares any header by it.
    pub(crate) fn compares_headers(&self) -> bool {
        let matching = self.arguments.iter().find(|(name, _)| name == MATCH);
        let how = matching.and_then(|(_, how)| how.as_text());
        let is_with_x = how.is_some_and(|how| how.ends_with("-with-x"));
        let mut names = self.arguments.iter().map(|(name, _)| name);
        names.any(|name| name != MATCH && (is_with_x || !name.starts_with("x-")))
    }
}

impl From<&str> for Binding {
    fn from(routing_key: &str) -> Self {
        Self::key(routing_key)
    }
}

impl From<String> for Binding {
    fn from(routing_key: String) -> Self {
        Self::key(routing_key)
    }
}

impl From<&String> for Binding {
    fn from(routing_key: &String) -> Self {
        Self::key(routing_key)
    }
}
