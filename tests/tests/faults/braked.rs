//! An outage of what handlers need, where more than that is out of the ordinary: nothing is lost, condemned, or tried
//! more often than promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ploomby::extract::Batch;
use ploomby::{
    App, Brake, HandlerOptions, HandlerRegistry, KeySource, Message, OrUnavailable, OrderBy, Queue,
    Running,
};
use ploomby_tests::{Bed, Dependency, KEY, Seen, eventually, seen, unique_name};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::ledger::{Ledger, numbers};
use crate::worker::Worker;
use crate::{LONG, disturbed, shared};

/// Longer than it takes until messages are back in their queue.
const OUTAGE: Duration = Duration::from_secs(12);

/// The pauses between probes are 1, 2, 4 and 8 s, shorter by a quarter at most; the first failure was no probe.
const MOST_PROBES: usize = 6;

fn queue_name(bed: &Bed) -> String {
    let queue = bed.queue_name();
    for delay in [1_000, 5_000, 30_000, 750, 2_000, 4_000, 8_000] {
        bed.remove_later(&format!("{queue}_retry_{delay}ms"));
    }
    queue
}

fn queue_of(name: &str, kind: &str) -> Queue {
    Queue::new(name)
        .key(KeySource::header(KEY))
        .queue_argument("x-queue-type", kind)
}

/// A handler that needs the database, and notes what it stored.
fn storing(database: &Dependency, ledger: &'static Ledger) -> HandlerRegistry {
    let database = database.clone();
    HandlerRegistry::new().register("store", move |number: u32| {
        let database = database.clone();
        async move {
            tokio::task::yield_now().await;
            database.ask().or_unavailable()?;
            ledger.note(number);
            anyhow::Ok(())
        }
    })
}

async fn shut_down_all(apps: Vec<Running>) {
    for app in apps {
        app.shut_down().await.unwrap();
    }
}

/// What may be in a quorum queue still was handled: as a channel closes, RabbitMQ drops acknowledgements that the queue has
/// not applied yet.
async fn has_no_dead_letters(bed: &Bed, queue: &str) {
    assert_eq!(bed.take_all(&format!("{queue}_dlq")).await.len(), 0);
}

/// Each gives back what it had; the others get some of that, and give it back in turn.
async fn instances_in_an_outage(instances: usize, set_up: impl Fn(Queue) -> Queue) {
    const MESSAGES: u32 = 300;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = queue_name(&bed);
            let (database, ledger) = (Dependency::away(), Ledger::new());
            let mut apps = Vec::new();
            for _ in 0..instances {
                let set_up = set_up(queue_of(&queue, "quorum"));
                apps.push(bed.start_queue(set_up, storing(&database, ledger)).await);
            }
            bed.send_numbers(&queue, "store", 0..MESSAGES).await;
            // what was with the handlers when the first one failed may fail as well
            sleep(Duration::from_millis(500)).await;
            let at_first = database.asked_in_vain();
            assert!(at_first <= 64 * instances, "{at_first}");
            sleep(OUTAGE).await;
            let probes = database.asked_in_vain() - at_first;
            assert!(probes <= instances * MOST_PROBES, "{probes}");
            database.comes_back();
            ledger.until(MESSAGES as usize, LONG).await;
            shut_down_all(apps).await;
            assert_eq!(ledger.duplicates(), 0);
            has_no_dead_letters(&bed, &queue).await;
        })
        .await;
}

/// The broker gives up what comes back three times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_does_not_use_up_the_delivery_limit_of_a_quorum_queue() {
    let limited = |queue: Queue| queue.queue_argument("x-delivery-limit", 2);
    instances_in_an_outage(1, limited).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_three_instances_have_condemns_nothing() {
    // what 4.0 has without a word is 20
    let limited = |queue: Queue| queue.queue_argument("x-delivery-limit", 6);
    instances_in_an_outage(3, limited).await;
}

/// Two instances, of which one at a time has the messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_keeps_the_order_of_what_waits() {
    const CUSTOMERS: u32 = 4;
    const EACH: u32 = 50;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = queue_name(&bed);
            let database = Dependency::away();
            let (seen, mut handled) = seen();
            let mut apps = Vec::new();
            for _ in 0..2 {
                let database = database.clone();
                let store = move |number: u32| {
                    let database = database.clone();
                    async move {
                        tokio::task::yield_now().await;
                        database.ask().or_unavailable()?;
                        seen.note(number.to_string());
                        anyhow::Ok(())
                    }
                };
                let options = HandlerOptions::new().ordered_by(OrderBy::header("customer"));
                let handlers = HandlerRegistry::new().register_with("store", options, store);
                let set_up =
                    queue_of(&queue, "quorum").queue_argument("x-single-active-consumer", true);
                apps.push(bed.start_queue(set_up, handlers).await);
            }
            for number in 0..CUSTOMERS * EACH {
                let message = Message::new(number.to_string()).with_header(KEY, "store");
                let customer = i64::from(number % CUSTOMERS);
                let message = message.unwrap().with_header("customer", customer).unwrap();
                bed.publish(&queue, message).await;
            }
            sleep(OUTAGE).await;
            let in_vain = database.asked_in_vain();
            assert!(in_vain <= CUSTOMERS as usize + MOST_PROBES, "{in_vain}");
            // the one that has the messages ends: the other finds the outage out by itself
            let first = apps.swap_remove(0);
            first.shut_down().await.unwrap();
            eventually(LONG, async || database.asked_in_vain() > in_vain).await;
            database.comes_back();
            let mut next = BTreeMap::<u32, u32>::new();
            for _ in 0..CUSTOMERS * EACH {
                let number: u32 = handled.next_note().await.parse().unwrap();
                let expected = next.entry(number % CUSTOMERS).or_insert(number % CUSTOMERS);
                assert_eq!(number, *expected);
                *expected += CUSTOMERS;
            }
            shut_down_all(apps).await;
            has_no_dead_letters(&bed, &queue).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_condemns_no_batch() {
    const MESSAGES: u32 = 300;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = queue_name(&bed);
            let (database, ledger) = (Dependency::away(), Ledger::new());
            let asks = database.clone();
            let store = move |batch: Batch<u32>| {
                let database = asks.clone();
                async move {
                    database.ask().or_unavailable()?;
                    for number in batch.into_payloads() {
                        ledger.note(number);
                    }
                    anyhow::Ok(())
                }
            };
            let options = HandlerOptions::new().batch_size(20);
            let handlers = HandlerRegistry::new().register_with("store", options, store);
            let set_up = queue_of(&queue, "quorum").queue_argument("x-delivery-limit", 2);
            let app = bed.start_queue(set_up, handlers).await;
            bed.send_numbers(&queue, "store", 0..MESSAGES).await;
            sleep(OUTAGE).await;
            let in_vain = database.asked_in_vain();
            // the batches that the prefetch has room for
            assert!(in_vain <= 4 + MOST_PROBES, "{in_vain}");
            database.comes_back();
            ledger.until(MESSAGES as usize, LONG).await;
            app.shut_down().await.unwrap();
            assert_eq!(ledger.duplicates(), 0);
            has_no_dead_letters(&bed, &queue).await;
        })
        .await;
}

/// No copy can wait elsewhere, since the broker takes none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_during_a_memory_alarm_loses_nothing() {
    const MESSAGES: u32 = 100;

    let rabbit = disturbed().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let queue = queue_name(&bed);
            let (database, ledger) = (Dependency::default(), Ledger::new());
            let handlers =
                storing(&database, ledger).register("greet", move |number: u32| async move {
                    ledger.note(number)
                });
            let app = bed
                .start_queue(queue_of(&queue, "classic").prefetch(20), handlers)
                .await;
            for number in 0..10 {
                bed.send(&queue, "store", number.to_string()).await;
            }
            ledger.until(10, LONG).await;
            database.goes_away();
            for number in (10..MESSAGES).step_by(2) {
                bed.send(&queue, "store", number.to_string()).await;
                bed.send(&queue, "greet", (number + 1).to_string()).await;
            }
            eventually(LONG, async || database.asked_in_vain() > 0).await;
            rabbit.raise_memory_alarm().await;
            sleep(OUTAGE / 2).await;
            let in_vain = database.asked_in_vain();
            assert!(in_vain <= 20 + MOST_PROBES, "{in_vain}");
            rabbit.clear_memory_alarm().await;
            database.comes_back();
            ledger.until(MESSAGES as usize, LONG).await;
            app.shut_down().await.unwrap();
            // a copy may have been on its way when the alarm was raised
            println!("{} handled twice", ledger.duplicates());
            let letters = bed.take_all(&format!("{queue}_dlq")).await;
            assert_eq!(letters.len(), 0);
        })
        .await;
}

/// What it had, and what waited for it in the broker, is for the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_killed_in_an_outage_loses_nothing() {
    const MESSAGES: u32 = 200;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = queue_name(&bed);
            bed.declare(&queue, &[("x-queue-type", "quorum".into())])
                .await;
            let away = std::env::temp_dir().join(unique_name("away"));
            std::fs::write(&away, "").unwrap();
            let word = format!("away={}", away.display());
            let start = || Worker::start_with(bed.url(), &queue, 64, &["fitted", &word]);
            let mut workers = vec![start(), start()];
            bed.send_numbers(&queue, "needy", 0..MESSAGES / 2).await;
            bed.send_numbers(&queue, "quick", MESSAGES / 2..MESSAGES)
                .await;
            let mut in_vain = 0;
            let mut done = BTreeSet::new();
            let begun = Instant::now();
            for round in 0..2 {
                while begun.elapsed() < OUTAGE * (round + 1) / 2 {
                    hear(&mut workers).await;
                }
                let mut killed = workers.remove(0);
                killed.signal("-KILL").await;
                killed.end().await;
                in_vain += killed.begun.len();
                done.extend(killed.done.iter().copied());
                workers.push(start());
            }
            std::fs::remove_file(&away).unwrap();
            while done.len() < MESSAGES as usize {
                hear(&mut workers).await;
                done.extend(workers.iter().flat_map(|worker| &worker.done));
                assert!(begun.elapsed() < LONG, "{} done", done.len());
            }
            for mut worker in workers {
                worker.signal("-TERM").await;
                assert!(worker.end().await.success());
            }
            // beside a first failure and the probes of each, the hundred that need nothing
            let most = MESSAGES as usize / 2 + 2 * (2 + MOST_PROBES);
            assert!(in_vain <= most, "{in_vain} begun by those that were killed");
            assert_eq!(bed.take_all(&format!("{queue}_dlq")).await.len(), 0);
        })
        .await;
}

async fn hear(workers: &mut [Worker]) {
    for worker in workers {
        let hearing = tokio::time::timeout(Duration::from_millis(20), worker.listen());
        let _ = hearing.await;
    }
}

/// The log of how long messages were on their way.
#[derive(Clone, Default)]
struct Delays(Arc<Mutex<Vec<Duration>>>);

impl Delays {
    fn note(&self, sent: u64) {
        let sent = UNIX_EPOCH + Duration::from_micros(sent);
        let delay = SystemTime::now().duration_since(sent).unwrap_or_default();
        self.0.lock().unwrap().push(delay);
    }

    /// How many there were, and how long 99 of 100 took at most.
    fn take(&self) -> (usize, Duration) {
        let mut delays = std::mem::take(&mut *self.0.lock().unwrap());
        delays.sort_unstable();
        let p99 = delays.len() * 99 / 100;
        (delays.len(), delays.get(p99).copied().unwrap_or_default())
    }
}

/// At a steady load, with as many messages of the one that is braked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_one_handler_slows_down_no_other() {
    const PACE: u32 = 100;
    const BEFORE: Duration = Duration::from_secs(8);

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = queue_name(&bed);
            let (database, ledger) = (Dependency::default(), Ledger::new());
            let delays = Delays::default();
            let notes = delays.clone();
            let handlers = storing(&database, ledger).register("greet", move |sent: u64| {
                notes.note(sent);
                async {}
            });
            let app = bed.start_queue(queue_of(&queue, "classic"), handlers).await;
            let (sender, to) = (bed.clone(), queue.clone());
            let sending = tokio::spawn(async move {
                let mut pace = interval(Duration::from_secs(1) / PACE);
                let messages = PACE * (BEFORE + OUTAGE).as_secs() as u32;
                let mut sent = JoinSet::new();
                for number in 0..messages {
                    pace.tick().await;
                    let (bed, queue) = (sender.clone(), to.clone());
                    sent.spawn(async move {
                        bed.send(&queue, "store", number.to_string()).await;
                    });
                    let (bed, queue) = (sender.clone(), to.clone());
                    sent.spawn(async move {
                        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                        bed.send(&queue, "greet", now.as_micros().to_string()).await;
                    });
                }
                sent.join_all().await;
                messages
            });
            sleep(BEFORE).await;
            let (count, p99) = delays.take();
            let rate = count as f64 / BEFORE.as_secs_f64();
            database.goes_away();
            sleep(OUTAGE).await;
            let (count, p99_in_outage) = delays.take();
            let rate_in_outage = count as f64 / OUTAGE.as_secs_f64();
            database.comes_back();
            println!(
                "before: {rate:.0}/s, p99 {p99:.1?}; in the outage: {rate_in_outage:.0}/s, p99 \
                 {p99_in_outage:.1?}; {} runs in vain",
                database.asked_in_vain()
            );
            let messages = sending.await.unwrap();
            ledger.until(messages as usize, LONG).await;
            app.shut_down().await.unwrap();
            assert_eq!(ledger.duplicates(), 0);
            has_no_dead_letters(&bed, &queue).await;
            let in_vain = database.asked_in_vain();
            // those that have begun before the first one fails are more on a machine that is busy
            assert!(in_vain <= 60, "{in_vain}");
            // how long each took says more of the tests beside this one: it is printed, for a look on a quiet machine
            assert!(
                rate_in_outage > rate * 0.6,
                "{rate} before, {rate_in_outage} then"
            );
        })
        .await;
}

/// Nothing marks them as what they are: they pass one a second, and no message waits for ever. The clock is the runtime's.
#[tokio::test(start_paused = true)]
async fn a_thousand_bad_messages_do_not_keep_the_good_ones_away() {
    const BAD: u32 = 1_000;
    const GOOD: u32 = 100;

    let bed = Bed::memory().await;
    let queue = bed.queue_name();
    let (seen, mut handled): (&'static Seen, _) = seen();
    let store = move |number: u32| async move {
        anyhow::ensure!(number >= BAD, "number {number} is bad");
        seen.note(number.to_string());
        Ok(())
    };
    let app = App::new(bed.url())
        .handlers(HandlerRegistry::new().register("store", store))
        .queue(queue_of(&queue, "classic").brake(Brake::after(50)))
        .start()
        .await
        .unwrap();
    let begun = tokio::time::Instant::now();
    for number in 0..BAD + GOOD {
        bed.send(&queue, "store", number.to_string()).await;
        // a row means something only if it lasts
        sleep(Duration::from_millis(110)).await;
    }
    let mut good = BTreeSet::new();
    while good.len() < GOOD as usize {
        match handled.now() {
            Some(number) => assert!(good.insert(number.parse::<u32>().unwrap())),
            None => sleep(Duration::from_secs(1)).await,
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20 * 60),
            "{}",
            good.len()
        );
    }
    println!("all are handled after {:?}", begun.elapsed());
    assert_eq!(good, (BAD..BAD + GOOD).collect());
    app.shut_down().await.unwrap();
    let letters = bed.take_all(&format!("{queue}_dlq")).await;
    for letter in &letters {
        assert_eq!(letter.text("ploomby-reason"), "handler-error");
        let number = String::from_utf8_lossy(&letter.body);
        assert_eq!(
            letter.text("ploomby-error"),
            format!("number {number} is bad")
        );
    }
    let (dead, duplicates) = numbers(&letters);
    assert_eq!((dead, duplicates), ((0..BAD).collect(), 0));
    assert!(bed.is_empty(&queue).await);
}
