use std::collections::BTreeMap;

use super::{
    error::MemoryError,
    matching::{headers_match, topic_matches},
    stored::Stored,
};
use crate::{
    consumer::Declare,
    message::wire::short_str,
    topology::{Binding, Exchange, Kind, OtherExchange},
};

/// The exchanges of a broker, other than the default one.
#[derive(Debug)]
pub(super) struct Exchanges(BTreeMap<String, Known>);

/// An exchange, and where its messages go.
#[derive(Debug)]
struct Known {
    kind: Kind,
    is_durable: bool,
    is_auto_delete: bool,
    alternate: Option<String>,
    bindings: Vec<(Destination, Binding)>,
}

/// Where a binding leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Queue(String),
    Exchange(String),
}

/// As RabbitMQ has them from its start.
const FROM_THE_START: [(&str, Kind); 5] = [
    ("amq.direct", Kind::Direct),
    ("amq.fanout", Kind::Fanout),
    ("amq.headers", Kind::Headers),
    ("amq.match", Kind::Headers),
    ("amq.topic", Kind::Topic),
];

const ALTERNATE: &str = "alternate-exchange";

impl Default for Exchanges {
    fn default() -> Self {
        let known = FROM_THE_START.map(|(name, kind)| {
            let known = Known {
                kind,
                is_durable: true,
                is_auto_delete: false,
                alternate: None,
                bindings: Vec::new(),
            };
            (name.to_owned(), known)
        });
        Self(known.into())
    }
}

impl Exchanges {
    /// Makes the exchange, or checks that it is so.
    pub(super) fn declare(
        &mut self,
        exchange: &Exchange,
        declare: Declare,
    ) -> Result<(), MemoryError> {
        let name = &exchange.name;
        short_str("the name of an exchange", name)?;
        let Some(kind) = &exchange.kind else {
            return match self.0.contains_key(name) {
                true => Ok(()),
                false => Err(MemoryError::NoExchange(name.clone())),
            };
        };
        if let Kind::Other(kind) = kind {
            return Err(MemoryError::NoExchangeType(name.clone(), kind.clone()));
        }
        let declared = Known::new(exchange, kind);
        let Some(known) = self.0.get(name) else {
            if name.is_empty() || name.starts_with("amq.") {
                return Err(MemoryError::ReservedExchange(name.clone()));
            }
            self.0.insert(name.clone(), declared);
            return Ok(());
        };
        match known.difference(name, &declared) {
            Some(other) if other.is_of_another_type() || declare == Declare::All => {
                Err(MemoryError::OtherExchange(other.to_string()))
            }
            Some(other) => {
                tracing::warn!("{other}; it is used as it is");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Has the messages of an exchange go to where a binding leads, which is there.
    pub(super) fn bind(
        &mut self,
        source: &str,
        destination: Destination,
        binding: &Binding,
    ) -> Result<(), MemoryError> {
        short_str("routing key", binding.routing_key())?;
        if let Destination::Exchange(name) = &destination {
            self.known(name)?;
        }
        let known = self.known(source)?;
        let matching = binding
            .arguments()
            .iter()
            .find(|(name, _)| name == "x-match");
        if let (Kind::Headers, Some((_, how))) = (&known.kind, matching) {
            let is_known = |how| ["all", "any", "all-with-x", "any-with-x"].contains(&how);
            if !how.as_text().is_some_and(is_known) {
                return Err(MemoryError::InvalidMatch(source.to_owned()));
            }
        }
        let bound = (destination, binding.clone());
        if !known.bindings.contains(&bound) {
            known.bindings.push(bound);
        }
        Ok(())
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Removes an exchange, and the bindings that lead to it.
    pub(super) fn delete(&mut self, name: &str) {
        if self.0.remove(name).is_some() {
            self.unbind(&Destination::Exchange(name.to_owned()));
        }
    }

    /// Removes the bindings that lead there, and the exchanges that live as long as they have bindings.
    pub(super) fn unbind(&mut self, destination: &Destination) {
        let mut gone = Vec::new();
        for (name, known) in &mut self.0 {
            let before = known.bindings.len();
            known.bindings.retain(|(other, _)| other != destination);
            let is_unbound = known.bindings.is_empty() && before > 0;
            if is_unbound && known.is_auto_delete {
                gone.push(name.clone());
            }
        }
        for name in gone {
            self.delete(&name);
        }
    }

    /// The names of the queues that a message goes to, each once; None if there is no such exchange.
    ///
    /// Source: `rabbit_exchange:route` of RabbitMQ.
    pub(super) fn route(&self, exchange: &str, stored: &Stored) -> Option<Vec<&str>> {
        let first = self.0.get_key_value(exchange)?;
        let mut queues: Vec<&str> = Vec::new();
        let mut seen = vec![first.0.as_str()];
        let mut next = vec![first.1];
        while let Some(known) = next.pop() {
            let mut is_taken = false;
            let mut lead_on = Vec::new();
            let bindings = known.bindings.iter();
            for (destination, _) in bindings.filter(|(_, binding)| known.takes(binding, stored)) {
                is_taken = true;
                match destination {
                    Destination::Queue(queue) if !queues.contains(&&**queue) => queues.push(queue),
                    Destination::Queue(_) => {}
                    Destination::Exchange(exchange) => lead_on.push(exchange),
                }
            }
            if !is_taken {
                lead_on.extend(&known.alternate);
            }
            for exchange in lead_on {
                // one that was deleted leads nowhere
                let found = self.0.get_key_value(exchange);
                if let Some((name, known)) = found.filter(|(name, _)| !seen.contains(&&***name)) {
                    seen.push(name);
                    next.push(known);
                }
            }
        }
        Some(queues)
    }

    fn known(&mut self, name: &str) -> Result<&mut Known, MemoryError> {
        let known = self.0.get_mut(name);
        known.ok_or_else(|| MemoryError::NoExchange(name.to_owned()))
    }
}

impl Known {
    fn new(exchange: &Exchange, kind: &Kind) -> Self {
        let arguments = exchange.all_arguments();
        let alternate = arguments.iter().find(|(name, _)| name == ALTERNATE);
        let alternate = alternate.and_then(|(_, name)| Some(name.as_text()?.to_owned()));
        Self {
            kind: kind.clone(),
            is_durable: exchange.is_durable,
            is_auto_delete: exchange.is_auto_delete,
            alternate,
            bindings: Vec::new(),
        }
    }

    /// The first thing in which another description of it differs.
    fn difference(&self, name: &str, asked: &Self) -> Option<OtherExchange> {
        let alternate = |known: &Self| known.alternate.clone().unwrap_or("none".to_owned());
        let told = |known: &Self| {
            [
                ("type", known.kind.to_string()),
                ("durable", known.is_durable.to_string()),
                ("auto_delete", known.is_auto_delete.to_string()),
                // the only argument that means anything to an exchange of these types
                (ALTERNATE, alternate(known)),
            ]
        };
        let mut both = told(asked).into_iter().zip(told(self));
        let ((argument, asked), (_, current)) = both.find(|(asked, current)| asked != current)?;
        Some(OtherExchange {
            name: name.to_owned(),
            argument: argument.to_owned(),
            asked,
            current,
        })
    }

    fn takes(&self, binding: &Binding, stored: &Stored) -> bool {
        let key = binding.routing_key();
        match &self.kind {
            Kind::Fanout => true,
            Kind::Direct => stored.routes().any(|routed| routed == key),
            Kind::Topic => stored.routes().any(|routed| topic_matches(key, routed)),
            Kind::Headers => headers_match(binding.arguments(), stored.published.message.headers()),
            // none is declared
            Kind::Other(_) => false,
        }
    }
}
