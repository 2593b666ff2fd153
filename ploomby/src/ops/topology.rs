//! The queues that a program declares, and those that are left of earlier builds.

use serde::{Serialize, Serializer};
use serde_json::Map;

use super::{Ops, OpsError, Program, check::leftover_queues, transfer::typed};
use crate::{
    app::Queue,
    consumer::{
        Declare,
        companions::{Declared, Purpose},
    },
    message::Value,
};

/// A queue that a program declares when it starts. In JSON its form has version 1.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Declaration {
    /// The version of this form.
    pub v: u32,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: QueuePurpose,
    /// The queue that it is for; its own name, where it is consumed.
    pub queue: String,
    /// Whether the program declares it, if it is missing: not where it says [`Declare::Never`].
    pub is_declared: bool,
    /// Its arguments. It is durable.
    #[serde(serialize_with = "arguments_as_json")]
    pub arguments: Vec<(String, Value)>,
}

/// What a queue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QueuePurpose {
    /// Its messages are handled.
    Consumed,
    /// It keeps what cannot be handled.
    DeadLetters,
    /// Messages wait in it for another attempt.
    Retry,
}

/// A queue in which messages of another waited, and that no policy of the program uses. In JSON its form has version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Leftover {
    /// The version of this form.
    pub v: u32,
    /// Its name.
    pub name: String,
    /// How many messages are there.
    pub messages: usize,
    /// Whether it was deleted just now.
    pub is_deleted: bool,
}

impl Program {
    /// The queues that it declares when it starts, in their order. Two more that a message which ends the process needs,
    /// `<queue>_suspects` and `<queue>_crashes`, are declared when there is one.
    pub fn topology(&self) -> Vec<Declaration> {
        self.set_up
            .iter()
            .flat_map(|queue| self.of_queue(queue))
            .collect()
    }

    /// The queues in which messages of a queue wait for another attempt.
    pub(super) fn waiting_queues(&self, queue: &str) -> Vec<Declared> {
        let declared = self.set_up(queue).and_then(|set_up| {
            let companions = set_up.options.companions(queue).ok()?;
            let info = self.queue(queue).ok()?;
            Some(companions.declared(&info.retries))
        });
        let mut declared = declared.unwrap_or_default();
        declared.retain(|queue| queue.purpose == Purpose::Waiting);
        declared
    }

    fn of_queue(&self, queue: &Queue) -> Vec<Declaration> {
        let Ok(companions) = queue.options.companions(&queue.name) else {
            return Vec::new();
        };
        let declare = queue.options.declare.unwrap_or_default();
        let declaration = |name: &str, purpose, arguments: Vec<_>| Declaration {
            v: 1,
            name: name.to_owned(),
            purpose,
            queue: queue.name.clone(),
            is_declared: declare != Declare::Never,
            arguments,
        };
        let arguments = companions.queue_arguments(&queue.options.arguments);
        let mut all = vec![declaration(&queue.name, QueuePurpose::Consumed, arguments)];
        let kept = companions.dead_letters.clone().into_iter();
        all.extend(
            kept.map(|kept| declaration(&kept.name, QueuePurpose::DeadLetters, kept.arguments)),
        );
        let waiting = self.waiting_queues(&queue.name).into_iter();
        all.extend(
            waiting
                .map(|waiting| declaration(&waiting.name, QueuePurpose::Retry, waiting.arguments)),
        );
        all
    }
}

impl Ops {
    /// Declares what the program would declare when it starts, exchanges and bindings with it, and gives the queues that were
    /// missing. What is there stays as it is.
    ///
    /// # Errors
    ///
    /// A broker that is not there or refuses; a dead-letter queue that might drop letters.
    pub async fn declare(&self) -> Result<Vec<Declaration>, OpsError> {
        let mut missing = Vec::new();
        for declaration in self.program.topology() {
            if declaration.is_declared && self.declare_one(&declaration).await? {
                missing.push(declaration);
            }
        }
        self.wire().await?;
        Ok(missing)
    }

    /// Whether it was missing.
    async fn declare_one(&self, declaration: &Declaration) -> Result<bool, OpsError> {
        let Declaration {
            name,
            purpose,
            queue,
            arguments,
            ..
        } = declaration;
        let declared = Declared {
            name: name.clone(),
            purpose: match purpose {
                QueuePurpose::DeadLetters => Purpose::DeadLetters,
                QueuePurpose::Consumed | QueuePurpose::Retry => Purpose::Waiting,
            },
            arguments: arguments.clone(),
        };
        let is_missing = self
            .source
            .depths(&[name])
            .await?
            .iter()
            .all(Option::is_none);
        let is_used_as_it_is = *purpose == QueuePurpose::Consumed && !is_missing;
        if !is_used_as_it_is {
            self.source.declare(queue, &declared).await?;
        }
        Ok(is_missing)
    }

    /// Queues of retries and delays that no policy of the program uses: of those with the usual delays, since RabbitMQ
    /// tells the names of queues by its management plugin alone. Those that are empty may be deleted; another build that uses
    /// them declares them again. RabbitMQ deletes no quorum queue on the condition that it is empty, so that such a queue
    /// stays, as those that ploomby declares. Those in which messages wait for what a handler needs or for a turn by its rate
    /// have some of the usual delays, too, and are not named: any handler may need them.
    ///
    /// # Errors
    ///
    /// A broker that is not there, or does not let the program look.
    pub async fn leftovers(&self, deletion: Deletion) -> Result<Vec<Leftover>, OpsError> {
        let mut leftovers = Vec::new();
        for info in &self.program.queues {
            for (name, messages) in leftover_queues(self, info).await? {
                let may_go = deletion == Deletion::IfEmpty && messages == 0;
                let is_deleted = may_go && self.source.delete_empty(&name).await?;
                leftovers.push(Leftover {
                    v: 1,
                    name,
                    messages,
                    is_deleted,
                });
            }
        }
        Ok(leftovers)
    }
}

/// What becomes of queues that are left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deletion {
    /// They stay.
    #[default]
    Never,
    /// Those without messages and consumers are deleted.
    IfEmpty,
}

pub(super) fn arguments_as_json<S: Serializer>(
    arguments: &[(String, Value)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let arguments = arguments
        .iter()
        .map(|(name, value)| (name.clone(), typed(value)));
    arguments.collect::<Map<_, _>>().serialize(serializer)
}
