//! What handlers need is away for a while, as it happens most: the messages wait, and none is condemned.

use std::time::{Duration, Instant};

use ploomby::{App, Brake, HandlerRegistry, KeySource, Queue, Retry, Unavailable};
use ploomby_tests::{Bed, Dependency, KEY, Logged, seen};
use tokio::time::{interval, sleep, timeout};

use crate::{LONG, shared};

const MESSAGES: usize = 3_000;

/// So many come in a second.
const PACE: usize = 100;

const OUTAGE: Duration = Duration::from_secs(20);

/// How the program knows of the outage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    TheError,
    TheRow,
    ACheck,
}

struct Outcome {
    runs_in_vain: usize,
    dead: usize,
    lines: Vec<String>,
}

/// A program whose database is away for a while, at a steady load.
async fn outage(by: By, kind: &str) -> Outcome {
    let (log, _guard) = Logged::begin();
    let bed = Bed::on(shared().await).await;
    let queue = bed.queue_name();
    for delay in [1_000, 2_000, 4_000, 8_000, 750, 1_500, 3_000, 6_000] {
        bed.remove_later(&format!("{queue}_retry_{delay}ms"));
    }
    let mut outcome = None;
    bed.run(async |bed| {
        let database = Dependency::default();
        let (seen, mut handled) = seen();
        let asks = database.clone();
        let store = move |number: usize| {
            let database = asks.clone();
            async move {
                tokio::task::yield_now().await;
                database.ask()?;
                seen.note(number.to_string());
                std::io::Result::Ok(())
            }
        };
        let mut set_up = Queue::new(&queue)
            .key(KeySource::header(KEY))
            .queue_argument("x-queue-type", kind)
            .retry(Retry::exponential(5));
        let mut app = App::new(bed.url()).handlers(HandlerRegistry::new().register("store", store));
        match by {
            By::TheError => set_up = set_up.unavailable_if(Unavailable::is_io),
            By::TheRow => set_up = set_up.brake(Brake::after(50)),
            By::ACheck => {
                set_up = set_up.needs("database");
                let checks = database.clone();
                app = app.check("database", Duration::from_millis(500), move || {
                    let is_away = checks.is_away();
                    async move { if is_away { Err("away") } else { Ok(()) } }
                });
            }
        }
        let app = app.queue(set_up).start().await.unwrap();
        let (sender, to) = (bed.clone(), queue.clone());
        let sending = tokio::spawn(async move {
            let mut pace = interval(Duration::from_secs(1) / PACE as u32);
            for number in 0..MESSAGES {
                pace.tick().await;
                sender.send(&to, "store", number.to_string()).await;
            }
        });
        let mut numbers = Vec::new();
        for _ in 0..PACE {
            numbers.push(handled.next_note().await);
        }
        database.goes_away();
        sleep(OUTAGE).await;
        database.comes_back();
        let back = Instant::now();
        let dead_letters = format!("{queue}_dlq");
        let mut first = None;
        let mut dead = 0;
        while numbers.len() + dead < MESSAGES {
            match timeout(Duration::from_secs(1), handled.next_note()).await {
                Ok(number) => numbers.push(number),
                Err(_) => dead += bed.take_all(&dead_letters).await.len(),
            }
            // those that were on their way when it came back
            if numbers.len() > 2 * PACE {
                first.get_or_insert_with(Instant::now);
            }
            assert!(back.elapsed() < LONG, "{} are handled", numbers.len());
        }
        sending.await.unwrap();
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len() + dead, MESSAGES, "none is handled twice");
        let took = first.unwrap().elapsed();
        println!("{took:?} from the first success to the last, {dead} dead letters");
        assert!(
            by == By::TheRow || took < Duration::from_secs(20),
            "{took:?}"
        );
        app.shut_down().await.unwrap();
        assert!(bed.is_empty(&queue).await);
        outcome = Some(Outcome {
            runs_in_vain: database.asked_in_vain(),
            dead,
            lines: log.lines_with(&queue),
        });
    })
    .await;
    outcome.expect("it ran")
}

#[tokio::test]
async fn an_outage_that_the_error_tells_of_condemns_nothing() {
    for kind in ["classic", "quorum"] {
        let Outcome {
            runs_in_vain,
            dead,
            lines,
        } = outage(By::TheError, kind).await;
        assert_eq!(dead, 0);
        assert!(runs_in_vain <= 60, "{runs_in_vain}");
        assert!(lines.len() < 10, "{lines:#?}");
    }
}

#[tokio::test]
async fn an_outage_that_a_row_of_failures_tells_of_condemns_few() {
    let Outcome { dead, .. } = outage(By::TheRow, "classic").await;
    assert!(dead <= 60, "{dead}");
}

#[tokio::test]
async fn an_outage_that_a_check_tells_of_spends_no_message() {
    let Outcome {
        runs_in_vain, dead, ..
    } = outage(By::ACheck, "classic").await;
    assert_eq!(dead, 0);
    // what ran before the check was made
    assert!(runs_in_vain <= PACE, "{runs_in_vain}");
}
