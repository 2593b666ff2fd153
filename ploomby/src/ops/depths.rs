use serde::Serialize;

use super::{Ops, OpsError};

/// How much there is in a queue of the program, and beside it. In JSON its form has version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueDepths {
    /// The version of this form.
    pub v: u32,
    /// The name.
    pub queue: String,
    /// How many messages wait to be delivered; None where the queue is not there.
    pub ready: Option<usize>,
    /// How many consumers it has, in all programs.
    pub consumers: usize,
    /// How many messages wait for another attempt, by how long they wait: where there are any.
    pub waiting: Vec<Waiting>,
    /// The dead-letter queue; None where the broker keeps dead letters.
    pub dead_letters: Option<String>,
    /// How many letters are there.
    pub dead: usize,
}

/// Messages that wait in a queue of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Waiting {
    /// How long each of them waits, in milliseconds.
    pub delay_ms: u128,
    /// How many there are.
    pub messages: usize,
}

impl Ops {
    /// How much there is in each queue of the program. It asks with passive declarations, which need no plugin.
    ///
    /// # Errors
    ///
    /// A broker that is not there, or does not let the program look.
    pub async fn depths(&self) -> Result<Vec<QueueDepths>, OpsError> {
        let mut all = Vec::new();
        for queue in &self.program.queues {
            let waiting = queue.waiting.iter().map(|(name, _)| name.as_str());
            let dead = queue.dead_letters.as_deref();
            let names: Vec<_> = [queue.name.as_str()]
                .into_iter()
                .chain(dead)
                .chain(waiting)
                .collect();
            let mut depths = self.source.depths(&names).await?.into_iter();
            let own = depths.next().flatten();
            let dead = dead.and_then(|_| depths.next().flatten());
            let waiting = queue.waiting.iter().zip(depths);
            let waiting = waiting.filter_map(|((_, delay_ms), depth)| {
                let messages = depth?.ready;
                (messages > 0).then_some(Waiting {
                    delay_ms: *delay_ms,
                    messages,
                })
            });
            all.push(QueueDepths {
                v: 1,
                queue: queue.name.clone(),
                ready: own.map(|depth| depth.ready),
                consumers: own.map_or(0, |depth| depth.consumers),
                waiting: waiting.collect(),
                dead_letters: queue.dead_letters.clone(),
                dead: dead.map_or(0, |depth| depth.ready),
            });
        }
        Ok(all)
    }
}
