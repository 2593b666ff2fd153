//! A bad day in a minute: whatever may be missing or in the way, in an order that chance decides, under load.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ploomby::rabbit::Reconnect;
use ploomby::{
    App, Error, HandlerOptions, HandlerRegistry, KeySource, Message, Publisher, Queue, Retry,
    Running, Value,
};
use ploomby_tests::{Bed, KEY, OwnRabbit, Proxy, eventually};
use tokio::time::sleep;

use crate::ledger::{Ledger, numbers};
use crate::{LONG, before};

const ATTEMPTS: u32 = 3;

/// One number in so many fails each time.
const BAD: u32 = 8;

/// What happens. Each has its end.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Alarm,
    NoRightToDeclare,
    NoRightToWrite,
    NoRight,
    NoMoreQueues,
    NoRoomForDeadLetters,
    QueueDeleted,
}

impl Trouble {
    const ALL: [Self; 7] = [
        Self::Alarm,
        Self::NoRightToDeclare,
        Self::NoRightToWrite,
        Self::NoRight,
        Self::NoMoreQueues,
        Self::NoRoomForDeadLetters,
        Self::QueueDeleted,
    ];
}

/// The broker, what is on it, and who publishes.
struct Day {
    rabbit: Arc<OwnRabbit>,
    proxy: Proxy,
    bed: Arc<Bed>,
    publisher: Publisher,
    /// One of each kind, and one that is deleted whenever it is empty.
    queues: [String; 3],
    published: AtomicU32,
    /// Those of the queue that is deleted.
    published_there: AtomicU32,
    ledger: &'static Ledger,
    is_over: AtomicBool,
}

/// The numbers of the queue that is deleted begin here.
const THERE: u32 = 1_000_000;

impl Day {
    async fn ctl(&self, arguments: &[&str]) {
        self.rabbit.ctl(arguments).await;
    }

    async fn rights(&self, rights: [&str; 3]) {
        let [configure, write, read] = rights;
        self.ctl(&["set_permissions", "shop", configure, write, read])
            .await;
    }

    /// Publishes until it is there, also more than once.
    async fn publish(&self, queue: &str, key: &str, number: u32) {
        let message = Message::new(number.to_string());
        let message = message.with_header(KEY, key).unwrap();
        while self
            .publisher
            .publish(queue, message.clone())
            .await
            .is_err()
        {
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn load(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.published.load(Ordering::Relaxed);
            let queue = &self.queues[number as usize / BAD as usize % 2];
            let key = if number.is_multiple_of(BAD) {
                "fail"
            } else {
                "work"
            };
            self.publish(queue, key, number).await;
            self.published.store(number + 1, Ordering::Relaxed);
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn start(&self) -> Result<Running, Error> {
        let ledger = self.ledger;
        let handlers = HandlerRegistry::new()
            .register("work", move |number: u32| async move {
                sleep(Duration::from_millis(fastrand::u64(0..30))).await;
                ledger.note(number);
            })
            .register_with(
                "fail",
                HandlerOptions::new().retry(Retry::fixed(ATTEMPTS, Duration::from_millis(200))),
                async || Err::<(), _>(anyhow::anyhow!("no luck")),
            );
        let mut app = App::new(format!("amqp://shop:secret@{}", self.proxy.address()))
            .handlers(handlers)
            .reconnect(Reconnect::forever().longest_pause(Duration::from_millis(500)));
        for (queue, kind) in self.queues.iter().zip(["classic", "quorum", "classic"]) {
            let set_up = Queue::new(queue)
                .key(KeySource::header(KEY))
                .queue_argument("x-queue-type", kind);
            app = app.queue(set_up);
        }
        app.start().await
    }

    /// Starts as a supervisor does.
    async fn start_at_last(&self) -> Running {
        loop {
            match self.start().await {
                Ok(running) => return running,
                Err(error) => eprintln!("not started: {error}"),
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn trouble(&self, trouble: Trouble) {
        let for_a_while = || sleep(Duration::from_millis(fastrand::u64(1_000..3_000)));
        match trouble {
            Trouble::Alarm => {
                self.rabbit.raise_memory_alarm().await;
                for_a_while().await;
                self.rabbit.clear_memory_alarm().await;
            }
            Trouble::NoRightToDeclare | Trouble::NoRightToWrite | Trouble::NoRight => {
                self.rights(match trouble {
                    Trouble::NoRightToDeclare => ["", ".*", ".*"],
                    Trouble::NoRightToWrite => [".*", "", ".*"],
                    _ => ["", "", ""],
                })
                .await;
                for_a_while().await;
                self.rights([".*"; 3]).await;
            }
            Trouble::NoMoreQueues => {
                let limits = r#"{"max-queues": 1}"#;
                self.ctl(&["set_vhost_limits", "-p", "/", limits]).await;
                for_a_while().await;
                self.ctl(&["clear_vhost_limits", "-p", "/"]).await;
            }
            Trouble::NoRoomForDeadLetters => {
                // in two steps: RabbitMQ would take the length first, and drop what is there
                for policy in [
                    r#"{"overflow": "reject-publish"}"#,
                    r#"{"max-length": 0, "overflow": "reject-publish"}"#,
                ] {
                    let full = ["full", "_dlq$", policy];
                    self.ctl(&[&["set_policy", "--apply-to", "queues"], &full[..]].concat())
                        .await;
                }
                for_a_while().await;
                self.ctl(&["clear_policy", "full"]).await;
            }
            Trouble::QueueDeleted => {
                let first = self.published_there.load(Ordering::Relaxed);
                for number in first..first + 50 {
                    self.publish(&self.queues[2], "work", THERE + number).await;
                }
                self.published_there.store(first + 50, Ordering::Relaxed);
                // what is in a queue goes with it, by the will of who deletes it
                eventually(LONG, async || {
                    let handled = self.ledger.numbers();
                    (first..first + 50).all(|number| handled.contains(&(THERE + number)))
                })
                .await;
                self.bed.delete(&self.queues[2]).await;
                self.bed.delete(&format!("{}_dlq", self.queues[2])).await;
            }
        }
    }

    async fn troubles(&self) {
        let mut troubles = [Trouble::ALL, Trouble::ALL].concat();
        fastrand::shuffle(&mut troubles);
        let begin = Instant::now();
        for trouble in troubles {
            // each has its turn on an idle machine
            if begin.elapsed() < Duration::from_secs(50) {
                eprintln!("{:?}: {trouble:?}", begin.elapsed());
                self.trouble(trouble).await;
            }
        }
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Deploys, kills and lost connections go on all day.
    async fn instances(&self) -> [Running; 2] {
        // not at once: RabbitMQ 3 does not always know how long what waits has to wait if two declare a queue
        let mut running = [self.start_at_last().await, self.start_at_last().await];
        while !self.is_over.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(fastrand::u64(500..3_000))).await;
            let which = fastrand::usize(0..2);
            match fastrand::u32(0..4) {
                0 => {
                    let next = self.start_at_last().await;
                    let last = std::mem::replace(&mut running[which], next);
                    if let Err(error) = last.shut_down().await {
                        eprintln!("not shut down in order: {error}");
                    }
                }
                1 => {
                    let next = self.start_at_last().await;
                    drop(std::mem::replace(&mut running[which], next));
                }
                _ => self.proxy.cut(),
            }
        }
        running
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_alarms_rights_limits_and_deleted_queues_loses_and_condemns_nothing() {
    // it outlives the day, for what removes its queues
    let rabbit = Arc::new(OwnRabbit::start().await);
    rabbit.ctl(&["add_user", "shop", "secret"]).await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let day = Day {
                proxy: before(&rabbit).await,
                publisher: Publisher::connect(bed.url()).await.unwrap(),
                queues: std::array::from_fn(|_| bed.queue_name()),
                bed: bed.clone(),
                rabbit: rabbit.clone(),
                published: AtomicU32::new(0),
                published_there: AtomicU32::new(0),
                ledger: Ledger::new(),
                is_over: AtomicBool::new(false),
            };
            day.rights([".*"; 3]).await;
            day.start().await.unwrap().shut_down().await.unwrap();
            let ((), (), running) = tokio::join!(day.load(), day.troubles(), day.instances());

            let published = day.published.load(Ordering::Relaxed);
            let is_bad = |number: &u32| *number < THERE && number.is_multiple_of(BAD);
            let bad: BTreeSet<u32> = (0..published).filter(is_bad).collect();
            let there = THERE..THERE + day.published_there.load(Ordering::Relaxed);
            let good: BTreeSet<u32> = (0..published)
                .chain(there)
                .filter(|number| !is_bad(number))
                .collect();
            eprintln!("{} to be handled, {} to be given up", good.len(), bad.len());
            let mut letters = Vec::new();
            let begin = Instant::now();
            loop {
                for queue in &day.queues {
                    let dead_letters = format!("{queue}_dlq");
                    bed.until_exists(&dead_letters).await;
                    letters.extend(bed.take_all(&dead_letters).await);
                }
                let (handled, given_up) = (day.ledger.numbers(), numbers(&letters).0);
                if handled.is_superset(&good) && given_up.is_superset(&bad) {
                    break;
                }
                assert!(
                    begin.elapsed() < LONG / 2,
                    "not handled: {:?}, not given up: {:?}, {}\n{}",
                    &good - &handled,
                    &bad - &given_up,
                    running[0].health(),
                    day.rabbit
                        .ctl(&["list_queues", "name", "messages", "consumers"])
                        .await,
                );
                sleep(Duration::from_millis(200)).await;
            }
            for running in running {
                running.shut_down().await.unwrap();
            }
            let (given_up, twice) = numbers(&letters);
            assert_eq!(given_up, bad, "and none of the good ones");
            assert!(day.ledger.numbers().is_subset(&good));
            for letter in &letters {
                assert_eq!(letter.text("ploomby-reason"), "handler-error");
                let attempts = &letter.headers["ploomby-attempts"];
                assert_eq!(*attempts, Value::I64(ATTEMPTS.into()), "{letter:?}");
            }
            eprintln!(
                "{} handled twice, {twice} given up twice",
                day.ledger.duplicates()
            );
            day.publisher.close().await;
        })
        .await;
}
