use std::time::{Duration, Instant};

use super::Dispatcher;
use crate::{
    brake::Judged,
    delivery::{Delivery, Life},
    settle::{Decision, Foreseen, Trying},
};

/// A message whose handler ran, and that nobody settles.
#[derive(Debug)]
pub(crate) struct Rehearsed {
    /// None where there is no handler for it.
    pub(crate) handler: Option<&'static str>,
    /// What would become of it; None where it would wait for its handler to have what it needs.
    pub(crate) foreseen: Option<Foreseen>,
    /// Why it would wait.
    pub(crate) unavailable: Option<String>,
    pub(crate) took: Duration,
}

impl Dispatcher {
    /// Runs the handler of a message, with its layers and within its time, and settles nothing.
    pub(crate) async fn rehearse(&self, mut delivery: Delivery) -> Rehearsed {
        delivery.set_source(&self.queue.source);
        let begun = Instant::now();
        let (route, decision) = match self.queue.admit(&delivery) {
            Err(decision) => (None, decision),
            Ok(route) => {
                let delivery = match route.is_batch() {
                    true => delivery.living(Life::new(|| false)),
                    false => delivery.clone(),
                };
                (Some(route), self.run(route, delivery).await)
            }
        };
        let took = begun.elapsed();
        let mut rehearsed = Rehearsed {
            handler: route.map(|route| route.name),
            foreseen: None,
            unavailable: None,
            took,
        };
        let Decision::Result(result) = decision else {
            return rehearsed;
        };
        if let Some(route) = route {
            if route.brake.judge(None, &result, &delivery) == Judged::Unavailable {
                let failure = result.as_ref().err();
                rehearsed.unavailable = failure.map(|failure| failure.text.clone());
                return rehearsed;
            }
        }
        let unruled = Trying::default();
        let trying = route.map_or(&unruled, |route| &*route.trying);
        let settling = &self.queue.settling;
        rehearsed.foreseen = Some(settling.foresee(&delivery, result, trying));
        rehearsed
    }
}
