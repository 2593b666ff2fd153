use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{histogram::Histogram, numbers::SentMetrics};

/// Of how many destinations it is counted what was sent to them. A program may send to queues that others name.
const MOST: usize = 256;

/// In place of those beyond.
const OTHER: &str = "_other";

/// What is counted of the messages that a program sends.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Known>>);

/// By operation and destination.
type Known = HashMap<(&'static str, Box<str>), Arc<To>>;

/// What was sent to one destination, by what came of it: nothing, or the kind of its error.
#[derive(Default)]
struct To(Mutex<BTreeMap<Option<&'static str>, Arc<Histogram>>>);

impl Sent {
    /// A message is sent. `destination` is the exchange or, through the default exchange, the queue.
    pub(crate) fn begin(
        &self,
        operation: &'static str,
        exchange: &str,
        routing_key: &str,
    ) -> Sending {
        let destination = match exchange {
            "" => routing_key,
            exchange => exchange,
        };
        Sending {
            to: self.to(operation, destination),
            since: Instant::now(),
        }
    }

    fn to(&self, operation: &'static str, destination: &str) -> Arc<To> {
        let mut known = self.lock();
        let key = (operation, Box::from(destination));
        if let Some(to) = known.get(&key) {
            return to.clone();
        }
        let key = match known.len() < MOST {
            true => key,
            false => (operation, OTHER.into()),
        };
        known.entry(key).or_default().clone()
    }

    pub(super) fn numbers(&self) -> Vec<SentMetrics> {
        let known = self.lock();
        let mut numbers: Vec<_> = known
            .iter()
            .flat_map(|((operation, destination), to)| {
                let to = to.lock().clone();
                to.into_iter().map(move |(error, histogram)| SentMetrics {
                    operation,
                    destination: destination.to_string(),
                    error,
                    duration: histogram.now(),
                })
            })
            .collect();
        numbers.sort_by(|a, b| {
            let by = |sent: &SentMetrics| (sent.operation, sent.destination.clone(), sent.error);
            by(a).cmp(&by(b))
        });
        numbers
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl To {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<&'static str>, Arc<Histogram>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message on its way. One that its sender does not wait for any more is not counted.
pub(crate) struct Sending {
    to: Arc<To>,
    since: Instant,
}

impl Sending {
    /// The broker has it, or why not.
    pub(crate) fn end(self, error: impl FnOnce() -> Option<&'static str>) {
        let nanos = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let histogram = self.to.lock().entry(error()).or_default().clone();
        histogram.note(nanos);
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sent").field(&self.numbers()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_without_end_are_counted_together() {
        let sent = Sent::default();
        for number in 0..1_000 {
            sent.begin("send", "", &format!("queue_{number}"))
                .end(|| None);
        }
        let numbers = sent.numbers();
        assert_eq!(numbers.len(), MOST + 1);
        let other = numbers.iter().find(|sent| sent.destination() == OTHER);
        assert_eq!(other.expect("it is listed").count(), 1_000 - MOST as u64);
    }

    #[test]
    fn a_message_through_an_exchange_counts_for_the_exchange() {
        let sent = Sent::default();
        sent.begin("send", "events", "order.placed")
            .end(|| Some("unbound"));
        let numbers = sent.numbers();
        let [one] = &numbers[..] else {
            panic!("{numbers:?}");
        };
        assert_eq!(
            (one.destination(), one.error()),
            ("events", Some("unbound"))
        );
    }
}
