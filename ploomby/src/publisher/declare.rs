use super::{Broker, PublishError, Publisher};
use crate::{
    rabbit::RabbitPublishError,
    topology::{Exchange, Wiring},
};

impl Publisher {
    /// Declares an exchange, to send [through](Self::through) it: for a program that only sends. One that consumes, too,
    /// names its exchanges by [`Queue::bind`](crate::Queue::bind) or [`App::exchange`](crate::App::exchange).
    ///
    /// The exchanges that it gets messages from are declared as well, and its bindings to them. One that is there
    /// already is used as it is.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// use ploomby::{Exchange, Publisher};
    ///
    /// let events = Exchange::topic("shop.events");
    /// let publisher = Publisher::connect("memory://declare-an-exchange").await?;
    /// publisher.declare(&events).await?;
    /// // nobody has to want it
    /// let event = publisher.through(&events, "order.placed").payload(&17);
    /// event.allow_unroutable().send().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// An exchange of this name that has another type, a right that the user lacks, or no broker.
    pub async fn declare(&self, exchange: &Exchange) -> Result<(), PublishError> {
        let wiring = Wiring::new(&[], std::slice::from_ref(exchange));
        let wiring = wiring.map_err(|error| PublishError::Invalid(error.into()))?;
        match &self.broker {
            Broker::Rabbit { line, .. } => {
                let declared = line.declare_exchanges(&wiring).await;
                declared.map_err(|error| match error {
                    RabbitPublishError::Topology(error) if !error.is_about_the_connection() => {
                        PublishError::Declare(error.into())
                    }
                    error => error.into(),
                })
            }
            Broker::Memory(broker) => {
                let declared = broker.declare_wiring(&wiring);
                declared.map_err(|error| PublishError::Declare(error.into()))
            }
            // nothing is changed by a handler that is only tried
            Broker::Recorded(_) => Ok(()),
        }
    }
}
