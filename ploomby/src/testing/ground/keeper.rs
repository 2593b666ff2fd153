use std::collections::BTreeSet;

use tracing::warn;

use super::Foreign;
use crate::{
    message::Message,
    publisher::{BrokerUrl, Destination, Publisher},
    rabbit::{RabbitGround, RabbitLooker, RabbitUrl},
    testing::run::count,
};

/// Who has it may use the virtual host. It goes with its connection.
const TURN: &str = "ploomby.testing.turn";

/// What tests have made and not removed yet, for the one after a test that was killed.
const MADE: &str = "ploomby.testing.made";

/// What a test makes.
#[derive(Clone, Debug, Default)]
pub(in crate::testing) struct Names {
    pub(in crate::testing) queues: BTreeSet<String>,
    pub(in crate::testing) exchanges: BTreeSet<String>,
}

/// Keeps a broker as it was.
pub(super) struct Keeper {
    url: RabbitUrl,
    ground: RabbitGround,
    looker: RabbitLooker,
    made: Names,
    has_turn: bool,
}

impl Keeper {
    /// Nothing is connected yet.
    pub(super) fn new(url: RabbitUrl) -> Self {
        Self {
            ground: RabbitGround::new(url.clone()),
            looker: RabbitLooker::new(url.clone()),
            url,
            made: Names::default(),
            has_turn: false,
        }
    }

    /// Whether it is this test's turn now.
    pub(super) async fn take_turn(&mut self) -> Result<bool, String> {
        let taken = self.ground.take_exclusive(TURN).await;
        self.has_turn = taken.map_err(told)?;
        Ok(self.has_turn)
    }

    /// Removes what a test left that was killed, and makes the queues of other programs. What somebody else has made is
    /// touched by no test.
    pub(super) async fn prepare(
        &mut self,
        names: Names,
        foreign: Vec<Foreign>,
    ) -> Result<(), String> {
        self.remove_leftovers().await?;
        let queues: Vec<_> = names.queues.iter().cloned().collect();
        let ready = self.ready(queues.clone()).await?;
        for (queue, ready) in queues.iter().zip(ready) {
            if let Some(ready) = ready {
                let ready = usize::try_from(ready).unwrap_or(usize::MAX);
                let with = format!(", with {}", count(ready, "message"));
                return Err(refused("queue", queue, &with));
            }
        }
        for exchange in &names.exchanges {
            if self.ground.has_exchange(exchange).await.map_err(told)? {
                return Err(refused("exchange", exchange, ""));
            }
        }
        self.write_down(names).await?;
        for queue in foreign {
            let Foreign {
                name,
                arguments,
                wiring,
            } = &queue;
            let declared = self.ground.declare(name, arguments, wiring).await;
            declared.map_err(|error| format!("queue `{name}` of another program: {error}"))?;
        }
        Ok(())
    }

    pub(super) async fn ready(&mut self, queues: Vec<String>) -> Result<Vec<Option<u32>>, String> {
        self.ground.ready(&queues).await.map_err(told)
    }

    /// What is in a queue, in its order.
    pub(super) async fn messages(&mut self, queue: String) -> Result<Vec<Message>, String> {
        let Some((mut look, _)) = self.looker.look(&queue).await.map_err(told)? else {
            return Ok(Vec::new());
        };
        let mut messages = Vec::new();
        while let Some((_, message)) = look.next(&self.looker).await.map_err(told)? {
            messages.push(message);
        }
        look.give_back(&self.looker).await.map_err(told)?;
        Ok(messages)
    }

    /// A queue that is about to be made beside those that were known at the start.
    pub(super) async fn write_down_another(&mut self, queue: String) {
        let queues = BTreeSet::from([queue]);
        let names = Names {
            queues,
            exchanges: BTreeSet::new(),
        };
        if let Err(error) = self.write_down(names).await {
            warn!(error, "a queue of a test is not written down");
        }
    }

    /// A queue that was made at last.
    pub(super) fn knows_of(&mut self, queue: String) {
        self.made.queues.insert(queue);
    }

    /// Removes all that the test has made, and lets the next one have its turn.
    pub(super) async fn clean_up(mut self) {
        if self.has_turn {
            self.made.queues.insert(MADE.to_owned());
            if let Err(error) = self.delete(&self.made).await {
                warn!(
                    error,
                    "not all that a test has made was removed: the next test will"
                );
            }
        }
        self.looker.close().await;
        // and with it the turn
        self.ground.close().await;
    }

    /// Writes down what is about to be made.
    async fn write_down(&mut self, names: Names) -> Result<(), String> {
        let new = |known: &BTreeSet<String>, name: &&String| !known.contains(*name);
        let queues = names
            .queues
            .iter()
            .filter(|name| new(&self.made.queues, name));
        let exchanges = names.exchanges.iter();
        let exchanges = exchanges.filter(|name| new(&self.made.exchanges, name));
        let lines = queues.map(|name| format!("queue {name}"));
        let lines = lines.chain(exchanges.map(|name| format!("exchange {name}")));
        let text = lines.collect::<Vec<_>>().join("\n");
        if text.is_empty() {
            return Ok(());
        }
        let no_wiring = crate::topology::Wiring::default();
        let declared = self.ground.declare(MADE, &[], &no_wiring).await;
        declared.map_err(told)?;
        let destination = Destination::new(BrokerUrl::Rabbit(self.url.clone()), "testing");
        let publisher = Publisher::to_destination(destination).await.map_err(told)?;
        let written = publisher.publish(MADE, Message::new(text)).await;
        publisher.close().await;
        written.map_err(told)?;
        self.made.queues.extend(names.queues);
        self.made.exchanges.extend(names.exchanges);
        Ok(())
    }

    async fn remove_leftovers(&mut self) -> Result<(), String> {
        let written = self.messages(MADE.to_owned()).await?;
        if written.is_empty() {
            return Ok(());
        }
        let mut left = Names::default();
        for message in &written {
            for line in String::from_utf8_lossy(message.body()).lines() {
                match line.split_once(' ') {
                    Some(("queue", name)) => left.queues.insert(name.to_owned()),
                    Some(("exchange", name)) => left.exchanges.insert(name.to_owned()),
                    _ => continue,
                };
            }
        }
        left.queues.insert(MADE.to_owned());
        self.delete(&left).await
    }

    async fn delete(&self, names: &Names) -> Result<(), String> {
        // what is written down goes last
        let mut queues: Vec<_> = names.queues.iter().cloned().collect();
        queues.sort_by_key(|name| name == MADE);
        let exchanges: Vec<_> = names.exchanges.iter().cloned().collect();
        let deleted = self.ground.delete(&queues, &exchanges).await;
        deleted.map_err(told)
    }
}

fn refused(what: &str, name: &str, with: &str) -> String {
    format!(
        "{what} `{name}` is on the broker already{with}, and no test has made it. A test does not touch what is not its own: \
         delete it if it means nothing, or give the tests a virtual host of their own, as `rabbitmqctl add_vhost` makes it"
    )
}

fn told(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
