use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use thiserror::Error;
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use tracing::warn;

use crate::{
    delivery,
    message::{Addressed, Message, Routing},
    rabbit::{
        line::{LazyLine, LineConnection},
        publisher::{CONFIRM_TIMEOUT, RabbitPublishError},
        url::RabbitUrl,
    },
};

/// Sends replies, each once, over a connection of their own: who may ask says where a reply goes, and what the
/// broker makes of that must not reach the copies of messages, nor their acknowledgements.
#[derive(Debug)]
pub(in crate::rabbit) struct ReplySender {
    known: LazyLine,
    /// For addresses of direct reply-to that may end the connection.
    strangers: LazyLine,
    /// Only one stranger at a time: it ends nothing but its own reply.
    turn: AsyncMutex<()>,
    trouble: Mutex<Trouble>,
}

/// Exchange and routing key.
type Address = (String, String);

/// What is not tried for a while.
#[derive(Debug, Default)]
struct Trouble {
    /// Addresses whose use ended a channel, or was not answered as others were.
    shunned: HashMap<Address, Instant>,
    /// The broker does not answer.
    silent: Option<Silence>,
    /// When it did, last.
    answered: Option<Instant>,
    /// The nodes of the broker whose clients were replied to.
    nodes: HashSet<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
struct Silence {
    pause: Duration,
    until: Instant,
}

/// Why a reply is not known to have been sent.
#[derive(Debug, Error)]
pub(in crate::rabbit) enum ReplyError {
    #[error(transparent)]
    Publish(#[from] RabbitPublishError),
    #[error("its address made trouble a moment ago, and is not tried again for now")]
    Shunned,
    #[error("the broker did not take replies a moment ago")]
    Silent,
}

/// How long an address is left alone that made trouble.
const SHUN: Duration = Duration::from_secs(60);

/// How many are remembered.
const MOST_SHUNNED: usize = 1024;

/// How many nodes are remembered. A cluster has a few.
const MOST_NODES: usize = 256;

/// How long no reply is tried after one that the broker did not take in time, and up to this long.
const SILENCE: Duration = Duration::from_secs(1);
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

impl ReplySender {
    /// The connection is opened by the first reply.
    pub(in crate::rabbit) fn new(url: RabbitUrl) -> Self {
        Self {
            known: line(url.clone(), "replies"),
            strangers: line(url, "replies to strangers"),
            turn: AsyncMutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// Sends a reply, and waits until the broker has it.
    ///
    /// # Errors
    ///
    /// It may not have it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the address counts as one that is not answered, and so does the broker if it has
    /// answered nobody else meanwhile: no reply is tried for a moment then.
    pub(in crate::rabbit) async fn send(
        &self,
        exchange: &str,
        routing_key: &str,
        reply: Message,
    ) -> Result<(), ReplyError> {
        let address = (exchange.to_owned(), routing_key.to_owned());
        self.trouble().allow(&address)?;
        let is_direct = exchange.is_empty() && delivery::is_well_formed(routing_key);
        let node = match is_direct {
            true => delivery::node_of_address(routing_key),
            false => None,
        };
        let is_stranger = |trouble: &Trouble| is_direct && !trouble.knows(node.as_ref());
        let may_be_one = is_stranger(&self.trouble());
        let turn = match may_be_one {
            true => Some(self.turn.lock().await),
            false => None,
        };
        // one before it may have told more
        self.trouble().allow(&address)?;
        let is_stranger = turn.is_some() && is_stranger(&self.trouble());
        let mut patience = Patience {
            sender: self,
            address: &address,
            since: Instant::now(),
            is_rewarded: false,
        };
        let addressed = Addressed {
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            // what is no queue would always come back
            routing: match is_direct {
                true => Routing::Optional,
                false => Routing::Mandatory,
            },
            message: reply,
        };
        // who waits gives up long before the timeout
        let line = match is_stranger {
            true => self.strangers.get(),
            false => self.known.get(),
        };
        let sent = line.publish_copy(addressed, CONFIRM_TIMEOUT).await;
        if is_stranger {
            match &sent {
                Ok(()) => self.trouble().know(node),
                // it was alone
                Err(RabbitPublishError::Lost(_)) => self.trouble().shun(address.clone()),
                Err(_) => {}
            }
        }
        match &sent {
            Ok(())
            | Err(
                RabbitPublishError::Unroutable(_)
                | RabbitPublishError::Unbound { .. }
                | RabbitPublishError::Refused,
            ) => {
                patience.reward();
            }
            // through an exchange that is not there, or larger than the broker takes
            Err(RabbitPublishError::Rejected(reason)) => {
                patience.reward();
                if !is_direct {
                    warn!(
                        exchange,
                        routing_key, reason, "an address is left alone for {SHUN:?}"
                    );
                    self.trouble().shun(address.clone());
                }
            }
            // an end that came by itself is not the address's fault, as far as one can tell
            Err(RabbitPublishError::Lost(_)) => patience.is_rewarded = true,
            Err(_) => {}
        }
        Ok(sent?)
    }

    pub(in crate::rabbit) async fn close(&self) {
        self.known.close().await;
        self.strangers.close().await;
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line with a connection of its own.
fn line(url: RabbitUrl, purpose: &'static str) -> LazyLine {
    LazyLine::new(Arc::new(LineConnection::new(url, purpose)))
}

impl Trouble {
    /// Whether a client of the node was replied to.
    fn knows(&self, node: Option<&Vec<u8>>) -> bool {
        node.is_some_and(|node| self.nodes.contains(node))
    }

    fn know(&mut self, node: Option<Vec<u8>>) {
        if self.nodes.len() < MOST_NODES {
            self.nodes.extend(node);
        }
    }

    fn allow(&mut self, address: &Address) -> Result<(), ReplyError> {
        let now = Instant::now();
        if self.shunned.get(address).is_some_and(|until| now < *until) {
            return Err(ReplyError::Shunned);
        }
        if self.silent.is_some_and(|silent| now < silent.until) {
            return Err(ReplyError::Silent);
        }
        Ok(())
    }

    fn shun(&mut self, address: Address) {
        let now = Instant::now();
        self.shunned.retain(|_, until| now < *until);
        if self.shunned.len() < MOST_SHUNNED {
            self.shunned.insert(address, now + SHUN);
        }
    }

    /// An address was not answered in time since then.
    fn overdue(&mut self, address: &Address, since: Instant) {
        match self.answered {
            Some(answered) if answered >= since => self.shun(address.clone()),
            _ => self.be_silent(),
        }
    }

    /// Many that the broker did not answer at the same time are one silence.
    fn be_silent(&mut self) {
        let now = Instant::now();
        let pause = match self.silent {
            None => SILENCE,
            Some(Silence { until, .. }) if now < until => return,
            Some(Silence { pause, .. }) => (pause * 2).min(LONGEST_SILENCE),
        };
        self.silent = Some(Silence {
            pause,
            until: now + pause,
        });
    }
}

/// Notes that the broker did not answer, unless it did.
struct Patience<'a> {
    sender: &'a ReplySender,
    address: &'a Address,
    since: Instant,
    is_rewarded: bool,
}

impl Patience<'_> {
    fn reward(&mut self) {
        self.is_rewarded = true;
        let mut trouble = self.sender.trouble();
        trouble.silent = None;
        trouble.answered = Some(Instant::now());
    }
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if !self.is_rewarded {
            self.sender.trouble().overdue(self.address, self.since);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn address(queue: &str) -> Address {
        (String::new(), queue.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_made_trouble_is_left_alone_for_a_while_and_no_other() {
        let mut trouble = Trouble::default();
        trouble.shun(address("bad"));
        assert!(matches!(
            trouble.allow(&address("bad")),
            Err(ReplyError::Shunned)
        ));
        assert!(trouble.allow(&address("good")).is_ok());
        advance(SHUN).await;
        assert!(trouble.allow(&address("bad")).is_ok());
        for number in 0..2 * MOST_SHUNNED {
            trouble.shun(address(&number.to_string()));
        }
        assert_eq!(trouble.shunned.len(), MOST_SHUNNED);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_not_answered_silences_no_other_while_those_are() {
        let mut trouble = Trouble::default();
        let since = Instant::now();
        trouble.answered = Some(since);
        trouble.overdue(&address("slow"), since);
        assert!(matches!(
            trouble.allow(&address("slow")),
            Err(ReplyError::Shunned)
        ));
        assert!(trouble.allow(&address("good")).is_ok());
        advance(Duration::from_millis(1)).await;
        trouble.overdue(&address("slow"), Instant::now());
        assert!(matches!(
            trouble.allow(&address("good")),
            Err(ReplyError::Silent)
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_answer_is_asked_at_growing_pauses() {
        let mut trouble = Trouble::default();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            for _ in 0..10 {
                trouble.be_silent();
                assert!(matches!(
                    trouble.allow(&address("q")),
                    Err(ReplyError::Silent)
                ));
            }
            advance(Duration::from_secs(seconds)).await;
            assert!(trouble.allow(&address("q")).is_ok());
        }
    }
}
