use std::collections::BTreeSet;

use tracing::warn;

use super::{
    Foreign,
    names::{Names, of_no_test},
};
use crate::{
    message::Message,
    publisher::{BrokerUrl, Destination, Publisher},
    rabbit::{RabbitGround, RabbitLooker, RabbitUrl},
    stage::Made,
    testing::run::count,
};

/// Who has it may use the virtual host. It goes with its connection.
const TURN: &str = "ploomby.testing.turn";

/// What tests have made and not removed yet, for the one after a test that was killed.
const MADE: &str = "ploomby.testing.made";

/// Another test may have the virtual host by then, and queues of the same names.
const LOST: &str = "the connection by which it was this test's turn on the virtual host was lost";

/// Keeps a broker as it was.
pub(super) struct Keeper {
    url: RabbitUrl,
    ground: RabbitGround,
    looker: RabbitLooker,
    made: Names,
    /// It was this test's turn when that was last looked at.
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
                return Err(of_no_test(Made::Queue(queue), &with));
            }
        }
        for exchange in &names.exchanges {
            if self.ground.has_exchange(exchange).await.map_err(told)? {
                return Err(of_no_test(Made::Exchange(exchange), ""));
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
        self.keep_turn().await?;
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

    /// What is about to be made beside what was known at the start.
    pub(super) async fn write_down_others(&mut self, names: Names) {
        if let Err(error) = self.write_down(names).await {
            warn!(error, "what a test makes is not written down");
        }
    }

    /// What was made at last.
    pub(super) fn knows_of(&mut self, names: Names) {
        self.made.extend(names);
    }

    /// Removes all that the test has made, and lets the next one have its turn.
    pub(super) async fn clean_up(mut self) {
        if self.has_turn && !self.made.is_empty() {
            if let Err(error) = self.remove_made().await {
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
        let names = names.without(&self.made);
        if names.is_empty() {
            return Ok(());
        }
        let text = names.lines();
        self.made.extend(names);
        let no_wiring = crate::topology::Wiring::default();
        let declared = self.ground.declare(MADE, &[], &no_wiring).await;
        declared.map_err(told)?;
        let destination = Destination::new(BrokerUrl::Rabbit(self.url.clone()), "testing");
        let publisher = Publisher::to_destination(destination).await.map_err(told)?;
        let written = publisher.publish(MADE, Message::new(text)).await;
        publisher.close().await;
        written.map_err(told)
    }

    async fn remove_leftovers(&mut self) -> Result<(), String> {
        let written = self.messages(MADE.to_owned()).await?;
        if written.is_empty() {
            return Ok(());
        }
        let mut left = Names::default();
        for message in &written {
            left.read(&String::from_utf8_lossy(message.body()));
        }
        self.delete(&left).await
    }

    async fn remove_made(&mut self) -> Result<(), String> {
        self.keep_turn().await?;
        self.delete(&self.made).await
    }

    /// A turn goes with its connection, and the next connection has to take it again.
    async fn keep_turn(&mut self) -> Result<(), String> {
        match self.take_turn().await? {
            true => Ok(()),
            false => Err(LOST.to_owned()),
        }
    }

    /// Deletes what is written down last, and only if all else is gone: the next test tries again by it.
    async fn delete(&self, names: &Names) -> Result<(), String> {
        let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>();
        let (queues, exchanges) = (list(&names.queues), list(&names.exchanges));
        let deleted = self.ground.delete(&queues, &exchanges).await;
        deleted.map_err(told)?;
        let deleted = self.ground.delete(&[MADE.to_owned()], &[]).await;
        deleted.map_err(told)
    }
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
