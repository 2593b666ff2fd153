//! What an app has in the broker, and whether it waits for it.

use std::time::Duration;

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

    /// Waits for a broker that is not there yet when the program starts, for so long (default: that is an error at once).
    /// `wait_for_broker=60` in the URL, in seconds, does the same.
    ///
    /// The log tells the first failure, and then at growing intervals that it goes on. What does not get better by
    /// itself, such as a wrong password or a virtual host that is not there, is an error at once all the same.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ploomby::{App, Queue};
    ///
    /// # async fn example() -> anyhow::Result<()> {
    /// App::new("amqp://rabbit/shop")
    ///     .wait_for_broker(Duration::from_secs(60))
    ///     .queue(Queue::new("users"))
    ///     .run()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_for_broker(mut self, limit: Duration) -> Self {
        self.wait_for_broker = Some(limit);
        self
    }

    /// Tells each queue what holds for the whole app.
    pub(super) fn set_up_queues(&mut self) {
        for queue in &mut self.queues {
            let options = &mut queue.options;
            options.declare.get_or_insert(self.declare);
            options.policy.app.clone_from(&self.name);
            options.policy.stage = self.stage.clone();
            options.policy.trace = options.policy.trace.or(self.trace);
            options.exchanges.extend_from_slice(&self.exchanges);
        }
    }
}
