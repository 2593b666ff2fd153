//! Where a test runs: on its embedded broker, or on a RabbitMQ.

use std::{collections::HashSet, time::Duration};

use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    app::OwnBroker,
    director::Director,
    ground::{Foreign, Ground, Names},
};
use crate::{
    app::Queue,
    delivery::is_retry_queue,
    memory::MemoryBroker,
    message::Message,
    publisher::{BrokerUrl, Destination},
    rabbit::RabbitUrl,
    stage::given::Given,
    topology::{Exchange, Wiring},
};

#[derive(Debug)]
pub(super) enum Place {
    Embedded(OwnBroker),
    Rabbit(OnGround),
}

#[derive(Debug)]
pub(super) struct OnGround {
    pub(super) ground: Ground,
    /// With the stage of the test.
    pub(super) url: String,
    pub(super) _stage: Given,
    /// Knows what queues a message goes to.
    pub(super) _model: OwnBroker,
}

/// What an app has in the broker.
pub(super) struct Described<'a> {
    pub(super) queues: &'a [Queue],
    pub(super) foreign: &'a [Queue],
    pub(super) exchanges: &'a [Exchange],
    /// The queues whose messages stay until they are settled.
    pub(super) consumed: HashSet<String>,
    /// How long a run may take.
    pub(super) limit: Duration,
}

impl Place {
    /// Where the test sends to.
    pub(super) fn destination(&self) -> Destination {
        match self {
            Self::Embedded(broker) => Destination::Memory(broker.0.clone()),
            Self::Rabbit(on) => {
                let url = BrokerUrl::parse(&on.url).expect("the app has parsed it");
                Destination::new(url, "publisher")
            }
        }
    }

    /// What is ready in a queue; nothing if there is no such queue.
    #[track_caller]
    pub(super) fn messages(&self, queue: &str) -> Vec<Message> {
        match self {
            Self::Embedded(broker) => broker.0.ready(queue).unwrap_or_default(),
            Self::Rabbit(on) => match on.ground.messages_now(queue.to_owned()) {
                Ok(messages) => messages,
                Err(error) => panic!("queue `{queue}` cannot be looked at: {error}"),
            },
        }
    }

    /// How many messages are ready in a queue, or wait until they come to it; None if there is no such queue. `made` are the
    /// queues that the test has made on RabbitMQ.
    #[track_caller]
    pub(super) fn waiting(&self, queue: &str, made: Vec<String>) -> Option<usize> {
        let is_beside = |name: &str| {
            let as_retry = name.replacen("_delay_", "_retry_", 1);
            is_retry_queue(name, queue) || is_retry_queue(&as_retry, queue)
        };
        match self {
            Self::Embedded(broker) => {
                let ready = broker.0.ready(queue)?;
                let beside = broker.0.queue_names(is_beside);
                let beside = beside.iter().filter_map(|name| broker.0.ready(name));
                Some(ready.len() + beside.map(|messages| messages.len()).sum::<usize>())
            }
            Self::Rabbit(on) => {
                let beside = made.into_iter().filter(|name| is_beside(name));
                let queues = [queue.to_owned()].into_iter().chain(beside).collect();
                let ready = match on.ground.ready_now(queues) {
                    Ok(ready) => ready,
                    Err(error) => panic!("queue `{queue}` cannot be looked at: {error}"),
                };
                ready.first().copied().flatten()?;
                let sum: u32 = ready.into_iter().flatten().sum();
                Some(usize::try_from(sum).unwrap_or(usize::MAX))
            }
        }
    }
}

impl Described<'_> {
    /// Takes a RabbitMQ for a test of this app, once it is its turn.
    pub(super) async fn prepare(
        &self,
        model: &MemoryBroker,
        url: RabbitUrl,
        director: &Director,
        makes: UnboundedReceiver<Names>,
    ) -> Result<Ground, String> {
        let mut names = Names::default();
        let mut foreign = Vec::new();
        for queue in self.queues {
            self.note(queue, model, &mut names)?;
            let companions = queue.options.companions(&queue.name);
            let companions = companions.map_err(|error| error.to_string())?;
            let dead_letters = companions.dead_letters.map(|declared| declared.name);
            names.queues.extend(dead_letters);
        }
        for queue in self.foreign {
            let wiring = self.note(queue, model, &mut names)?;
            foreign.push(Foreign {
                name: queue.name.clone(),
                arguments: queue.options.arguments.clone(),
                wiring,
            });
        }
        director.is_to_make(names.clone());
        Ground::take(url, names, foreign, makes).await
    }

    /// Notes the names of a queue and its exchanges, and has the model know where their messages go.
    fn note(
        &self,
        queue: &Queue,
        model: &MemoryBroker,
        names: &mut Names,
    ) -> Result<Wiring, String> {
        let mut options = queue.options.clone();
        options.exchanges.extend_from_slice(self.exchanges);
        let wiring = options.wiring().map_err(|error| error.to_string())?;
        names.queues.insert(queue.name.clone());
        let made = wiring.exchanges().iter();
        let made =
            made.filter(|exchange| exchange.kind.is_some() && !exchange.name.starts_with("amq."));
        names
            .exchanges
            .extend(made.map(|exchange| exchange.name.clone()));
        let modelled = model.declare_queue(&queue.name, []);
        let modelled = modelled.and_then(|()| model.wire_queue(&queue.name, &wiring));
        modelled.map_err(|error| format!("queue `{}`: {error}", queue.name))?;
        Ok(wiring)
    }
}
