use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use ploomby::extract::Key;
use ploomby::{HandlerRegistry, KeySource, Queue};
use ploomby_tests::{Bed, KEY, eventually};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;
use crate::{LONG, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_keys_on_one_queue_of_three_replicas_reach_their_own_handlers() {
    const KEYS: u32 = 50;
    const MESSAGES: u32 = 20_000;

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let wrong: &'static AtomicU32 = Box::leak(Box::default());
            let mut apps = Vec::new();
            for _ in 0..3 {
                let mut handlers = HandlerRegistry::new();
                for key in 0..KEYS {
                    handlers = handlers.register(
                        &format!("key {key}"),
                        move |Key(its): Key, number: u32| async move {
                            if number % KEYS != key || its != format!("key {key}") {
                                wrong.fetch_add(1, Ordering::Relaxed);
                            }
                            ledger.note(number);
                        },
                    );
                }
                let set_up = Queue::new(&queue).key(KeySource::header(KEY));
                apps.push(bed.start_queue(set_up, handlers).await);
            }
            let key = |key: u32| format!("key {key}");
            for first in 0..KEYS {
                let numbers = (first..MESSAGES).step_by(KEYS as usize);
                bed.send_numbers(&queue, &key(first), numbers).await;
            }
            ledger.until(MESSAGES as usize, LONG).await;
            for app in apps {
                app.shut_down().await.unwrap();
            }
            assert_eq!(wrong.load(Ordering::Relaxed), 0);
            assert_eq!(ledger.duplicates(), 0);
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_handler_beside_a_fast_one_keeps_to_the_limit_and_holds_nothing_up() {
    const LIMIT: u32 = 16;
    static RUNNING: AtomicU32 = AtomicU32::new(0);
    static MOST: AtomicU32 = AtomicU32::new(0);

    async fn counted(work: impl Future<Output = ()>) {
        let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
        MOST.fetch_max(running, Ordering::SeqCst);
        work.await;
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }

    Bed::on(shared().await)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let ledger = Ledger::new();
            let end_of_slow: &'static CancellationToken = Box::leak(Box::default());
            let handlers = HandlerRegistry::new()
                .register("slow", move |_: u32| counted(end_of_slow.cancelled()))
                .register("fast", move |number: u32| {
                    counted(async move {
                        tokio::task::yield_now().await;
                        ledger.note(number);
                    })
                });
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .concurrency(LIMIT as usize);
            let app = bed.start_queue(set_up, handlers).await;
            bed.send_numbers(&queue, "slow", 0..LIMIT / 2).await;
            let begin = Instant::now();
            bed.send_numbers(&queue, "fast", 0..1_000).await;
            ledger.until(1_000, LONG).await;
            let took = begin.elapsed();
            end_of_slow.cancel();
            app.shut_down().await.unwrap();
            let most = MOST.load(Ordering::SeqCst);
            eprintln!(
                "1,000 fast ones in {took:?} beside {} slow ones; {most} at once",
                LIMIT / 2
            );
            assert!((LIMIT / 2..=LIMIT).contains(&most), "{most}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_together_does_not_wait_for_the_next_message() {
    let rabbit = shared().await;
    Bed::on(rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let unacknowledged = async || {
                let list = ["-q", "list_queues", "name", "messages_unacknowledged"];
                let list = rabbit.ctl(&list).await;
                let mut lines = list.lines().filter_map(|line| line.split_once('\t'));
                let (_, count) = lines.find(|(name, _)| *name == queue).unwrap();
                count.parse::<u32>().unwrap()
            };
            let ledger = Ledger::new();
            let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
            let handlers = HandlerRegistry::new()
                .register(
                    "work",
                    move |number: u32| async move { ledger.note(number) },
                )
                .register("wait", move |number: u32| async move {
                    gate.acquire().await.unwrap().forget();
                    ledger.note(number);
                });
            bed.declare(&queue, &[]).await;
            bed.send_numbers(&queue, "work", 0..40).await;
            let app = bed.start(&queue, handlers).await;
            ledger.until(40, LONG).await;
            eventually(LONG, async || unacknowledged().await == 0).await;
            bed.send(&queue, "wait", "40").await;
            bed.send_numbers(&queue, "work", 41..81).await;
            ledger.until(80, LONG).await;
            eventually(LONG, async || unacknowledged().await == 1).await;
            gate.add_permits(1);
            eventually(LONG, async || unacknowledged().await == 0).await;
            app.shut_down().await.unwrap();
            assert_eq!(ledger.duplicates(), 0);
        })
        .await;
}
