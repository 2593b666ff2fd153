use std::{sync::Arc, time::Duration};

use ploomby::{
    Acknowledger, ConsumerError, DeliveryTag, Dispatcher, Message, MessageConsumer,
    MessageConsumerFactory, Properties,
};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// Makes the consumer, is the consumer, and settles: lines have nowhere to go back to.
pub(crate) struct Lines;

impl MessageConsumerFactory for Lines {
    type Consumer = Self;
    type Options = ();

    fn create(&self, _: &str, (): &()) -> Result<Self, ConsumerError> {
        Ok(Self)
    }
}

impl MessageConsumer for Lines {
    async fn connect(&mut self, _: &Dispatcher) -> Result<(), ConsumerError> {
        Ok(())
    }

    async fn consume(&mut self, dispatcher: Dispatcher) -> Result<(), ConsumerError> {
        let mut lines = BufReader::new(stdin()).lines();
        // each delivery takes the memory of the last one, and is dispatched by this very task
        let (mut recycler, settle) = (dispatcher.recycler(), Arc::new(Self));
        while let Some(line) = lines.next_line().await? {
            let (key, payload) = line.split_once(' ').unwrap_or((&line, ""));
            let key = Properties::new().with_message_type(key);
            let properties = key.map_err(ConsumerError::new)?;
            let message = Message::new(payload.to_owned()).with_properties(properties);
            let (delivery, tag) = (recycler.delivery(message), DeliveryTag::new(0));
            let settled = dispatcher.dispatch_in_consume(delivery, tag, &settle);
            settled.await;
        }
        Ok(())
    }

    async fn disconnect(&mut self) {}
}

impl Acknowledger for Lines {
    async fn ack(&self, _: DeliveryTag) {}

    async fn requeue(&self, _: DeliveryTag) {}

    async fn retry(&self, copy: Message, _: Duration) -> Result<(), ConsumerError> {
        self.dead_letter(copy).await
    }

    async fn dead_letter(&self, copy: Message) -> Result<(), ConsumerError> {
        let reason = copy.headers().text("ploomby-reason").unwrap_or("?");
        eprintln!("{reason}: {}", String::from_utf8_lossy(copy.body()));
        Ok(())
    }
}
