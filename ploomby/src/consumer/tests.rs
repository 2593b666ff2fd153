use std::{future::pending, time::Duration};

use super::*;
use crate::{HandlerRegistry, KeySource, extract::Batch};

/// A source of the user's own, without messages.
struct Own(QueuePolicy);

struct OwnConsumer;

impl MessageConsumerFactory for Own {
    type Consumer = OwnConsumer;
    type Options = ();

    fn create(&self, _: &str, (): &()) -> Result<OwnConsumer, ConsumerError> {
        Ok(OwnConsumer)
    }

    fn policy(&self, (): &(), _: usize) -> QueuePolicy {
        self.0.clone()
    }
}

impl MessageConsumer for OwnConsumer {
    async fn connect(&mut self, _: &Dispatcher) -> Result<(), ConsumerError> {
        Ok(())
    }

    async fn consume(&mut self, _: Dispatcher) -> Result<(), ConsumerError> {
        pending().await
    }

    async fn disconnect(&mut self) {}
}

#[tokio::test]
async fn a_policy_of_zero_is_refused_whatever_the_source() {
    async fn all_at_once(_: Batch<u32>) {}

    let refused = [
        (QueuePolicy::new().concurrency(0), "concurrency"),
        (QueuePolicy::new().handler_concurrency(0), "concurrency"),
        (QueuePolicy::new().batch_size(0), "batch size"),
        (QueuePolicy::new().timeout(Duration::ZERO), "timeout"),
    ];
    for (policy, word) in refused {
        let handlers = HandlerRegistry::new().register("all", all_at_once);
        let mut consumers = MessageConsumerRegistry::new(handlers, Own(policy));
        let registered = consumers.register("q", KeySource::RoutingKey, 1, ());
        let error = registered.await.expect_err(word).to_string();
        assert!(error.contains(&format!("a {word} of 0")), "{error}");
    }
    let handlers = HandlerRegistry::new().register("all", all_at_once);
    let mut consumers = MessageConsumerRegistry::new(handlers, Own(QueuePolicy::new()));
    let registered = consumers.register("q", KeySource::RoutingKey, 1, ());
    registered.await.expect("the defaults are served");
}
