use std::{
    cmp::min,
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use amqprs::channel::{
    BasicAckArguments, BasicCancelArguments, BasicConsumeArguments, BasicNackArguments,
    BasicQosArguments, Channel, ConsumerMessage, QueueDeleteArguments,
};
use thiserror::Error;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{sleep, timeout},
};

use super::{
    connection::{CLOSE_TIMEOUT, ConnectError, OpenChannel, SharedConnection},
    session::events::{ChannelEvents, Closed},
    topology::{self, Asker, Compared, Depth, TopologyError},
    url::RabbitUrl,
};
use crate::{
    consumer::{Declare, companions::Declared},
    message::{Message, Properties, Value, wire::field_table},
    topology::Wiring,
};

/// How many messages are asked for at first. Bodies may be large, and what was asked for comes all at once.
const FIRST_BATCH: u16 = 8;

/// How many messages are asked for at a time, at most.
const MOST: u16 = 512;

/// Above so many bytes in a batch the next one is smaller, and far below it is larger.
const LARGE_BATCH: usize = 8 * 1024 * 1024;

/// After so long without a message it is asked whether there is any.
const IDLE: Duration = Duration::from_millis(300);

/// How long the broker may take to have all back that was held, before it answers anything else: there may be hundreds of
/// thousands.
const GIVING_BACK: Duration = Duration::from_secs(120);

/// How long messages may not come that are said to be there.
const MOST_IDLE: u32 = 20;

/// The same of a sample: who shares a queue with its consumers does not keep its messages from them.
const MOST_IDLE_OF_A_SAMPLE: u32 = 4;

/// A connection to look over. It is opened by the first look, and apart from where messages are published: a broker that
/// is short of memory reads nothing from a connection that publishes.
#[derive(Debug)]
pub(crate) struct RabbitLooker(SharedConnection);

impl RabbitLooker {
    pub(crate) fn new(url: RabbitUrl) -> Self {
        Self(SharedConnection::new(url, "ops"))
    }

    /// Who looks.
    pub(crate) fn user(&self) -> &str {
        self.0.user()
    }

    /// How much there is in these queues; None for one that is not there.
    pub(crate) async fn depths(
        &self,
        queues: &[&str],
    ) -> Result<Vec<Option<Depth>>, TopologyError> {
        let mut asker = Asker::new(&self.0);
        let mut depths = Vec::with_capacity(queues.len());
        for queue in queues {
            let depth = topology::depth_by(&mut asker, queue).await;
            match depth {
                Ok(depth) => depths.push(depth),
                Err(error) => {
                    asker.close().await;
                    return Err(error);
                }
            }
        }
        asker.close().await;
        Ok(depths)
    }

    /// Connects, and says where to and to what.
    pub(crate) async fn server(&self) -> Result<(String, Option<String>), ConnectError> {
        self.0.server().await
    }

    /// Compares a queue with what would be declared.
    pub(crate) async fn compare(
        &self,
        queue: &str,
        arguments: &[(String, Value)],
    ) -> Result<Compared, TopologyError> {
        let mut asker = Asker::new(&self.0);
        let compared = topology::compare(&mut asker, queue, arguments).await;
        asker.close().await;
        compared
    }

    /// Whether the user may consume a queue. It does not: a consumer would take messages, keep another one from being
    /// exclusive, and with it a queue that deletes itself would go. The broker looks at the right first, and then refuses a
    /// priority that is a text.
    pub(crate) async fn may_read(&self, queue: &str) -> Result<bool, LookError> {
        let open = self.0.channel().await?;
        let events = ChannelEvents::register(&open.channel).await;
        let events = events.map_err(|error| LookError::Lost(error.to_string()))?;
        let impossible = field_table(&[("x-priority".to_owned(), "none".into())])
            .map_err(|error| LookError::Lost(error.to_string()))?;
        let asking = async {
            let one = BasicQosArguments::new(0, 1, false);
            open.channel.basic_qos(one).await?;
            let mut consume = BasicConsumeArguments::new(queue, "");
            consume.arguments(impossible);
            open.channel.basic_consume_rx(consume).await
        };
        let asked = open.connection.answer(asking).await;
        let asked = asked.map_err(|_| LookError::NoAnswer)?;
        match (asked, events.closed()) {
            (Ok(_), _) => {
                // a broker that is not RabbitMQ; what came meanwhile goes back with the channel
                let _ = timeout(CLOSE_TIMEOUT, open.channel.close()).await;
                Ok(true)
            }
            (Err(_), Some(closed)) if closed.is_no_right() => Ok(false),
            (Err(_), Some(closed)) if closed.code == Closed::PRECONDITION_FAILED => Ok(true),
            (Err(error), _) => Err(LookError::Lost(open.connection.told(&error))),
        }
    }

    /// Deletes a queue that is empty and that nobody consumes. Whether it did.
    pub(crate) async fn delete_empty(&self, queue: &str) -> Result<bool, LookError> {
        let open = self.0.channel().await?;
        let mut delete = QueueDeleteArguments::new(queue);
        delete.if_empty(true).if_unused(true);
        let deleting = open.channel.queue_delete(delete);
        let deleted = open.connection.answer(deleting).await;
        let deleted = deleted.map_err(|_| LookError::NoAnswer)?;
        if deleted.is_ok() {
            let _ = timeout(CLOSE_TIMEOUT, open.channel.close()).await;
        }
        Ok(deleted.is_ok())
    }

    /// Declares a queue of ours.
    pub(crate) async fn declare(&self, queue: &Declared) -> Result<(), TopologyError> {
        topology::declare(&self.0, queue).await
    }

    /// Declares what the messages of a queue come by.
    pub(crate) async fn wire(&self, queue: &str, wiring: &Wiring) -> Result<(), TopologyError> {
        topology::wire_beside(&self.0, queue, Declare::Missing, wiring).await
    }

    /// Begins to look at a queue. Says how many messages are ready; None if there is no such queue.
    pub(crate) async fn look(&self, queue: &str) -> Result<Option<(RabbitLook, u32)>, LookError> {
        let Some(Some(depth)) = self.depths(&[queue]).await?.into_iter().next() else {
            return Ok(None);
        };
        let open = self.0.channel().await?;
        let events = ChannelEvents::register(&open.channel).await;
        let events = events.map_err(|error| LookError::Lost(error.to_string()))?;
        let look = RabbitLook {
            open,
            events,
            queue: queue.to_owned(),
            left: depth.ready,
            batch: FIRST_BATCH,
            most_idle: MOST_IDLE,
            at_hand: VecDeque::new(),
            held: BTreeSet::new(),
            ends: Vec::new(),
        };
        Ok(Some((look, depth.ready)))
    }

    /// Begins to look at so many messages at most of a queue that others may consume meanwhile.
    pub(crate) async fn sample(
        &self,
        queue: &str,
        most: usize,
    ) -> Result<Option<(RabbitLook, u32)>, LookError> {
        let Some((mut look, ready)) = self.look(queue).await? else {
            return Ok(None);
        };
        look.left = u32::try_from(most).map_or(look.left, |most| look.left.min(most));
        look.batch = 1;
        look.most_idle = MOST_IDLE_OF_A_SAMPLE;
        Ok(Some((look, ready)))
    }

    pub(crate) async fn close(&self) {
        self.0.close().await;
    }
}

/// Messages of a queue that are held to be looked at, one after another: no more than there were at the beginning.
///
/// `basic.get` would do, but amqprs loses the channel where the answer comes before amqprs expects it. So they are
/// consumed, in batches, by a consumer each that is cancelled before the first message of its batch is handed out: what is
/// acknowledged makes room for no other.
pub(crate) struct RabbitLook {
    open: OpenChannel,
    events: ChannelEvents,
    queue: String,
    /// How many messages are not asked for yet.
    left: u32,
    batch: u16,
    /// How often no message may come for a while.
    most_idle: u32,
    at_hand: VecDeque<(u64, Message)>,
    /// The tags of what the broker holds for this.
    held: BTreeSet<u64>,
    /// The last tag of each batch.
    ends: Vec<u64>,
}

impl RabbitLook {
    /// The next message. None after the last one that was there at the beginning, or once no more come.
    pub(crate) async fn next(
        &mut self,
        looker: &RabbitLooker,
    ) -> Result<Option<(u64, Message)>, LookError> {
        while self.at_hand.is_empty() && self.left > 0 {
            self.receive(looker).await?;
        }
        Ok(self.at_hand.pop_front())
    }

    /// Takes a message that is held out of the queue, and waits until the broker has done so: an acknowledgement that is
    /// on its way when the program is killed would be lost.
    pub(crate) async fn ack(&mut self, tag: u64) -> Result<(), LookError> {
        let acking = async {
            let ack = BasicAckArguments::new(tag, false);
            self.channel().basic_ack(ack).await?;
            // the next consumer asks for its own. A channel does one thing after another, and answers this
            let qos = BasicQosArguments::new(0, self.batch, false);
            self.channel().basic_qos(qos).await
        };
        let acked = self.open.connection.answer(acking).await;
        let acked = acked.map_err(|_| LookError::NoAnswer)?;
        acked.map_err(|error| self.lost(&error))?;
        self.held.remove(&tag);
        Ok(())
    }

    /// Gives all that is held back, and waits until the broker has it.
    pub(crate) async fn give_back(self, looker: &RabbitLooker) -> Result<(), LookError> {
        /// All that was delivered over the channel.
        const ALL: u64 = 0;

        // RabbitMQ gives back at once what one consumer had, and the consumers in any order. A tag that was acknowledged
        // would be an error
        let last_of_batch = |end: &u64| self.held.range(..=end).next_back().copied();
        let mut lasts: Vec<_> = self.ends.iter().filter_map(last_of_batch).collect();
        lasts.dedup();
        for tag in lasts.into_iter().chain([ALL]) {
            let nack = BasicNackArguments::new(tag, true, true);
            let given_back = self.channel().basic_nack(nack).await;
            given_back.map_err(|error| self.lost(&error))?;
        }
        let queue = self.queue;
        let held = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        let OpenChannel { channel, .. } = self.open;
        match timeout(GIVING_BACK, channel.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(LookError::Lost(error.to_string())),
            Err(_) => return Err(LookError::NoAnswer),
        }
        // the queue takes many messages back one after another, and says meanwhile how many it has so far. Others may take
        // them at once: where there come no more, nothing is waited for
        let (mut ready, mut idle) = (0, 0);
        while idle < MOST_IDLE {
            let depth = looker.depths(&[&queue]).await?.into_iter().next().flatten();
            let is_back = |depth: Depth| depth.ready >= held || depth.consumers > 0;
            let Some(depth) = depth.filter(|depth| !is_back(*depth)) else {
                break;
            };
            idle = if depth.ready > ready { 0 } else { idle + 1 };
            ready = depth.ready;
            sleep(IDLE / 4).await;
        }
        Ok(())
    }

    /// Receives the next batch.
    async fn receive(&mut self, looker: &RabbitLooker) -> Result<(), LookError> {
        let size = u16::try_from(self.left).map_or(self.batch, |left| left.min(self.batch));
        let qos = BasicQosArguments::new(0, size, false);
        let consume = BasicConsumeArguments::new(&self.queue, "");
        let asking = async {
            self.channel().basic_qos(qos).await?;
            self.channel().basic_consume_rx(consume).await
        };
        let asked = self.open.connection.answer(asking).await;
        let asked = asked.map_err(|_| LookError::NoAnswer)?;
        let (consumer_tag, mut deliveries) = asked.map_err(|error| self.lost(&error))?;
        self.left -= u32::from(size);
        let (mut came, mut bytes) = (0, 0);
        while came < size {
            let Some(message) = self.one(&mut deliveries, looker).await? else {
                self.left = 0;
                break;
            };
            came += 1;
            bytes += message.content.as_ref().map_or(0, Vec::len);
            self.take(message);
        }
        let cancel = BasicCancelArguments::new(&consumer_tag);
        let cancelling = self.channel().basic_cancel(cancel);
        let cancelled = self.open.connection.answer(cancelling).await;
        let cancelled = cancelled.map_err(|_| LookError::NoAnswer)?;
        cancelled.map_err(|error| self.lost(&error))?;
        // where it had given up on them
        while let Ok(message) = deliveries.try_recv() {
            self.take(message);
        }
        self.ends.extend(self.held.last());
        self.batch = match bytes {
            LARGE_BATCH.. => (self.batch / 2).max(1),
            bytes if bytes < LARGE_BATCH / 4 => min(self.batch * 2, MOST),
            _ => self.batch,
        };
        Ok(())
    }

    /// Half a message stays with the broker until the others are given back.
    fn take(&mut self, message: ConsumerMessage) {
        if let Some((tag, message)) = whole(message) {
            self.held.insert(tag);
            self.at_hand.push_back((tag, message));
        }
    }

    /// The next message of a batch; None where no more come.
    async fn one(
        &self,
        deliveries: &mut UnboundedReceiver<ConsumerMessage>,
        looker: &RabbitLooker,
    ) -> Result<Option<ConsumerMessage>, LookError> {
        for _ in 0..self.most_idle {
            // cancel safety: what is not received stays where it is
            let received = tokio::select! {
                biased;
                received = timeout(IDLE, deliveries.recv()) => received,
                () = self.events.ended() => Ok(None),
            };
            match received {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => return Err(self.ended()),
                // somebody else may have taken what was there, or it is on its way
                Err(_) => {
                    let depths = looker.depths(&[&self.queue]).await?;
                    let ready = depths.first().copied().flatten().unwrap_or_default().ready;
                    if ready == 0 && deliveries.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    fn channel(&self) -> &Channel {
        &self.open.channel
    }

    fn ended(&self) -> LookError {
        match self.events.closed() {
            Some(closed) => LookError::Lost(closed.to_string()),
            None => LookError::Lost("the connection was lost".to_owned()),
        }
    }

    fn lost(&self, error: &amqprs::error::Error) -> LookError {
        match self.events.closed() {
            Some(closed) => LookError::Lost(closed.to_string()),
            None => LookError::Lost(self.open.connection.told(error)),
        }
    }
}

fn whole(message: ConsumerMessage) -> Option<(u64, Message)> {
    let tag = message.deliver?.delivery_tag();
    let message = Message {
        properties: Properties::from_wire(message.basic_properties?),
        body: message.content?.into(),
    };
    Some((tag, message))
}

/// Why a queue cannot be looked at any further. What was held goes back to it.
#[derive(Debug, Error)]
pub(crate) enum LookError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error("the look at the queue ended early: {0}")]
    Lost(String),
    #[error("the broker did not answer in time")]
    NoAnswer,
}
