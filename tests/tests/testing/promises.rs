//! What ploomby itself promises of each message, whatever goes wrong. `scripts/mutants` breaks each of these promises in a
//! copy of the library, and looks that it is found here or in `simulation`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use ploomby::{
    DeadLetters, HandlerRegistry, Outcome, Publisher, Queue, Retry, Unavailable,
    dedup::{Dedup, MemoryDedup},
    extract::{Attempt, Batch, State},
    testing::{Fault, Simulation, TestApp, TestRunning, simulate},
};
use tokio::task::yield_now;

const HOUR: Duration = Duration::from_secs(60 * 60);

const SEEDS: std::ops::Range<u64> = 0..150;

const IDS: std::ops::Range<u64> = 0..4;

/// What was done, and how often.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<(&'static str, u64), u32>>>);

impl Seen {
    /// Says how often it was done by now.
    fn note(&self, what: &'static str, id: u64) -> u32 {
        let mut seen = self.0.lock().unwrap();
        let times = seen.entry((what, id)).or_default();
        *times += 1;
        *times
    }

    fn times(&self, what: &'static str, id: u64) -> u32 {
        let seen = self.0.lock().unwrap();
        seen.get(&(what, id)).copied().unwrap_or_default()
    }

    /// Each was done at least so often.
    #[track_caller]
    fn assert_all(&self, what: &'static str, ids: impl IntoIterator<Item = u64>, least: u32) {
        for id in ids {
            let times = self.times(what, id);
            assert!(times >= least, "{what} {id}: {times} times");
        }
    }
}

async fn start(handlers: HandlerRegistry, queue: Queue, seen: &Seen) -> TestRunning {
    TestApp::with(handlers)
        .state(seen.clone())
        .queue(queue)
        .foreign_queue(Queue::new("elsewhere"))
        .start()
        .await
}

/// Puts all messages under this key, and runs them.
async fn run_all(app: &TestRunning, key: &str) {
    for id in IDS {
        app.put("q", key, &id).await;
    }
    app.run().await;
}

#[test]
fn what_a_handler_has_sent_arrives() {
    let order = async |id: u64, publisher: Publisher| {
        publisher.send("q", "tell", &id).await?;
        let counts = ["count", "count"].map(|key| publisher.to("q").key(key).payload(&id));
        publisher.send_all(counts).await?;
        let reminder = publisher.to("q").key("remind").payload(&id);
        reminder.delay(HOUR).send().await?;
        anyhow::Ok(())
    };
    let tell = async |id: u64, State(seen): State<Seen>| _ = seen.note("told", id);
    let count = async |id: u64, State(seen): State<Seen>| _ = seen.note("counted", id);
    let remind = async |id: u64, State(seen): State<Seen>| _ = seen.note("reminded", id);
    simulate(SEEDS, async || {
        let seen = Seen::default();
        let handlers = HandlerRegistry::new().register("order", order);
        let handlers = handlers.register("tell", tell).register("remind", remind);
        let handlers = handlers.register("count", count);
        let queue = Queue::new("q").retry(Retry::fixed(10, HOUR));
        let app = start(handlers, queue, &seen).await;
        run_all(&app, "order").await;
        seen.assert_all("told", IDS, 1);
        seen.assert_all("counted", IDS, 2);
        seen.assert_all("reminded", IDS, 1);
    });
}

#[test]
fn a_message_is_tried_as_often_as_its_policy_says_and_then_kept() {
    let fail = async |id: u64, Attempt(attempt): Attempt, State(seen): State<Seen>| {
        seen.note(["", "first", "second", "third"][attempt as usize], id);
        anyhow::Result::<()>::Err(anyhow::anyhow!("no"))
    };
    simulate(SEEDS, async || {
        let seen = Seen::default();
        let handlers = HandlerRegistry::new().register("fail", fail);
        let queue = Queue::new("q").retry(Retry::fixed(3, HOUR));
        let app = start(handlers, queue, &seen).await;
        run_all(&app, "fail").await;
        for attempt in ["first", "second", "third"] {
            seen.assert_all(attempt, IDS, 1);
        }
        let kept = app.dead_letters("q").payloads::<u64>();
        assert!(IDS.into_iter().all(|id| kept.contains(&id)), "{kept:?}");
    });
}

#[test]
fn what_a_handler_gives_back_comes_again() {
    let twice = async |id: u64, State(seen): State<Seen>| match seen.note("tried", id) {
        1 | 2 => Outcome::Requeue,
        _ => Outcome::Ack,
    };
    simulate(SEEDS, async || {
        let seen = Seen::default();
        let handlers = HandlerRegistry::new().register("twice", twice);
        let app = start(handlers, Queue::new("q"), &seen).await;
        run_all(&app, "twice").await;
        seen.assert_all("tried", IDS, 3);
    });
}

/// There is another handler, for which those that wait make room.
#[test]
fn what_waits_for_the_end_of_an_outage_is_handled_then() {
    let charge = async |id: u64, State(seen): State<Seen>| {
        if seen.note("asked", 0) <= 3 {
            return Err(Unavailable::msg("the bank is closed"));
        }
        seen.note("charged", id);
        Ok(())
    };
    simulate(SEEDS, async || {
        let seen = Seen::default();
        let handlers = HandlerRegistry::new().register("charge", charge);
        let handlers = handlers.register("other", async |_: u64| {});
        let app = start(handlers, Queue::new("q"), &seen).await;
        run_all(&app, "charge").await;
        seen.assert_all("charged", IDS, 1);
        app.dead_letters("q").none();
    });
}

#[test]
fn what_the_broker_dead_letters_is_kept() {
    simulate(SEEDS, async || {
        let fail = async |_: u64| anyhow::Result::<()>::Err(anyhow::anyhow!("no"));
        let handlers = HandlerRegistry::new().register("fail", fail);
        let queue = Queue::new("q")
            .dead_letters(DeadLetters::by_broker())
            .queue_argument("x-dead-letter-exchange", "")
            .queue_argument("x-dead-letter-routing-key", "elsewhere");
        let app = start(handlers, queue, &Seen::default()).await;
        run_all(&app, "fail").await;
        assert!(app.waiting("elsewhere") >= 4);
    });
}

#[test]
fn each_message_of_a_batch_has_its_own_end() {
    let store = async |numbers: Batch<u64>, State(seen): State<Seen>| {
        yield_now().await;
        for number in numbers {
            let id = *number;
            if id.is_multiple_of(2) {
                number.fail(anyhow::anyhow!("even"));
            } else {
                seen.note("stored", id);
            }
        }
    };
    simulate(SEEDS, async || {
        let seen = Seen::default();
        let handlers = HandlerRegistry::new().register("store", store);
        let queue = Queue::new("q").batch_size(3).batch_wait(HOUR);
        let app = start(handlers, queue, &seen).await;
        run_all(&app, "store").await;
        seen.assert_all("stored", [1, 3], 1);
        let kept = app.dead_letters("q").payloads::<u64>();
        assert!([0, 2].iter().all(|id| kept.contains(id)), "{kept:?}");
    });
}

/// Charges twice if it is asked to, and fails the first time for every other message.
async fn charge(id: u64, State(seen): State<Seen>) -> anyhow::Result<()> {
    let tried = seen.note("tried", id);
    yield_now().await;
    anyhow::ensure!(id.is_multiple_of(2) || tried > 1, "not yet");
    seen.note("charged", id);
    Ok(())
}

async fn charge_deduplicated() -> Seen {
    let seen = Seen::default();
    let handlers = HandlerRegistry::new().register("charge", charge);
    let queue = Queue::new("q")
        .retry(Retry::fixed(10, HOUR))
        .layer(Dedup::new(MemoryDedup::new()));
    let app = start(handlers, queue, &seen).await;
    run_all(&app, "charge").await;
    seen
}

#[test]
fn what_was_handled_before_is_not_handled_again() {
    let twice = Simulation::new().faults([Fault::Duplicate, Fault::Slow]);
    twice.run(SEEDS, async || {
        let seen = charge_deduplicated().await;
        for id in IDS {
            assert_eq!(seen.times("charged", id), 1, "{id}");
        }
    });
}

#[test]
fn what_was_not_handled_to_its_end_is_handled_again() {
    simulate(SEEDS, async || {
        charge_deduplicated().await.assert_all("charged", IDS, 1);
    });
}
