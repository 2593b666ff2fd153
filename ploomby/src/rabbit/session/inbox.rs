use std::mem;

use amqprs::channel::ConsumerMessage;
use tokio::sync::mpsc::UnboundedReceiver;

use super::tags::{OddTag, Tags};
use crate::rabbit::suspects;

/// How many messages are taken from the client at a time.
pub(super) const BURST: usize = 32;

/// What came over a channel, and is not taken yet.
pub(super) struct Inbox {
    /// Bounded by the prefetch.
    deliveries: UnboundedReceiver<ConsumerMessage>,
    tags: Tags,
    /// What came while another message waited for a slot.
    ahead: Vec<ConsumerMessage>,
    /// What came back so often that it does not wait: the broker might give it up by itself next time.
    near_the_limit: Vec<ConsumerMessage>,
}

impl Inbox {
    pub(super) fn new(deliveries: UnboundedReceiver<ConsumerMessage>, prefetch: u16) -> Self {
        Self {
            deliveries,
            tags: Tags::new(prefetch),
            ahead: Vec::new(),
            near_the_limit: Vec::new(),
        }
    }

    /// What comes from here on comes by another way, behind what `standby` has got. The ways before have ended.
    pub(super) fn reopen(
        &mut self,
        mut standby: UnboundedReceiver<ConsumerMessage>,
        deliveries: UnboundedReceiver<ConsumerMessage>,
    ) -> Result<(), OddTag> {
        let mut new = Vec::new();
        while let Ok(message) = standby.try_recv() {
            new.push(message);
        }
        let is_late = |message: &ConsumerMessage| {
            let deliver = message.deliver.as_ref();
            deliver.is_some_and(|deliver| deliver.delivery_tag() < self.tags.last())
        };
        let (mut late, mut new): (Vec<_>, Vec<_>) = new.into_iter().partition(is_late);
        for deliver in late.iter().filter_map(|message| message.deliver.as_ref()) {
            self.tags.found(deliver.delivery_tag());
        }
        self.look_at(&mut new)?;
        self.ahead.append(&mut late);
        self.ahead.append(&mut new);
        self.deliveries = deliveries;
        Ok(())
    }

    /// The tag of what came last.
    #[inline]
    pub(super) fn last(&self) -> u64 {
        self.tags.last()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.ahead.is_empty()
    }

    /// Puts what came into `at_hand`, which is empty. None means that nothing comes any more.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing is taken.
    pub(super) async fn receive(
        &mut self,
        at_hand: &mut Vec<ConsumerMessage>,
    ) -> Result<usize, OddTag> {
        if !self.ahead.is_empty() {
            mem::swap(at_hand, &mut self.ahead);
            return Ok(at_hand.len());
        }
        let count = self.deliveries.recv_many(at_hand, BURST).await;
        self.look_at(at_hand)?;
        Ok(count)
    }

    /// Takes what comes while a message waits for a slot, to look at it. Whether more may come.
    ///
    /// # Cancel safety
    ///
    /// As that of [`receive`](Self::receive).
    pub(super) async fn receive_ahead(&mut self) -> Result<bool, OddTag> {
        let mut new = Vec::new();
        // cancel safety: what was received is ahead in the same step
        let count = self.deliveries.recv_many(&mut new, BURST).await;
        self.look_at(&mut new)?;
        self.ahead.append(&mut new);
        Ok(count > 0)
    }

    /// What must not wait, since it was asked last.
    #[inline]
    pub(super) fn near_the_limit(&mut self) -> Option<Vec<ConsumerMessage>> {
        match self.near_the_limit.is_empty() {
            true => None,
            false => Some(mem::take(&mut self.near_the_limit)),
        }
    }

    /// What the client lost, and the broker holds to be here.
    #[inline]
    pub(super) fn left_out(&mut self) -> Option<Vec<u64>> {
        self.tags.left_out()
    }

    /// They are handled like all others.
    pub(super) fn keep(&mut self, mut near: Vec<ConsumerMessage>) {
        self.ahead.append(&mut near);
    }

    fn look_at(&mut self, new: &mut Vec<ConsumerMessage>) -> Result<(), OddTag> {
        let mut is_one_near = false;
        for message in &*new {
            // half a message is told when it is taken
            if let Some(deliver) = &message.deliver {
                self.tags.note(deliver.delivery_tag())?;
                is_one_near |= deliver.redelivered() && suspects::is_near_the_limit(message);
            }
        }
        if is_one_near {
            let (near, others) = mem::take(new)
                .into_iter()
                .partition(suspects::is_near_the_limit);
            self.near_the_limit.extend::<Vec<_>>(near);
            *new = others;
        }
        Ok(())
    }
}
