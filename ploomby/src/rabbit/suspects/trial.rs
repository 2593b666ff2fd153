use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use amqprs::channel::{BasicAckArguments, BasicNackArguments, Channel, ConsumerMessage};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{DELIVERY_COUNT, Suspects, take::take_one};
use crate::{
    delivery::{Delivery, DeliveryTag, SetAside},
    message::{Message, Properties, header_names as headers},
    outcome::{Failure, Reason},
    rabbit::{
        acknowledger::{not_kept, not_sent},
        connection::Link,
        session::events::ChannelEvents,
    },
    settle::{Acknowledger, ConsumerError, suspect_again},
};

/// How long a suspect may take from the broker to here.
const WAIT: Duration = Duration::from_secs(2);

/// One suspect, which is handled alone, and its settlement.
pub(super) struct Trial {
    channel: Channel,
    link: Arc<Link>,
    events: ChannelEvents,
    suspects: Arc<Suspects>,
    taken: Mutex<Option<Taken>>,
    handled: CancellationToken,
    done: CancellationToken,
}

/// What is known of a suspect.
#[derive(Clone)]
pub(super) struct Taken {
    /// Names this copy.
    pub(super) name: String,
    delivery: Delivery,
    /// How often the process died over it while it was alone.
    crashes: u32,
}

impl Trial {
    pub(super) fn new(
        (channel, link): (Channel, Arc<Link>),
        events: ChannelEvents,
        suspects: Arc<Suspects>,
    ) -> Self {
        Self {
            channel,
            link,
            events,
            suspects,
            taken: Mutex::default(),
            handled: CancellationToken::new(),
            done: CancellationToken::new(),
        }
    }

    /// Takes a suspect. The failure says that it is guilty.
    pub(super) async fn take(&self) -> Option<(Delivery, DeliveryTag, Option<Failure>)> {
        let queue = self.suspects.copies.companions().suspects().name;
        let message = match take_one((&self.channel, &self.link), &queue, WAIT).await {
            Ok(message) => message?,
            Err(error) => {
                debug!(queue, error, "cannot take a suspect");
                return None;
            }
        };
        let (tag, taken, survived) = self.read(message)?;
        *self.taken() = Some(taken.clone());
        let tag = DeliveryTag::new(tag);
        // what this process lived through was no crash, which the others cannot know
        if survived > 0 && self.again(&taken, taken.crashes).await {
            self.suspects.survived().remove(&taken.name);
            self.ack(tag).await;
            return None;
        }
        let is_guilty = |most| taken.crashes >= most;
        if self.suspects.most_crashes.is_some_and(is_guilty) {
            self.suspects.deaths.forget().await;
        }
        let most = self.suspects.most_crashes.unwrap_or(u32::MAX);
        let condemned = (taken.crashes >= most).then(|| {
            let text = format!(
                "the process ended {} times while it handled this message, and no other that came back: its handler \
                 crashes the process, or takes more memory than there is",
                taken.crashes
            );
            Failure::new(Reason::CrashesTheProcess, text)
        });
        Some((taken.delivery, tag, condemned))
    }

    fn read(&self, received: ConsumerMessage) -> Option<(u64, Taken, u32)> {
        let message = Message {
            properties: Properties::from_wire(received.basic_properties?),
            body: received.content?.into(),
        };
        let tag = received.deliver?.delivery_tag();
        // as it came to the consumed queue
        let mut delivery = Delivery::new(message)
            .routed("", &*self.suspects.queue)
            .redelivered();
        delivery.extensions_mut().insert(SetAside);
        let number = |name| {
            let number = delivery.headers().number(name);
            number
                .and_then(|number| u32::try_from(number).ok())
                .unwrap_or(0)
        };
        let name = delivery.headers().text(headers::SUSPECT);
        let name = name.unwrap_or_default().to_owned();
        let survived = self.suspects.survived().get(&name).copied().unwrap_or(0);
        let died = number(headers::CRASHES).saturating_add(number(DELIVERY_COUNT));
        let taken = Taken {
            name,
            crashes: died.saturating_sub(survived),
            delivery,
        };
        Some((tag, taken, survived))
    }

    /// Resolves once its handler is done. What becomes of the message may take longer: its copy waits for room.
    pub(super) async fn handled(&self) {
        self.handled.cancelled().await;
    }

    /// Resolves once the suspect is settled.
    pub(super) async fn done(&self) {
        self.done.cancelled().await;
    }

    pub(super) fn taken(&self) -> MutexGuard<'_, Option<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the suspect back as a copy that says how often the process died over it: what the broker would count is no
    /// death. Says whether that is done.
    async fn again(&self, taken: &Taken, crashes: u32) -> bool {
        let Ok(copy) = suspect_again(&taken.delivery, crashes) else {
            return false;
        };
        let copies = &self.suspects.copies;
        let moving = self.suspects.within_a_moment(copies.set_aside(copy));
        matches!(moving.await, Ok(Ok(())))
    }

    async fn put_back(&self, tag: DeliveryTag) {
        let taken = self.taken().clone();
        match taken {
            Some(taken) if self.again(&taken, taken.crashes).await => self.ack(tag).await,
            _ => {
                self.suspects.note_survived(self);
                self.nack(tag, true).await;
            }
        }
    }

    async fn nack(&self, tag: DeliveryTag, requeue: bool) {
        if self.is_open() {
            let nack = BasicNackArguments::new(tag.get(), false, requeue);
            if let Err(error) = self.channel.basic_nack(nack).await {
                debug!(%error, "a suspect is not given back: the connection is gone");
            }
        }
        self.done.cancel();
    }

    /// A frame for a channel that is closed would cost the connection.
    fn is_open(&self) -> bool {
        !self.events.is_ended() && self.channel.is_open()
    }
}

impl Acknowledger for Trial {
    async fn ack(&self, tag: DeliveryTag) {
        if self.is_open() {
            let ack = BasicAckArguments::new(tag.get(), false);
            if let Err(error) = self.channel.basic_ack(ack).await {
                debug!(%error, "a suspect is not acknowledged: the connection is gone");
            }
        }
        self.done.cancel();
    }

    async fn requeue(&self, tag: DeliveryTag) {
        self.handled.cancel();
        // it would be taken again at once
        sleep(Duration::from_secs(1)).await;
        self.put_back(tag).await;
    }

    async fn give_back(&self, tag: DeliveryTag) {
        self.put_back(tag).await;
    }

    async fn retry(&self, copy: Message, delay: Duration) -> Result<(), ConsumerError> {
        self.handled.cancel();
        let kept = self.suspects.copies.retry(copy, delay).await;
        kept.map_err(not_kept)
    }

    async fn dead_letter(&self, copy: Message) -> Result<(), ConsumerError> {
        self.handled.cancel();
        let kept = self.suspects.copies.dead_letter(copy).await;
        kept.map_err(not_kept)
    }

    async fn reply(&self, reply_to: &str, reply: Message) -> Result<(), ConsumerError> {
        self.reply_through("", reply_to, reply).await
    }

    async fn reply_through(
        &self,
        exchange: &str,
        routing_key: &str,
        reply: Message,
    ) -> Result<(), ConsumerError> {
        self.handled.cancel();
        let copies = &self.suspects.copies;
        copies
            .reply(exchange, routing_key, reply)
            .await
            .map_err(not_sent)
    }

    async fn lost(&self) {
        self.events.ended().await;
    }

    async fn reject(&self, tag: DeliveryTag) {
        self.nack(tag, false).await;
    }
}
