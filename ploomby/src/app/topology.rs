//! What an app has in the broker.

use super::App;
use crate::{consumer::Declare, topology::Exchange};

impl App {
    /// An exchange that the program sends [through](crate::Publisher::through) and that none of its queues is
    /// [bound](super::Queue::bind) to. It is declared when the program starts and after a lost connection.
    ///
    /// ```
    /// use ploomby::{App, Exchange, HandlerRegistry, Publisher, Queue};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// let events = Exchange::topic("shop.events");
    /// let pack = async |order: u64, publisher: Publisher| {
    ///     let event = publisher.through("shop.events", "order.packed").payload(&order);
    ///     // nobody has to want it
    ///     event.allow_unroutable().send().await
    /// };
    /// let running = App::new("memory://app-exchange")
    ///     .exchange(&events)
    ///     .handlers(HandlerRegistry::new().register("pack", pack))
    ///     .queue(Queue::new("parcels"))
    ///     .start()
    ///     .await?;
    /// running.shut_down().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn exchange(mut self, exchange: &Exchange) -> Self {
        self.exchanges.push(exchange.clone());
        self
    }

    /// Whether queues, exchanges and bindings are declared, for queues that do not say so themselves (default: those
    /// that are missing).
    pub fn declare(mut self, declare: Declare) -> Self {
        self.declare = declare;
        self
    }

    /// Tells each queue what holds for the whole app.
    pub(super) fn set_up_queues(&mut self) {
        for queue in &mut self.queues {
            let options = &mut queue.options;
            options.declare.get_or_insert(self.declare);
            options.policy.app.clone_from(&self.name);
            options.exchanges.extend_from_slice(&self.exchanges);
        }
    }
}
