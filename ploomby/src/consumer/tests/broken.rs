//! Sources whose own code panics or hangs.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::{Instant, timeout};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    ConsumePanics,
    AckPanics,
    RetryPanics,
    DisconnectPanics,
    DisconnectHangs,
}

/// A source with one message, and a fault.
struct Broken {
    fault: Fault,
    disconnected: Arc<AtomicU32>,
}

struct BrokenConsumer {
    acknowledger: Arc<Breaking>,
    disconnected: Arc<AtomicU32>,
}

struct Breaking(Fault);

impl MessageConsumerFactory for Broken {
    type Consumer = BrokenConsumer;
    type Options = ();

    fn create(&self, _: &str, (): &()) -> Result<BrokenConsumer, ConsumerError> {
        Ok(BrokenConsumer {
            acknowledger: Arc::new(Breaking(self.fault)),
            disconnected: self.disconnected.clone(),
        })
    }

    fn policy(&self, (): &(), _: usize) -> QueuePolicy {
        QueuePolicy::new().retry(3)
    }
}

impl MessageConsumer for BrokenConsumer {
    async fn connect(&mut self, _: &Dispatcher) -> Result<(), ConsumerError> {
        Ok(())
    }

    async fn consume(&mut self, dispatcher: Dispatcher) -> Result<(), ConsumerError> {
        let key = match self.acknowledger.0 {
            Fault::ConsumePanics => panic!("consume, on purpose"),
            Fault::RetryPanics => "fails",
            _ => "works",
        };
        let delivery = Delivery::new(Message::new("1")).routed("", key);
        let tag = DeliveryTag::new(1);
        dispatcher.dispatch(delivery, tag, &self.acknowledger).await;
        pending().await
    }

    async fn disconnect(&mut self) {
        self.disconnected.fetch_add(1, Ordering::Relaxed);
        match self.acknowledger.0 {
            Fault::DisconnectPanics => panic!("disconnect, on purpose"),
            Fault::DisconnectHangs => pending().await,
            _ => {}
        }
    }
}

impl Acknowledger for Breaking {
    async fn ack(&self, _: DeliveryTag) {
        assert!(self.0 != Fault::AckPanics, "ack, on purpose");
    }

    async fn requeue(&self, _: DeliveryTag) {}

    async fn retry(&self, _: Message, _: Duration) -> Result<(), ConsumerError> {
        assert!(self.0 != Fault::RetryPanics, "retry, on purpose");
        Ok(())
    }

    async fn dead_letter(&self, _: Message) -> Result<(), ConsumerError> {
        Ok(())
    }
}

async fn works() {}

async fn fails() -> Result<(), std::fmt::Error> {
    Err(std::fmt::Error)
}

async fn registered(fault: Fault) -> (MessageConsumerRegistry<Broken>, Arc<AtomicU32>) {
    let disconnected = Arc::<AtomicU32>::default();
    let source = Broken {
        fault,
        disconnected: disconnected.clone(),
    };
    let handlers = HandlerRegistry::new()
        .register("works", works)
        .register("fails", fails);
    let mut consumers = MessageConsumerRegistry::new(handlers, source).shutdown_deadline(DEADLINE);
    let registered = consumers.register("q", KeySource::RoutingKey, 1, ());
    registered.await.expect("it connects");
    (consumers, disconnected)
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_ends_the_program_and_is_disconnected_once() {
    for (fault, text) in [
        (Fault::ConsumePanics, "consume, on purpose"),
        (Fault::AckPanics, "ack, on purpose"),
        (Fault::RetryPanics, "broken::fails"),
    ] {
        let (mut consumers, disconnected) = registered(fault).await;
        let health = consumers.health();
        let ended = timeout(Duration::from_secs(60), consumers.wait()).await;
        let error = ended.expect("it ends").expect_err(text).to_string();
        assert!(error.contains(text), "{error}");
        assert!(!health.is_healthy(), "{text}");
        consumers.disconnect_consumers().await.expect("all is over");
        assert_eq!(disconnected.load(Ordering::Relaxed), 1, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_that_panics_is_told() {
    let (mut consumers, disconnected) = registered(Fault::DisconnectPanics).await;
    let ended = consumers.disconnect_consumers().await;
    let error = ended.expect_err("a panic").to_string();
    assert!(error.contains("disconnect, on purpose"), "{error}");
    assert_eq!(disconnected.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_that_hangs_ends_with_the_shutdown() {
    let (mut consumers, disconnected) = registered(Fault::DisconnectHangs).await;
    let begun = Instant::now();
    consumers.disconnect_consumers().await.expect("it is left");
    assert!(begun.elapsed() <= DEADLINE, "{:?}", begun.elapsed());
    assert_eq!(disconnected.load(Ordering::Relaxed), 1);
}
