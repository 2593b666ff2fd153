use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, pending};
use tokio::time::Instant;

use super::{Director, SENDER, Sender};
use crate::{
    delivery::{Delivery, Published},
    stage::{Asked, Fate, Verdict, Watch},
    testing::{
        clock::TimerId,
        journal::{Handled, Sent, What},
    },
};

impl Watch for Director {
    fn now(&self) -> Instant {
        self.lock().clock.now()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, Box<dyn Send>> {
        let (id, over) = self.change(|state| state.clock.wait(time));
        let waiting = Waiting(self.clone(), id);
        Box::pin(async move {
            let _waiting = waiting;
            match over.await {
                Ok(goes_on) => Box::new(goes_on) as Box<dyn Send>,
                // the clock is gone, and never comes so far
                Err(_) => pending().await,
            }
        })
    }

    fn parked(&self) {
        self.change(|state| state.parked += 1);
    }

    fn unparked(&self) {
        self.change(|state| state.parked -= 1);
    }

    fn entered(&self) {
        self.change(|state| state.instances[self.instance].tasks += 1);
    }

    fn left(&self) {
        self.change(|state| state.instances[self.instance].tasks -= 1);
    }

    fn changed(&self) {
        self.change(|_| ());
    }

    fn came(&self) {
        self.change(|state| state.instances[self.instance].consumers += 1);
    }

    fn gone(&self) {
        self.change(|state| state.instances[self.instance].consumers -= 1);
    }

    fn goes_on(&self) -> Box<dyn Send> {
        Box::new(self.go_on())
    }

    fn fate(&self, asked: Asked, queue: &str) -> Fate {
        self.decide(asked, queue)
    }

    fn lined_up(&self, delivery: &Delivery, order: usize, value: Option<&[u8]>) {
        self.note_lane(delivery, order, value);
    }

    fn settled(&self, delivery: &Delivery, handler: &'static str, verdict: Verdict<'_>) {
        let failure = verdict.failure;
        self.change(|state| {
            let at_work = state.take(delivery);
            state.has_end(delivery, verdict.outcome);
            state.note(What::Handled(Handled {
                queue: delivery.queue().to_owned(),
                key: delivery.key().map(|key| key.into_owned()),
                handler,
                message_id: delivery.properties().message_id().map(str::to_owned),
                attempt: delivery.attempt(),
                is_redelivered: delivery.is_redelivered(),
                outcome: verdict.outcome,
                after: verdict.after,
                failure: failure.map(|failure| (failure.reason, failure.text.clone())),
                sent: at_work.map_or_else(Vec::new, |at_work| at_work.sent),
            }));
        });
    }

    fn sent(&self, published: &Published, queues: &[Arc<str>]) {
        let sender = SENDER.try_with(|sender| *sender).ok();
        self.change(|state| {
            let mut delay = None;
            let queues = queues.iter().map(|queue| {
                let Some(target) = state.waits.get(&**queue) else {
                    return String::from(&**queue);
                };
                delay = delay_of(queue, target);
                target.clone()
            });
            let sent = Sent {
                queues: queues.collect(),
                delay,
                exchange: published.exchange.clone(),
                routing_key: published.routing_key.clone(),
                message: published.message.clone(),
            };
            state.is_owed(&sent);
            match sender {
                Some(Sender::Test) => state.note(What::Put(sent)),
                Some(Sender::Handler(number)) => match state.at_work.get_mut(&number) {
                    Some(at_work) => at_work.sent.push(sent),
                    // by a task of its own that outlived it
                    None => state.note(What::Sent(sent)),
                },
                None => state.note(What::Sent(sent)),
            }
        });
    }

    fn waits(&self, waiting: &str, queue: &str) {
        self.change(|state| {
            state.waits.insert(waiting.to_owned(), queue.to_owned());
        });
    }
}

/// The name of a queue of delayed messages tells for how long they wait.
fn delay_of(waiting: &str, queue: &str) -> Option<Duration> {
    let name = waiting.strip_prefix(queue)?.strip_prefix("_delay_")?;
    let millis = name.strip_suffix("ms")?.parse().ok()?;
    Some(Duration::from_millis(millis))
}

/// Waits for the clock until it is dropped.
struct Waiting(Director, TimerId);

impl Drop for Waiting {
    fn drop(&mut self) {
        let Self(director, id) = self;
        director.change(|state| state.clock.forget(*id));
    }
}
