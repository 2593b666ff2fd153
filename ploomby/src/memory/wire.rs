//! Exchanges and bindings, for whoever holds the broker.

use super::{broker::MemoryBroker, error::MemoryError};
use crate::{
    consumer::Declare,
    message::{Addressed, Message, Routing},
    topology::{Binding, Exchange, Wiring, WiringError},
};

impl MemoryBroker {
    /// Makes an exchange, and those that it gets messages from (`exchange.declare`).
    ///
    /// ```
    /// use ploomby::{Exchange, Message, memory::MemoryBroker};
    ///
    /// let broker = MemoryBroker::named("declare-exchange-example");
    /// let events = Exchange::topic("shop.events");
    /// broker.declare_exchange(&events)?;
    /// broker.declare_queue("billing", [])?;
    /// broker.bind_queue("billing", &events, "order.*.placed")?;
    /// broker.publish_through("shop.events", "order.eu.placed", Message::new("17"))?;
    /// assert_eq!(broker.ready_count("billing"), 1);
    /// # Ok::<(), ploomby::memory::MemoryError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A name that RabbitMQ refuses, a type that is not modelled, and an exchange that exists and is otherwise.
    pub fn declare_exchange(&self, exchange: &Exchange) -> Result<(), MemoryError> {
        let wiring = Wiring::new(&[], std::slice::from_ref(exchange)).map_err(impossible)?;
        self.shared.lock().wire(&wiring, Declare::All)
    }

    /// Has messages of an exchange come to a queue (`queue.bind`).
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoSuchQueue`], [`MemoryError::NoExchange`], or a binding that RabbitMQ refuses.
    pub fn bind_queue(
        &self,
        queue: &str,
        exchange: &Exchange,
        binding: impl Into<Binding>,
    ) -> Result<(), MemoryError> {
        let wiring = Wiring::new(&[(exchange.clone(), binding.into())], &[]).map_err(impossible)?;
        self.shared.lock().bind(queue, &wiring)
    }

    /// Whether there is an exchange of this name.
    #[must_use]
    pub fn exchange_exists(&self, name: &str) -> bool {
        self.shared.lock().exchanges.exists(name)
    }

    /// Deletes an exchange with its bindings (`exchange.delete`). As in RabbitMQ, it is no error that there is no such
    /// exchange.
    pub fn delete_exchange(&self, name: &str) {
        self.shared.lock().exchanges.delete(name);
    }

    /// Publishes through an exchange, `mandatory`.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoExchange`], [`MemoryError::Unbound`], and those of [`publish`](Self::publish).
    pub fn publish_through(
        &self,
        exchange: &str,
        routing_key: &str,
        message: Message,
    ) -> Result<(), MemoryError> {
        self.publish_addressed(Addressed {
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            routing: Routing::Mandatory,
            message,
        })
    }

    /// Makes exchanges, or takes them as they are.
    pub(crate) fn declare_wiring(&self, wiring: &Wiring) -> Result<(), MemoryError> {
        self.shared.lock().wire(wiring, Declare::Missing)
    }

    /// The same, and what they bring comes to a queue.
    pub(crate) fn wire_queue(&self, queue: &str, wiring: &Wiring) -> Result<(), MemoryError> {
        let mut state = self.shared.lock();
        state.wire(wiring, Declare::Missing)?;
        state.bind(queue, wiring)
    }
}

fn impossible(error: WiringError) -> MemoryError {
    MemoryError::OtherExchange(error.to_string())
}
