use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, pending};
use tokio::time::{Instant, sleep_until};

use super::{Director, SENDER, Sender, State};
use crate::{
    delivery::{Delivery, Published},
    message::Addressed,
    stage::{Asked, Fate, Made, OnItsWay, Verdict, Watch},
    testing::{
        clock::TimerId,
        ground::of_no_test,
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
        if self.lock().clock.real {
            return Box::pin(async move {
                let director = waiting.0.clone();
                sleep_until(id.at()).await;
                // something goes on before the wait is over
                let goes_on = director.go_on();
                drop(waiting);
                Box::new(goes_on) as Box<dyn Send>
            });
        }
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
        self.change(|state| state.has_come(delivery));
        self.note_lane(delivery, order, value);
    }

    fn settled(&self, delivery: &Delivery, handler: &'static str, verdict: Verdict<'_>) {
        let failure = verdict.failure;
        self.change(|state| {
            let at_work = state.take(delivery);
            state.has_end(delivery, verdict.outcome);
            state.is_settled(delivery, &verdict);
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
            state.note_sent(sent);
        });
    }

    fn waits(&self, waiting: &str, queue: &str) {
        self.change(|state| {
            state.waits.insert(waiting.to_owned(), queue.to_owned());
        });
    }

    fn has_made(&self, what: Made<'_>) -> bool {
        self.knows_of(what)
    }

    fn makes(&self, what: Made<'_>) {
        self.note_made(what);
    }

    fn refuses(&self, what: Made<'_>) -> String {
        let refusal = of_no_test(what, "");
        self.note_refusal(refusal.clone());
        refusal
    }

    fn sending(&self, message: &Addressed) -> Box<dyn OnItsWay> {
        self.note_sending(message)
    }
}

impl State {
    /// A message is sent by whoever runs at the moment.
    pub(super) fn note_sent(&mut self, sent: Sent) {
        match SENDER.try_with(|sender| *sender).ok() {
            Some(Sender::Test) => self.note(What::Put(sent)),
            Some(Sender::Handler(number)) => match self.at_work.get_mut(&number) {
                Some(at_work) => at_work.sent.push(sent),
                // by a task of its own that outlived it
                None => self.note(What::Sent(sent)),
            },
            None => self.note(What::Sent(sent)),
        }
    }
}

/// The name of a queue of delayed messages tells for how long they wait.
pub(super) fn delay_of(waiting: &str, queue: &str) -> Option<Duration> {
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
