use std::sync::PoisonError;

use amqprs::channel::{BasicPublishArguments, ExchangeDeleteArguments, QueueBindArguments};
use amqprs::{BasicProperties, FieldTable};
use ploomby::{Binding, Exchange, Message};

use super::{Bed, Broker, DEADLINE, field};
use crate::{eventually, unique_name};

impl Bed {
    /// The name of an exchange of the test's own, which is removed at the end.
    pub fn exchange_name(&self) -> String {
        let name = unique_name("contract-exchange");
        let mut exchanges = self
            .exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        exchanges.push(name.clone());
        name
    }

    /// Binds a queue to an exchange, both of which are there, as somebody else would.
    pub async fn bind(&self, queue: &str, exchange: &Exchange, binding: impl Into<Binding>) {
        let binding = binding.into();
        match &self.broker {
            Broker::Memory(broker) => broker.bind_queue(queue, exchange, binding).unwrap(),
            Broker::Rabbit(control) => {
                let mut arguments = FieldTable::new();
                for (name, value) in binding.arguments() {
                    arguments.insert((&**name).try_into().unwrap(), field(value.clone()));
                }
                let key = binding.routing_key();
                let mut bind = QueueBindArguments::new(queue, exchange.name(), key);
                bind.arguments(arguments);
                let channel = control.channel().await;
                channel.queue_bind(bind).await.unwrap();
                channel.close().await.unwrap();
            }
        }
    }

    /// Publishes through an exchange that is there, to which the queue is bound for it.
    pub async fn publish_through(
        &self,
        exchange: &str,
        routing_key: &str,
        queue: &str,
        message: Message,
    ) {
        self.bind(queue, &Exchange::existing(exchange), routing_key)
            .await;
        match &self.broker {
            Broker::Memory(broker) => broker
                .publish_through(exchange, routing_key, message)
                .unwrap(),
            Broker::Rabbit(control) => {
                let channel = control.channel().await;
                let arguments = BasicPublishArguments::new(exchange, routing_key);
                let body = message.body().to_vec();
                let published = channel.basic_publish(BasicProperties::default(), body, arguments);
                published.await.unwrap();
                channel.close().await.unwrap();
            }
        }
    }

    /// Deletes an exchange with its bindings.
    pub async fn delete_exchange(&self, exchange: &str) {
        match &self.broker {
            Broker::Memory(broker) => broker.delete_exchange(exchange),
            // what a test did to the broker may cost a channel or two
            Broker::Rabbit(control) => {
                eventually(DEADLINE, async || {
                    let channel = control.channel().await;
                    let delete = ExchangeDeleteArguments::new(exchange);
                    channel.exchange_delete(delete).await.is_ok() && channel.close().await.is_ok()
                })
                .await;
            }
        }
    }
}
