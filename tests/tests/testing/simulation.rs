//! Apps while things go wrong.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use ploomby::{
    HandlerRegistry, OrderBy, Publisher, Queue, Reply, Retry,
    extract::{Batch, State},
    testing::{Fault, Simulation, TestApp, TestRunning, simulate},
};
use serde::{Deserialize, Serialize};
use tokio::task::yield_now;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// What was charged, and how often.
#[derive(Clone, Default)]
struct Bank(Arc<Mutex<BTreeMap<u64, u32>>>);

impl Bank {
    fn charge(&self, id: u64) {
        *self.0.lock().unwrap().entry(id).or_default() += 1;
    }

    fn has_charged(&self, id: u64) -> bool {
        self.0.lock().unwrap().contains_key(&id)
    }

    #[track_caller]
    fn assert_once(&self, ids: std::ops::Range<u64>) {
        let charged = self.0.lock().unwrap();
        let once: BTreeMap<_, _> = ids.map(|id| (id, 1)).collect();
        assert_eq!(*charged, once);
    }
}

async fn charge_again(
    id: u64,
    State(bank): State<Bank>,
    publisher: Publisher,
) -> anyhow::Result<()> {
    bank.charge(id);
    publisher.send("mail", "receipt", &id).await?;
    Ok(())
}

async fn charge_once(
    id: u64,
    State(bank): State<Bank>,
    publisher: Publisher,
) -> anyhow::Result<()> {
    if !bank.has_charged(id) {
        bank.charge(id);
    }
    publisher.send("mail", "receipt", &id).await?;
    Ok(())
}

async fn receipt(id: u64) -> anyhow::Result<()> {
    yield_now().await;
    anyhow::ensure!(!id.is_multiple_of(3), "no such address");
    Ok(())
}

async fn start(handlers: HandlerRegistry, bank: &Bank) -> TestRunning {
    let handlers = handlers.register("receipt", receipt);
    TestApp::with(handlers)
        .state(bank.clone())
        .queue(Queue::new("billing").retry(Retry::fixed(5, HOUR)))
        .queue(Queue::new("mail").retry(Retry::fixed(2, HOUR)))
        .start()
        .await
}

async fn charge_some(handlers: HandlerRegistry) -> TestRunning {
    let bank = Bank::default();
    let app = start(handlers, &bank).await;
    for id in 0..4_u64 {
        app.put("billing", "charge", &id).await;
    }
    app.run().await;
    bank.assert_once(0..4);
    app
}

fn failure(simulation: impl FnOnce()) -> String {
    let failed = catch_unwind(AssertUnwindSafe(simulation));
    let panic = failed.expect_err("it fails");
    panic.downcast_ref::<String>().expect("it is text").clone()
}

#[test]
fn a_handler_that_charges_twice_is_found() {
    for fault in [
        Fault::Crash,
        Fault::Duplicate,
        Fault::LostConfirm,
        Fault::Cut,
    ] {
        let simulation = Simulation::new().faults([fault]);
        let told = failure(|| {
            simulation.run(0..100, async || {
                charge_some(HandlerRegistry::new().register("charge", charge_again)).await;
            });
        });
        assert!(told.contains("it takes 1 fault"), "{fault:?}: {told}");
        assert!(told.contains("simulation.rs:"), "{fault:?}: {told}");
        assert!(
            told.contains("`billing`: `charge`, attempt 1"),
            "{fault:?}: {told}"
        );
    }
}

#[test]
fn a_handler_that_charges_once_passes() {
    let seeds = std::env::var("PLOOMBY_TEST_SEEDS").map_or(200, |seeds| seeds.parse().unwrap());
    simulate(0..seeds, async || {
        charge_some(HandlerRegistry::new().register("charge", charge_once)).await;
    });
}

#[test]
fn a_failure_is_told_with_its_seed_and_the_fewest_faults() {
    let told = failure(|| {
        simulate(0..100, async || {
            charge_some(HandlerRegistry::new().register("charge", charge_again)).await;
        });
    });
    let seed = told.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    assert!(told.starts_with(&format!("seed {seed} fails: ")), "{told}");
    assert!(told.contains("it takes 1 fault"), "{told}");
    assert!(
        told.ends_with(&format!("let the seeds be [{seed}]")),
        "{told}"
    );
    let again = failure(|| {
        simulate([seed], async || {
            charge_some(HandlerRegistry::new().register("charge", charge_again)).await;
        });
    });
    assert_eq!(again, told);
}

#[test]
fn the_same_seed_has_the_same_journal() {
    let journals = Mutex::new(Vec::new());
    let mut all = Vec::new();
    for _ in 0..2 {
        Simulation::new().instances(2).run(0..50, async || {
            let app = charge_some(HandlerRegistry::new().register("charge", charge_once)).await;
            journals.lock().unwrap().push(app.journal().to_string());
        });
        all.push(std::mem::take(&mut *journals.lock().unwrap()));
    }
    assert_eq!(all[0], all[1]);
    let differ: std::collections::HashSet<_> = all[0].iter().collect();
    assert!(differ.len() > 25, "{} of 50 differ", differ.len());
    for fault in [
        "a crash of instance 2",
        "arrives twice",
        "its confirm does not come",
        "the connection of `billing` is lost",
        "is slow",
    ] {
        assert!(
            all[0].iter().any(|journal| journal.contains(fault)),
            "{fault}"
        );
    }
}

#[test]
fn a_failure_without_faults_is_told_as_such() {
    let told = failure(|| {
        simulate(0..10, async || {
            let app = charge_some(HandlerRegistry::new().register("charge", charge_once)).await;
            app.send("billing", "charge", &1)
                .await
                .handled("charge")
                .never();
        });
    });
    assert!(told.contains("it fails without any fault"), "{told}");
}

#[test]
#[should_panic(expected = "nothing went wrong in 20 runs")]
fn a_simulation_of_nothing_fails() {
    simulate(0..20, async || {});
}

#[tokio::test]
#[should_panic(expected = "call it in a plain `#[test]`")]
async fn a_simulation_within_a_runtime_is_refused() {
    simulate(0..1, async || {});
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Move {
    account: u64,
    number: u32,
}

/// What was moved, for each account in its order.
#[derive(Clone, Default)]
struct Moves(Arc<Mutex<BTreeMap<u64, Vec<u32>>>>);

async fn apply(Move { account, number }: Move, State(Moves(moves)): State<Moves>) {
    yield_now().await;
    let mut moves = moves.lock().unwrap();
    let moves = moves.entry(account).or_default();
    if !moves.contains(&number) {
        moves.push(number);
    }
}

async fn move_some(queue: Queue) {
    let moves = Moves::default();
    let app = TestApp::with(HandlerRegistry::new().register("apply", apply))
        .state(moves.clone())
        .queue(queue)
        .start()
        .await;
    for number in 0..8 {
        for account in 0..2 {
            app.put("moves", "apply", &Move { account, number }).await;
        }
    }
    app.run().await;
    for moves in moves.0.lock().unwrap().values() {
        assert!(moves.is_sorted(), "{moves:?}");
        assert_eq!(moves.len(), 8);
    }
}

#[test]
fn an_order_is_kept_whatever_goes_wrong_and_whoever_is_slow() {
    // what comes again after a crash or a lost connection keeps its place, as all behind it come again, too
    simulate(0..100, async || {
        let ordered = OrderBy::field("account");
        move_some(Queue::new("moves").ordered_by(ordered)).await;
    });
}

#[test]
fn a_handler_that_relies_on_an_order_that_nobody_keeps_is_found() {
    let slow = Simulation::new().faults([Fault::Slow]);
    let told = failure(|| slow.run(0..100, async || move_some(Queue::new("moves")).await));
    assert!(told.contains("it takes 1 fault"), "{told}");
}

#[test]
fn batches_keep_their_promises_too() {
    async fn add(numbers: Batch<u64>, State(bank): State<Bank>) {
        for number in numbers.iter() {
            if !bank.has_charged(**number) {
                bank.charge(**number);
            }
        }
    }

    simulate(0..100, async || {
        let bank = Bank::default();
        let app = TestApp::with(HandlerRegistry::new().register("add", add))
            .state(bank.clone())
            .queue(Queue::new("sums").batch_size(3).batch_wait(HOUR))
            .start()
            .await;
        for number in 0..8_u64 {
            app.put("sums", "add", &number).await;
        }
        app.run().await;
        bank.assert_once(0..8);
    });
}

/// A reply is sent before its message is acknowledged.
#[test]
fn who_calls_hears_the_reply_whoever_crashes() {
    let faults = [Fault::Crash, Fault::Cut, Fault::Duplicate, Fault::Slow];
    Simulation::new().faults(faults).run(0..200, async || {
        let double = async |number: u64| {
            yield_now().await;
            Reply(2 * number)
        };
        let app = TestApp::with(HandlerRegistry::new().register("double", double))
            .queue(Queue::new("sums"))
            .start()
            .await;
        for number in 0..3 {
            let run = app.call("sums", "double", &number).await;
            assert_eq!(run.reply::<u64>(), 2 * number);
        }
    });
}

/// A message is acknowledged once what comes of it is confirmed: another attempt, a dead letter, an answer to both.
#[test]
fn what_fails_is_tried_again_or_kept_whatever_goes_wrong() {
    simulate(0..300, async || {
        let bank = Bank::default();
        let fail_once = async |id: u64, State(bank): State<Bank>| {
            if bank.has_charged(id) {
                return Ok(());
            }
            bank.charge(id);
            anyhow::bail!("the first time")
        };
        let fail = async |_: u64| -> anyhow::Result<()> { anyhow::bail!("never") };
        let handlers = HandlerRegistry::new()
            .register("fail_once", fail_once)
            .register("fail", fail);
        let app = TestApp::with(handlers)
            .state(bank.clone())
            .queue(Queue::new("q").retry(Retry::fixed(2, HOUR)))
            .start()
            .await;
        for id in 0..3_u64 {
            app.put("q", "fail_once", &id).await;
            app.put("q", "fail", &id).await;
        }
        app.run().await;
        bank.assert_once(0..3);
        assert!(app.dead_letters("q").messages().len() >= 3);
    });
}

/// The confirm of a reply may be lost, and so may that of what is said in its place.
#[test]
fn who_calls_hears_at_most_that_there_is_no_value() {
    Simulation::new()
        .faults([Fault::LostConfirm])
        .run(0..100, async || {
            let double = async |number: u64| Reply(2 * number);
            let app = TestApp::with(HandlerRegistry::new().register("double", double))
                .queue(Queue::new("sums"))
                .start()
                .await;
            let run = app.call("sums", "double", &21).await;
            run.handled("double").once();
        });
}
