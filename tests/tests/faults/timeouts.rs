//! A broker that takes messages back which are held for too long.

use std::time::Duration;

use ploomby::{HandlerRegistry, KeySource, Queue};
use ploomby_tests::{Bed, KEY, Logged};

use crate::ledger::Ledger;
use crate::net::{CLASSIC, QUORUM, declared};
use crate::{LONG, disturbed};

const MESSAGES: u32 = 24;
const EACH: Duration = Duration::from_millis(600);

fn working(ledger: &'static Ledger) -> HandlerRegistry {
    HandlerRegistry::new().register("work", move |number: u32| async move {
        tokio::time::sleep(EACH).await;
        ledger.note(number);
    })
}

/// Both kinds of queue at a broker that waits for two seconds, with two handlers that take most of one. All is
/// handled, and nothing given up. Returns how much was handled twice.
async fn held_by_two(log: &Logged, change: impl Fn(Queue) -> Queue) -> usize {
    let rabbit = disturbed().await;
    // it is looked for once in this interval, on channels that are opened from here on
    let set = async |name: &str, milliseconds: &str| {
        let set = format!("application:set_env(rabbit, {name}, {milliseconds}).");
        rabbit.ctl(&["eval", &set]).await;
    };
    set("channel_tick_interval", "500").await;
    set("consumer_timeout", "2000").await;
    let mut twice = 0;
    let handled_twice = &mut twice;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let mut apps = Vec::new();
            for kind in [CLASSIC, QUORUM] {
                let queue = declared(&bed, &kind, false).await;
                bed.send_numbers(&queue, "work", 0..MESSAGES).await;
                let set_up = Queue::new(&queue)
                    .key(KeySource::header(KEY))
                    .concurrency(2);
                let ledger = Ledger::new();
                let app = bed.start_queue(change(set_up), working(ledger)).await;
                apps.push((queue, ledger, app));
            }
            for (queue, ledger, app) in apps {
                ledger.until(MESSAGES as usize, LONG).await;
                app.shut_down().await.unwrap();
                *handled_twice += ledger.duplicates();
                let letters = bed.take_all(&format!("{queue}_dlq")).await;
                assert!(letters.is_empty(), "{letters:?}\n{}", log.text());
            }
        })
        .await;
    set("channel_tick_interval", "60000").await;
    set("consumer_timeout", "1800000").await;
    twice
}

// one thread, of which the log is kept
#[tokio::test]
async fn what_waits_here_is_not_held_for_longer_than_the_broker_allows() {
    let (log, _guard) = Logged::begin();
    let twice = held_by_two(&log, |queue| queue).await;
    assert_eq!(twice, 0, "{}", log.text());
    assert!(log.lines_with("timed out").is_empty(), "{}", log.text());
}

#[tokio::test]
async fn what_was_held_for_too_long_is_told_with_a_remedy_and_not_condemned() {
    let (log, _guard) = Logged::begin();
    let twice = held_by_two(&log, |queue| queue.prefetch(64)).await;
    eprintln!("{twice} handled twice");
    let lines = log.lines_with("raise `consumer_timeout`");
    assert!(!lines.is_empty(), "{}", log.text());
    for part in [
        "has held its message for",
        "`timeout`",
        "lower the prefetch",
    ] {
        assert!(lines[0].contains(part), "{}", lines[0]);
    }
}
