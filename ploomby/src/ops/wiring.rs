//! The exchanges and the bindings that a program declares.

use serde::Serialize;

use super::{Ops, OpsError, Program, topology::arguments_as_json};
use crate::{
    app::Queue,
    consumer::Declare,
    message::Value,
    topology::{Binding, Kind, Wiring},
};

/// An exchange that a program declares when it starts. In JSON its form has version 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExchangeDeclaration {
    /// The version of this form.
    pub v: u32,
    /// Its name.
    pub exchange: String,
    /// How it brings messages to queues, such as `topic`; None for one that somebody else declares.
    pub kind: Option<String>,
    /// Whether the program declares it: not where all its queues say [`Declare::Never`].
    pub is_declared: bool,
    /// Whether a restart of the broker leaves it.
    pub is_durable: bool,
    /// Whether it goes with its last binding.
    pub is_auto_delete: bool,
    /// Its arguments.
    #[serde(serialize_with = "arguments_as_json")]
    pub arguments: Vec<(String, Value)>,
}

/// A binding that a program declares when it starts. In JSON its form has version 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BindingDeclaration {
    /// The version of this form.
    pub v: u32,
    /// The exchange that messages come from.
    pub source: String,
    /// The queue or the exchange that they come to.
    pub destination: String,
    /// What the destination is.
    pub to: BindingTarget,
    /// The key, or the pattern of keys, of those that come.
    pub routing_key: String,
    /// Whether the program declares it: not where the queue says [`Declare::Never`].
    pub is_declared: bool,
    /// Its arguments: the headers of those that come from a headers exchange.
    #[serde(serialize_with = "arguments_as_json")]
    pub arguments: Vec<(String, Value)>,
}

/// What messages come to by a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BindingTarget {
    /// A queue.
    Queue,
    /// Another exchange.
    Exchange,
}

impl Program {
    /// The exchanges that it declares when it starts, in their order.
    pub fn exchanges(&self) -> Vec<ExchangeDeclaration> {
        let mut all: Vec<ExchangeDeclaration> = Vec::new();
        for (queue, wiring) in self.wired() {
            for exchange in wiring.exchanges() {
                let is_declared = exchange.kind.is_some() && is_declared(queue);
                let known = all.iter_mut().find(|known| known.exchange == exchange.name);
                let described = ExchangeDeclaration {
                    v: 1,
                    exchange: exchange.name.clone(),
                    kind: exchange.kind.as_ref().map(Kind::as_str).map(str::to_owned),
                    is_declared,
                    is_durable: exchange.is_durable,
                    is_auto_delete: exchange.is_auto_delete,
                    arguments: exchange.all_arguments(),
                };
                match known {
                    Some(known) if known.kind.is_some() || described.kind.is_none() => {
                        known.is_declared |= is_declared;
                    }
                    Some(known) => *known = described,
                    None => all.push(described),
                }
            }
        }
        all
    }

    /// The bindings that it declares when it starts, in their order.
    pub fn bindings(&self) -> Vec<BindingDeclaration> {
        let mut all: Vec<BindingDeclaration> = Vec::new();
        for (queue, wiring) in self.wired() {
            let declaration =
                |source: &str, destination: &str, to, binding: &Binding| BindingDeclaration {
                    v: 1,
                    source: source.to_owned(),
                    destination: destination.to_owned(),
                    to,
                    routing_key: binding.routing_key().to_owned(),
                    is_declared: is_declared(queue),
                    arguments: binding.arguments().to_vec(),
                };
            let links = wiring.links().iter().map(|link| {
                let to = BindingTarget::Exchange;
                declaration(&link.source, &link.destination, to, &link.binding)
            });
            let bindings = wiring.bindings().iter().map(|(source, binding)| {
                declaration(source, &queue.name, BindingTarget::Queue, binding)
            });
            for one in links.chain(bindings) {
                let same = all.iter_mut().find(|known| {
                    let ends = known.source == one.source && known.destination == one.destination;
                    ends && known.routing_key == one.routing_key && known.arguments == one.arguments
                });
                match same {
                    Some(same) => same.is_declared |= one.is_declared,
                    None => all.push(one),
                }
            }
        }
        all
    }

    /// Its queues, each with what its messages come by, as far as that makes sense.
    fn wired(&self) -> impl Iterator<Item = (&Queue, Wiring)> {
        let queues = self.set_up.iter();
        queues.filter_map(|queue| Some((queue, queue.options.wiring().ok()?)))
    }
}

impl Ops {
    /// Declares exchanges and bindings, and leaves those that are there as they are.
    pub(super) async fn wire(&self) -> Result<(), OpsError> {
        for (queue, wiring) in self.program.wired() {
            if is_declared(queue) {
                self.source.wire(&queue.name, &wiring).await?;
            }
        }
        Ok(())
    }
}

fn is_declared(queue: &Queue) -> bool {
    queue.options.declare.unwrap_or_default() != Declare::Never
}
