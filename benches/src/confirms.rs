//! Confirms as a program counts them that is written by hand on amqprs.

use std::{collections::BTreeSet, sync::Arc};

use amqprs::{
    Ack, BasicProperties, Cancel, CloseChannel, Nack, Return, callbacks::ChannelCallback,
    channel::Channel, error::Error,
};
use tokio::sync::Semaphore;

/// Makes room for as many messages as are confirmed.
#[derive(Debug)]
pub struct Confirms {
    room: Arc<Semaphore>,
    /// All up to this number are confirmed, and those of `early`.
    confirmed: u64,
    early: BTreeSet<u64>,
}

#[async_trait::async_trait]
impl ChannelCallback for Confirms {
    async fn close(&mut self, _: &Channel, _: CloseChannel) -> Result<(), Error> {
        self.room.close();
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), Error> {
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        let before = self.confirmed + self.early.len() as u64;
        if ack.mutiple() {
            self.confirmed = ack.delivery_tag();
            self.early = self.early.split_off(&(self.confirmed + 1));
        } else {
            self.early.insert(ack.delivery_tag());
        }
        while self.early.remove(&(self.confirmed + 1)) {
            self.confirmed += 1;
        }
        let more = self.confirmed + self.early.len() as u64 - before;
        self.room
            .add_permits(usize::try_from(more).unwrap_or(usize::MAX >> 3));
    }

    async fn publish_nack(&mut self, _: &Channel, _: Nack) {
        self.room.close();
    }

    async fn publish_return(&mut self, _: &Channel, _: Return, _: BasicProperties, _: Vec<u8>) {
        self.room.close();
    }
}

impl Confirms {
    /// Counts the confirms of a channel as permits. A message that did not arrive closes the semaphore.
    #[must_use]
    pub fn new(room: Arc<Semaphore>) -> Self {
        Self {
            room,
            confirmed: 0,
            early: BTreeSet::new(),
        }
    }
}
